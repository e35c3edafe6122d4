"""What kernels that sum keep of the tensors that they go over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from slalom.backends.cuda.kernel import CHUNK
from slalom.ir.symbol import Symbol

NEUTRAL = {"total": 0.0, "highest": -np.inf}
"""What a number is before a tensor was asked for it, by what is made of all of them."""


@dataclass(frozen=True, eq=False)
class Room:
    """Of some segments.

    Attributes:
        own: float64 of shape (segments, numbers): what their own numbers begin with.
        tables: the name of a grid -> of each block of threads its segment and place there, as one
            int64 (:func:`slalom.backends.cuda.kernel.kernel`).
        kept: bytes that kernels keep for one another, whatever stands there.
    """

    own: np.ndarray
    tables: Mapping[str, np.ndarray]
    kept: int


def counters_of(count: int, crossings: Sequence[Sequence[Symbol]]) -> np.ndarray:
    """What segments begin with, int64: an i32 each, and a number for each thing asked of it."""
    each = [NEUTRAL[node.args[1]] for crossing in crossings for node in crossing]
    numbers = np.tile(np.array(each, np.float64), count).view(np.int64)
    return np.concatenate([np.zeros(asked_at(count) // 8, np.int64), numbers])


def asked_at(count: int) -> int:
    """How many bytes behind the first counter the first number lies that a segment is asked for."""
    return 8 * -(-count // 2)


def blocks_of(counts: Sequence[int], least: int = 0) -> np.ndarray:
    """Of each block of threads its segment and chunk, as one word; int64.

    ``least`` is 1 where there is to be one for what has no elements too.
    """
    chunks = [
        np.int64(place << 32) + np.arange(max(least, -(-count // CHUNK)), dtype=np.int64)
        for place, count in enumerate(counts)
    ]
    return np.concatenate(chunks) if chunks else np.zeros(0, np.int64)
