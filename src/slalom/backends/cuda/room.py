"""What kernels that sum keep of the tensors that they go over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from slalom.backends.cuda.kernel import CHUNK


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


def blocks_of(counts: Sequence[int], least: int = 0) -> np.ndarray:
    """Of each block of threads its segment and chunk, as one word; int64.

    ``least`` is 1 where there is to be one for what has no elements too.
    """
    chunks = [
        np.int64(place << 32) + np.arange(max(least, -(-count // CHUNK)), dtype=np.int64)
        for place, count in enumerate(counts)
    ]
    return np.concatenate(chunks) if chunks else np.zeros(0, np.int64)
