"""Whether the samples of one set are among those of another."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor


def within(few: Sequence[Tensor], many: Sequence[Tensor]) -> bool:
    """Whether each sample of the first set, a row of each of its tensors, is one of the second."""
    if len(few) != len(many):
        return False
    both = list(zip(few, many, strict=True))
    if any(a.shape[1:] != b.shape[1:] or a.dtype != b.dtype for a, b in both):
        return False
    if all(a is b for a, b in both):
        return True
    first = [(b == a[0]).reshape(len(b), a[0].numel()).all(1) for a, b in both]
    if not bool(torch.stack(first).all(0).any()):  # as it mostly is, and cheaper to see
        return False
    return _digests(few) <= _digests(many)


def _digests(arrays: Sequence[Tensor]) -> set[bytes]:
    # A copy, since a row of one number counts as contiguous with any stride.
    rows = [
        a.reshape(len(a), a[0].numel()).cpu().clone(memory_format=torch.contiguous_format)
        for a in arrays
    ]
    numbers = [r.view(torch.uint8).numpy() for r in rows]
    return {
        blake2b(b"".join(x.tobytes() for x in row)).digest() for row in zip(*numbers, strict=True)
    }
