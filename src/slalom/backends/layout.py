"""Which tensors can be walked as one flat run of memory."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

_TYPES, _STRIDED = frozenset((Tensor, Parameter)), torch.strided


def plain(tensor: Tensor | None) -> bool:
    """Whether a tensor's elements lie in memory of its own that can be looked at."""
    return (
        tensor is not None
        and type(tensor) in _TYPES
        and tensor.layout is _STRIDED
        and not tensor.is_meta
        and not tensor._is_zerotensor()
    )


def is_freed(tensor: Tensor) -> bool:
    """Whether its memory was given back for a while, as sharded training does."""
    return tensor.numel() > 0 and plain(tensor) and tensor.untyped_storage().nbytes() == 0


def is_dense(tensor: Tensor) -> bool:
    """Whether the elements fill one run of memory, each place once, in whatever order of axes."""
    if tensor.is_contiguous():
        return True
    expected = 1
    axes = [a for a in zip(tensor.stride(), tensor.shape, strict=True) if a[1] != 1]
    for stride, size in sorted(axes):
        if stride != expected:
            return tensor.numel() == 0
        expected *= size
    return True


def same_layout(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of strided layout have equal shapes and put equal indices equally far."""
    if a.shape != b.shape:
        return False
    one, other = a.stride(), b.stride()
    return one == other or all(
        x == y or size <= 1 for x, y, size in zip(one, other, a.shape, strict=True)
    )


def is_lazy_view(tensor: Tensor) -> bool:
    """Whether its memory holds the negative or the conjugate of what it stands for."""
    return tensor.layout == torch.strided and (tensor.is_neg() or tensor.is_conj())


def like(model: Tensor, values: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """``values``, of any layout it may have, in the memory layout of ``model``; of this dtype."""
    values = values if values.layout == torch.strided else values.to_dense()
    return torch.empty_like(model, dtype=dtype or values.dtype, requires_grad=False).copy_(values)


def overlapping(spans: list[tuple[int, int]]) -> set[int]:
    """Indices of the spans (first address, address past the end) that share memory with another."""
    found: set[int] = set()
    order = sorted((s, i) for i, s in enumerate(spans) if s[0] < s[1])
    end, owner = -1, -1
    for (start, stop), i in order:
        if start < end:
            found |= {i, owner}
        if stop > end:
            end, owner = stop, i
    return found


def merged(spans: Iterable[tuple[int, int]]) -> np.ndarray:
    """The runs of memory that spans cover together: uint64 of shape (runs, 2), sorted and apart."""
    runs: list[list[int]] = []
    for begin, end in sorted(s for s in spans if s[0] < s[1]):
        if runs and begin < runs[-1][1]:
            runs[-1][1] = max(end, runs[-1][1])
        else:
            runs.append([begin, end])
    return np.array(runs, np.uint64).reshape(-1, 2)


def meet(runs: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Of each span (rows of uint64) whether it shares memory with one of these (:func:`merged`)."""
    after = np.searchsorted(runs[:, 1], spans[:, 0], side="right")
    begins = np.append(runs[:, 0], np.uint64(2**64 - 1))[after]
    return (begins < spans[:, 1]) & (spans[:, 0] < spans[:, 1])


def span(tensor: Tensor) -> tuple[int, int]:
    """First address of a strided tensor, and the one past its last element, gaps included."""
    start = tensor.data_ptr()
    if tensor.is_contiguous():  # where it has no element too
        return start, start + tensor.nbytes
    reach = sum(s * (n - 1) for s, n in zip(tensor.stride(), tensor.shape, strict=True))
    return start, start + (reach + 1) * tensor.element_size()
