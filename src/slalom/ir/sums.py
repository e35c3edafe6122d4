"""Sums over tensors by torch's operations, which come out the same on any number of threads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from slalom.ir.operations import COLUMNS

BLOCK = 1 << 14
"""Elements summed up one after another: fewer than torch shares out over threads."""

SHARED = 1 << 15
"""From so many elements on torch shares a sum out over threads."""


def summed(values: Tensor, squares: bool, left: int) -> Tensor:
    """The sum of a tensor's elements or of their squares, in float64 where its device has that.

    ``left`` says along what it still varies: of a tensor of shape (n, a, b) the result is of shape
    (), (n, 1, 1) for :data:`ROWS`, (1, a, b) for :data:`COLUMNS`. Of a distributed tensor it is
    that of the whole.
    """
    if hasattr(values, "full_tensor"):  # a DTensor
        wide: Any = values.double()
        return (wide * wide if squares else wide).sum().full_tensor()
    shape = tuple(values.shape)
    lie = (1, values.numel()) if left == 0 else (math.prod(shape[:1]), math.prod(shape[1:]))
    followed = torch.is_grad_enabled() and values.requires_grad
    if left == COLUMNS or followed:  # the root in a norm has no second derivative at 0
        values = values.to(_wide(values))
        values, squares = values * values if squares else values, False
    matrix = values.reshape(lie)
    if left == COLUMNS:
        return _of_columns(matrix).reshape((1, *shape[1:])[: len(shape)])
    found = _of_rows(matrix, squares)
    return found.reshape(() if left == 0 else shape[:1] + (1,) * len(shape[1:]))


def summed_each(tensors: list[Tensor], squares: bool, left: int) -> Sequence[Tensor]:
    """:func:`summed` of each tensor; where all are plain and torch shares out none, all at once."""
    alone = any(t.numel() >= SHARED or hasattr(t, "full_tensor") for t in tensors)
    if left != 0 or not squares or alone:
        return [summed(t, squares, left) for t in tensors]
    norms = torch._foreach_norm(tensors, 2, dtype=_wide(tensors[0]))  # pyright: ignore[reportPrivateImportUsage]
    return torch._foreach_mul(norms, norms)  # pyright: ignore[reportPrivateImportUsage]


def _wide(values: Tensor) -> torch.dtype:
    return torch.float32 if values.device.type == "mps" else torch.float64


def _of_rows(matrix: Tensor, squares: bool) -> Tensor:
    """The sum of each row. Torch divides a sum among threads by rows alone, if there are some."""
    n, m = matrix.shape
    if m <= BLOCK:
        return _at_once(matrix, squares)
    whole = m // BLOCK * BLOCK
    blocks = _at_once(matrix[:, :whole].reshape(-1, BLOCK), squares)
    return _of_rows(blocks.view(n, -1), False) + _at_once(matrix[:, whole:], squares)


def _at_once(matrix: Tensor, squares: bool) -> Tensor:
    """The sum of each row. A norm widens and squares as it reads: a third of the time."""
    if squares:
        return torch.linalg.vector_norm(matrix, dim=1, dtype=_wide(matrix)).square()
    return matrix.to(_wide(matrix)).sum(1)


def _of_columns(matrix: Tensor) -> Tensor:
    """The sum of each column, by halves, since torch's depends on where it divides the columns."""
    n = len(matrix)
    if n == 0 or matrix.numel() <= BLOCK or matrix.device.type != "cpu":
        return matrix.sum(0)
    while n > 1:
        half = (n + 1) // 2
        matrix = torch.cat([matrix[: n - half] + matrix[half:n], matrix[n - half : half]])
        n = half
    return matrix[0]
