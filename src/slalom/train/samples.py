"""Training and validation data in whatever form the user has them."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from slalom.errors import InputError


class Samples:
    """A set of (input, target) pairs with a length, fetched by index.

    Args:
        data: (inputs, targets) as tensors or NumPy arrays of equal length; a ``Dataset`` of such
            pairs with a length; or a ``DataLoader``, whose dataset and collate function are taken.
        name: ``train`` or ``valid``, for messages.

    Raises :class:`InputError` if the data are none of these, are empty, differ in length, or (as
    arrays) hold NaN or infinity.
    """

    def __init__(self, data: Any, name: str):
        self.name = name
        self._collate: Any = default_collate
        if isinstance(data, DataLoader):
            self._collate = data.collate_fn
            data = data.dataset
        if isinstance(data, TensorDataset) and len(data.tensors) == 2:
            data = data.tensors
        self._arrays: tuple[Tensor, Tensor] | None = None
        self._dataset: Dataset[Any] | None = None
        if isinstance(data, tuple | list) and len(data) == 2:
            self._arrays = tuple(self._tensor(d) for d in data)  # type: ignore[assignment]
            lengths = [len(a) for a in cast("tuple[Tensor, Tensor]", self._arrays)]
            if lengths[0] != lengths[1]:
                raise InputError(
                    f"{name} has {lengths[0]} inputs and {lengths[1]} targets; each input needs "
                    "one target"
                )
            self.n = lengths[0]
        elif isinstance(data, Dataset) and isinstance(data, Sized):
            self._dataset, self.n = data, len(data)
        else:
            raise InputError(
                f"{name} is a {type(data).__name__}; it must be (inputs, targets) as tensors or "
                "NumPy arrays, a Dataset with a length, or a DataLoader of one"
            )
        if self.n == 0:
            raise InputError(f"{name} is empty; it needs at least one sample")

    def _tensor(self, data: Any) -> Tensor:
        if isinstance(data, np.ndarray):
            if data.dtype.kind not in "fiubc":
                raise InputError(f"{self.name} holds an array of dtype {data.dtype}, not numbers")
            data = torch.from_numpy(data)
        if not isinstance(data, Tensor) or data.dim() == 0:
            raise InputError(
                f"{self.name} must hold tensors or NumPy arrays with one row a sample, not a "
                f"{type(data).__name__}"
            )
        data = data.detach()
        if data.dtype == torch.float64 and torch.get_default_dtype() == torch.float32:
            data = data.float()  # what NumPy makes of plain numbers, and a float32 model refuses
        if data.is_floating_point() and not bool(data.isfinite().all()):
            bad = int((~data.isfinite()).reshape(len(data), -1).any(1).nonzero()[0])
            raise InputError(f"{self.name} holds NaN or infinity, first in sample {bad}")
        return data

    def __len__(self) -> int:
        return self.n

    def fetch(self, indices: Tensor) -> tuple[Any, Any]:
        """The inputs and the targets of these samples (int64 indices), each as one batch."""
        if self._arrays is not None:
            inputs, targets = self._arrays
            return inputs.index_select(0, indices), targets.index_select(0, indices)
        assert self._dataset is not None
        return self._pair(self._collate([self._dataset[i] for i in indices.tolist()]))

    def span(self, begin: int, end: int) -> tuple[Any, Any]:
        """The samples from ``begin`` to ``end`` in their order, without a copy where possible."""
        if self._arrays is not None:
            inputs, targets = self._arrays
            return inputs[begin:end], targets[begin:end]
        return self.fetch(torch.arange(begin, min(end, self.n)))

    def _pair(self, batch: Any) -> tuple[Any, Any]:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise InputError(f"a sample of {self.name} must be a pair (input, target)")
        return batch[0], batch[1]


def moved(value: Any, device: torch.device) -> Any:
    """A batch on a device: tensors, and tuples, lists and dicts of them."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple | list):
        return type(value)(moved(v, device) for v in value)
    if isinstance(value, dict):
        return {k: moved(v, device) for k, v in value.items()}
    return value
