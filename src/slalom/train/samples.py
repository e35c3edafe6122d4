"""Training and validation data in whatever form the user has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from hashlib import blake2b
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map
from torch.utils.data import (
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
)

from slalom.errors import InputError


class Samples:
    """A set of (input, target) pairs with a length, fetched by index.

    Args:
        data: (inputs, targets) as tensors or NumPy arrays of equal length; a ``Dataset`` of such
            pairs with a length; or a ``DataLoader``, whose dataset and collate function are taken.
            Arrays of float64 become torch's default dtype; tensors stay as they are.
        name: ``train`` or ``valid``, for messages.

    Attributes:
        arrays: (inputs, targets) where they are in memory, else None.

    Raises :class:`InputError` if the data are none of these, are empty, differ in length, or (as
    arrays) hold NaN or infinity.
    """

    def __init__(self, data: Any, name: str):
        self.name = name
        self._collate: Any = default_collate
        if isinstance(data, DataLoader):
            if not isinstance(data.sampler, SequentialSampler | RandomSampler):
                raise InputError(
                    f"the DataLoader of {name} draws by a {type(data.sampler).__name__}, and a run "
                    "draws every sample alike; give the dataset that is to be drawn from"
                )
            self._collate = data.collate_fn
            data = data.dataset
        if isinstance(data, TensorDataset) and len(data.tensors) == 2:
            data = data.tensors
        self.arrays: tuple[Tensor, Tensor] | None = None
        self._dataset: Dataset[Any] | None = None
        if isinstance(data, tuple | list) and len(data) == 2:
            self.arrays = tuple(self._tensor(d) for d in data)  # type: ignore[assignment]
            lengths = [len(a) for a in cast("tuple[Tensor, Tensor]", self.arrays)]
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
            data = torch.from_numpy(np.ascontiguousarray(data))
            if data.dtype == torch.float64:  # what NumPy makes of plain numbers
                data = data.to(torch.get_default_dtype())
        if not isinstance(data, Tensor) or data.dim() == 0:
            raise InputError(
                f"{self.name} must hold tensors or NumPy arrays with one row a sample, not a "
                f"{type(data).__name__}"
            )
        data = data.detach()
        if data.is_floating_point() and not bool(data.isfinite().all()):
            bad = int((~data.isfinite()).reshape(len(data), -1).any(1).nonzero()[0])
            raise InputError(f"{self.name} holds NaN or infinity, first in sample {bad}")
        return data

    def __len__(self) -> int:
        return self.n

    def fetch(self, indices: Tensor) -> tuple[Any, Any]:
        """The inputs and the targets of these samples (int64 indices), each as one batch."""
        if self.arrays is not None:
            inputs, targets = self.arrays
            return inputs.index_select(0, indices), targets.index_select(0, indices)
        assert self._dataset is not None
        return self._pair(self._collate([self._dataset[i] for i in indices.tolist()]))

    def span(self, begin: int, end: int) -> tuple[Any, Any]:
        """The samples from ``begin`` to ``end`` in their order, without a copy where possible."""
        if self.arrays is not None:
            inputs, targets = self.arrays
            return inputs[begin:end], targets[begin:end]
        return self.fetch(torch.arange(begin, min(end, self.n)))

    def within(self, other: Samples) -> bool:
        """Whether all of these samples are among the other's, as far as it can be seen.

        Of tensors and arrays, sample by sample; of datasets, whether they are one, or parts of one
        by ``torch.utils.data.Subset``. Two datasets are not read to compare them.
        """
        few, many = self._tensors(), other._tensors()
        if few is not None and many is not None:
            return _among(few, many)
        (one, chosen), (two, others) = _chosen(self._dataset), _chosen(other._dataset)
        return one is not None and one is two and set(chosen) <= set(others)

    def _tensors(self) -> tuple[Tensor, Tensor] | None:
        """All inputs and targets, where they are at hand."""
        if self.arrays is not None:
            return self.arrays
        dataset, chosen = _chosen(self._dataset)
        if not isinstance(dataset, TensorDataset) or len(dataset.tensors) != 2:
            return None
        inputs, targets = dataset.tensors
        return inputs[chosen], targets[chosen]

    def _pair(self, batch: Any) -> tuple[Any, Any]:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise InputError(f"a sample of {self.name} must be a pair (input, target)")
        return batch[0], batch[1]


def _chosen(dataset: Dataset[Any] | None) -> tuple[Dataset[Any] | None, list[int]]:
    """(the dataset that it is a part of, the indices of this part)."""
    if dataset is None:
        return None, []
    chosen = list(range(len(cast("Sized", dataset))))
    while isinstance(dataset, Subset):
        chosen = [int(dataset.indices[i]) for i in chosen]
        dataset = dataset.dataset
    return dataset, chosen


def _among(few: tuple[Tensor, Tensor], many: tuple[Tensor, Tensor]) -> bool:
    """Whether each pair of the first is one of the second."""
    both = list(zip(few, many, strict=True))
    if any(a.shape[1:] != b.shape[1:] or a.dtype != b.dtype for a, b in both):
        return False
    if all(a is b for a, b in both):
        return True
    first = [(b == a[0]).reshape(len(b), a[0].numel()).all(1) for a, b in both]
    if not bool((first[0] & first[1]).any()):  # as it mostly is, and cheaper to see
        return False
    return _digests(few) <= _digests(many)


def _digests(arrays: tuple[Tensor, Tensor]) -> set[bytes]:
    # A copy, since a row of one number counts as contiguous with any stride.
    rows = [
        a.reshape(len(a), a[0].numel()).cpu().clone(memory_format=torch.contiguous_format)
        for a in arrays
    ]
    numbers = [r.view(torch.uint8).numpy() for r in rows]
    return {blake2b(x.tobytes() + y.tobytes()).digest() for x, y in zip(*numbers, strict=True)}


def moved(value: Any, device: torch.device) -> Any:
    """A batch on a device: whatever can be moved there, in tuples, lists and dicts."""
    return _mapped(lambda v: v.to(device) if hasattr(v, "to") else v, value)


def rows(value: Any, n: int, begin: int, end: int) -> Any:
    """The samples from ``begin`` to ``end`` of a batch of ``n``; what has no n rows stays whole."""

    def part(v: Any) -> Any:
        return v[begin:end] if isinstance(v, Tensor) and v.dim() and len(v) == n else v

    return _mapped(part, value)


def joined(parts: Sequence[Any]) -> Any:
    """Batches put one after the other into one. Raises ValueError if they are no such thing."""

    def together(first: Any, *others: Any) -> Any:
        if others and not isinstance(first, Tensor):
            raise ValueError(f"batches of {type(first).__name__} cannot be put together")
        return torch.cat([first, *others]) if others else first

    return _mapped(together, *parts)


def _mapped(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The function on the leaves of trees of one shape; what moves as a whole is a leaf."""

    def leaf(first: Any, *more: Any) -> Any:
        if isinstance(first, dict):  # of a class of its own, which pytree does not look into
            return type(first)(
                {k: _mapped(function, first[k], *(m[k] for m in more)) for k in first}
            )
        return function(first, *more)

    return tree_map(leaf, tree, *others, is_leaf=lambda value: hasattr(value, "to"))
