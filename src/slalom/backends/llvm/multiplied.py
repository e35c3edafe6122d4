"""Products with square matrices between two sweeps, by machine code where that is the quicker way.

Torch's products are MKL's, which on processors of another maker goes in vectors of half the width:
of matrices of 84 to 336 rows on one core of an AMD EPYC with AVX512 they take 1.6 to 2.3 times as
long as the loop here, which is for one thread. Where it serves hangs on processor, threads and
shapes, and not on a clock, so that a run goes on to the bit. Everything else is for torch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends.llvm.dense import dense, product, transpose
from slalom.backends.llvm.jit import jit
from slalom.backends.llvm.once import once
from slalom.backends.refusals import Unavailable
from slalom.rules import matrices

_OF: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}  # whatever a user's defaults are

MOST = 1024
"""Rows and columns of the matrices that are multiplied here, which a cache is to hold."""


def between(left: Tensor, x: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
    """As :func:`slalom.rules.matrices.between`."""
    sides, matrix = (left.numel() > 0, right.numel() > 0), _matrix(x)
    if not (any(sides) and _served(matrix, left, right)):
        return matrices.between(left, x, right, out=out)
    out = torch.empty(x.shape, **_OF) if out is None else out
    into = out.detach().view(matrix.shape)
    made = torch.empty_like(into) if sides[0] else matrix.clone()
    if sides[0]:
        _multiply(left, matrix, made)
    if sides[1]:
        _multiply(made, right, into)
    else:
        into.copy_(made)
    return out


def gram(
    x: Tensor, axis: int, onto: Tensor, keep: Any = 1.0, share: Any = 1.0, in_place: bool = False
) -> Tensor:
    """As :func:`slalom.rules.matrices.gram`."""
    matrix = _matrix(x)
    matrix = matrix if axis == 1 else matrix.mT
    if not (onto.numel() and _served(matrix, onto)):
        return matrices.gram(x, axis, onto, keep, share, in_place)
    made = torch.empty(len(matrix), len(matrix), **_OF)
    _multiply(matrix, matrix.mT, made)
    return onto.mul_(keep).add_(made, alpha=share) if in_place else keep * onto + share * made


@once
def _is_quicker() -> bool:
    """Whether torch multiplies in narrower vectors than this processor has."""
    try:
        dense()
        return torch.backends.mkl.is_available() and jit().is_amd and jit().vector[0] == 16
    except Unavailable:
        return False


def _matrix(x: Tensor) -> Tensor:
    return x.detach().reshape(math.prod(x.shape[:1]), math.prod(x.shape[1:]))


def _served(*tensors: Tensor) -> bool:
    return (
        _is_quicker()
        and torch.get_num_threads() == 1
        and all(
            t.dtype == torch.float32 and t.device.type == "cpu" and t.ndim == 2
            and max(t.shape) <= MOST and (1 in t.stride() or not t.numel())
            for t in tensors
        )
    )  # fmt: skip


def _multiply(left: Tensor, right: Tensor, into: Tensor) -> None:
    """into = left @ right; ``into`` is of rows of neighbours, and is none of the others."""
    (rows, depth), columns = left.shape, right.shape[1]
    down, along = left.stride()
    jobs: list[list[int]] = []
    if right.stride(1) != 1:  # whose columns are neighbours
        turned = torch.empty(depth, columns, **_OF)
        given, at = (right.data_ptr(), right.stride(1)), (turned.data_ptr(), columns)
        jobs.append(transpose(columns, depth, given, at))
        right = turned
    jobs.append(
        product(
            rows, columns, depth, (left.data_ptr(), down, along),
            (right.data_ptr(), right.stride(0)), (into.data_ptr(), into.stride(0)),
        )
    )  # fmt: skip
    dense().run(np.array(jobs, np.int64))
