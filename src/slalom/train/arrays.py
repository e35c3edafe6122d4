"""Arrays, columns and frames of other libraries, as numbers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.errors import InputError


def is_frame(data: Any) -> bool:
    return hasattr(data, "columns") and hasattr(data, "to_numpy")


def of_numpy(data: np.ndarray, name: str) -> Tensor:
    """An array as a tensor, without a copy where there need be none."""
    data = _stacked(data, name)
    if data.dtype.kind not in "fiubc":
        raise InputError(f"{name} holds an array of dtype {data.dtype}, not numbers")
    try:
        data = data.astype(data.dtype.newbyteorder("="), copy=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it may be read-only, and nobody writes to it
            return torch.from_numpy(np.ascontiguousarray(data))
    except TypeError as error:
        raise InputError(
            f"{name} holds an array of dtype {data.dtype}, which torch has none of; make it float64"
        ) from error


def _stacked(values: np.ndarray, what: str) -> np.ndarray:
    """Lists, one a sample, as one array; anything else as it is."""
    if values.dtype.kind != "O" or not len(values):
        return values
    if not isinstance(values[0], list | tuple | np.ndarray):
        return values
    try:
        return np.stack([np.asarray(v) for v in values])
    except ValueError as error:
        raise InputError(
            f"{what} holds lists of different lengths; pad them, or give a dataset of them in a "
            "DataLoader whose collate_fn does"
        ) from error


def is_arrow(data: Any) -> bool:
    """Whether it is a table or a column of pyarrow, which need not be installed."""
    known = type(data).__module__.partition(".")[0] == "pyarrow"
    return known and (hasattr(data, "null_count") or hasattr(data, "column_names"))


def of_arrow(column: Any, name: str) -> np.ndarray:
    """A column of pyarrow as an array, one row a sample: of numbers, or of lists that are equally
    long by their type."""
    if column.null_count:
        raise InputError(
            f"{name} has a column with missing values ({column.null_count}); fill them first"
        )
    whole = column
    if hasattr(column, "chunks"):
        whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if not hasattr(whole.type, "list_size"):
        return whole.to_numpy(zero_copy_only=False)
    inner = of_arrow(whole.flatten(), name)
    return inner.reshape(len(whole), whole.type.list_size, *inner.shape[1:])


def of_column(column: Any, label: str, name: str) -> np.ndarray:
    values = _stacked(column.to_numpy(), f"column {label!r} of {name}")
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    if values.dtype.kind not in "fiuc":
        raise InputError(
            f"column {label!r} of {name} is {values.dtype}, not numbers; encode it, or leave it out"
        )
    return values
