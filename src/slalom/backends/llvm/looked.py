"""The tables that the driver looks at tensors by."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends.llvm.torch_c import dtype_code, holder_offset

_SEEN = [("kind", "u8"), ("keys", "u8"), ("itemsize", "i8")]
LOOK = np.dtype([
    ("impl", "u8"), ("holder", "u8"), *_SEEN, ("dtype", "i4"), ("device", "i4"), ("dim", "i8"),
    ("sizes", "u8"), ("strides", "u8"), ("address", "u8"),
])  # fmt: skip
SEGMENT = np.dtype([
    ("update", "u8"), ("stages", "u8"), ("n_stages", "i8"), ("block", "i8"), ("width", "i8"),
    ("slots", "u8"), ("own", "u8"), ("partial", "u8"),
    ("row", "u8"), ("next", "u8"), ("square", "u8"), ("looks", "u8"),
    ("arrays", "u8"), ("values", "u8"), ("present", "u8"), ("numel", "i8"), ("bytes", "i8"),
    ("grad_dtype", "i8"), *_SEEN, ("copied", "i8"), ("states", "i8"), ("kept", "i8"),
    ("first_line", "i8"),
])  # fmt: skip
"""Seen, Look and Segment as ``driver.c`` declares them."""


def looks(tensors: Sequence[Tensor | None], beside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A look for each tensor, and the sizes and strides that they point to.

    ``beside`` says of each which one's shape and strides it has, its own place where that is it. A
    place without a tensor has an empty look, and one more stands at the end.
    """
    table = np.zeros(len(tensors) + 1, LOOK)
    there: list[Any] = [t for t in tensors if t is not None]
    every = len(there) == len(tensors)
    at = np.arange(len(tensors)) if every else np.flatnonzero([t is not None for t in tensors])
    # What is of shape and strides is found once for all that have them in common.
    owner = np.append(beside, len(tensors))
    own = at[owner[at] == at]
    owners: list[Any] = [tensors[i] for i in own.tolist()]
    numbers = [(*t.shape, *t.stride()) if t.layout is torch.strided else () for t in owners]
    shapes = np.array([*chain.from_iterable(numbers), 0], np.int64)
    lengths = np.array([*map(len, numbers)], np.int64)
    start, dim, numel = np.zeros((3, len(table)), np.int64)
    start[own], dim[own] = np.cumsum(lengths) - lengths, [t.dim() for t in owners]
    numel[own] = [t.numel() for t in owners]
    start, dim, numel = start[owner], dim[owner], numel[owner]
    table["dim"][at] = dim[at]
    table["sizes"][at] = shapes.ctypes.data + 8 * start[at]
    table["strides"][at] = shapes.ctypes.data + 8 * (start + dim)[at]
    dtypes = list(map(attrgetter("dtype"), there))
    known = {dtype: i for i, dtype in enumerate(dict.fromkeys(dtypes))}
    which = np.array(list(map(known.__getitem__, dtypes)), np.intp)
    table["dtype"][at] = np.array([dtype_code(d) for d in known], np.int64)[which]
    itemsize = np.array([d.itemsize for d in known], np.int64)[which]
    table["itemsize"][at] = np.where(numel[at] == 0, 0, itemsize)
    table["impl"][at] = list(map(attrgetter("_cdata"), there))
    table["address"][at] = _addresses(there)
    if offset := holder_offset():
        table["holder"][at] = np.array(list(map(id, there)), np.uint64) + offset
    return table, shapes


def _addresses(tensors: Sequence[Tensor]) -> list[int]:
    """Where the elements of tensors lie; 0 of those that have no memory of their own."""
    try:
        return list(map(Tensor.data_ptr, tensors))
    except RuntimeError:  # one is sparse
        return [t.data_ptr() if t.layout is torch.strided else 0 for t in tensors]
