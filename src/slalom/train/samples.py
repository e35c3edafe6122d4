"""Training and validation data in whatever form the user has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from slalom.errors import InputError
from slalom.train.arrays import is_arrow, is_frame, of_arrow, of_column, of_numpy
from slalom.train.batches import Batches
from slalom.train.faults import where
from slalom.train.loading import Loading
from slalom.train.order import Order
from slalom.train.overlap import within
from slalom.train.stream import Stream
from slalom.train.tree import leaves, mapped


class Samples:
    """A set of samples, fetched as batches.

    Args:
        data: tensors or NumPy arrays with one row a sample, in a tuple (inputs, targets), or in
            any other structure (a dict, a tuple of any length, a dataclass, nested), which is then
            a batch's; a pandas or polars frame or an Arrow table, which is a dict of its columns;
            an Arrow column in place of an array; a ``Dataset``, or
            whatever has a length and gives samples by index; an ``IterableDataset``, an epoch of
            which is what it yields; or a ``DataLoader``, whose way of drawing and loading is kept.
        name: ``train`` or ``valid``, for messages.

    Attributes:
        n: samples of an epoch.
        held: samples that there are to draw from.
        arrays: the whole of it as one batch, where it is in memory, else None.
        order: in which samples are drawn.
        batch_size: samples of a batch, where a DataLoader says so, else None.
        by_loader: whether a loop by hand would go through a DataLoader anew in each epoch that does
            more than what is done here: cut its batches out of tensors sample by sample, or start
            its processes.

    Raises :class:`InputError` if the data are none of these, are empty, differ in length, or (as
    arrays) hold NaN or infinity.
    """

    def __init__(self, data: Any, name: str):
        self.name, self.order, self.loading = name, Order(), Loading()
        self.arrays: Any = None
        self._loose: set[int] = set()  # ids of arrays whose dtype is NumPy's own choice
        self.batch_size: int | None = None
        self.stream: Stream | None = None
        self._dataset: Any = None
        loader = data if isinstance(data, DataLoader) else None
        data = _torch_format(data) if loader is None else self._take(loader)
        if isinstance(data, TensorDataset) and self._plainly_collated and not self.loading.workers:
            data = data.tensors
        if isinstance(data, IterableDataset):
            self.stream = Stream(data, name, self.batch_size, self.loading)
            self.n = self.stream.n
            if self.loading.bare:
                self.batch_size = self.stream.size
        elif (arrays := self._as_arrays(data) if self._plainly_collated else None) is not None:
            self.arrays = arrays
            self.n = _length(arrays, name)
        elif hasattr(data, "__len__") and hasattr(data, "__getitem__"):
            self._dataset = data
            try:
                self.n = len(data)
            except Exception as error:  # anybody's code
                raise InputError(
                    f"the length of {name} cannot be had: {type(error).__name__}: "
                    f"{error}{where(error, libraries=False)}"
                ) from error
        else:
            raise InputError(
                f"{name} is a {type(data).__name__}; it must be (inputs, targets) as tensors or "
                "NumPy arrays, a Dataset, or a DataLoader of one"
            )
        if self.n == 0:
            raise InputError(f"{name} is empty; it needs at least one sample")
        self.by_loader = (
            loader is not None and self.stream is None and not self.cut
            and (type(self.arrays) is tuple or self.loading.workers > 0)
            and not loader.persistent_workers
        )  # fmt: skip
        self.held = self.n
        if self.stream is None:
            self.n = self.order.length(self.n)
            if self.order.cuts is not None:  # whatever size they say they have
                self.batch_size = self.order.size(self.held)
        if self.order.drop_last and self.n < (self.batch_size or 0):
            raise InputError(
                f"the DataLoader of {name} drops its only batch: batch_size is {self.batch_size}, "
                f"and it draws {self.n} samples; make it smaller, or leave drop_last out"
            )

    @property
    def cut(self) -> bool:
        """Whether batches are made by a sampler of the user's own, or by the dataset itself."""
        return self.order.cuts is not None or self.loading.bare

    @property
    def _plainly_collated(self) -> bool:
        return self.loading.collate is torch.utils.data.default_collate

    def _take(self, loader: DataLoader[Any]) -> Any:
        """Keep how a DataLoader draws and loads; its dataset."""
        self.loading = Loading.of(loader)
        self.batch_size = getattr(loader.batch_sampler, "batch_size", loader.batch_size)
        if not isinstance(loader.dataset, IterableDataset):
            if self.loading.bare:
                self.batch_size = 1
            self.order = Order.of(loader, self.name)
        return loader.dataset

    def _as_arrays(self, data: Any) -> Any:
        """The data as a batch of tensors; None if they are no arrays."""
        if is_arrow(data) and hasattr(data, "column_names"):
            data = dict(zip(data.column_names, data.columns, strict=True))
        if is_frame(data):
            data = {str(c): of_column(data[c], str(c), self.name) for c in data.columns}
        structured = isinstance(data, tuple | Mapping) or (
            dataclasses.is_dataclass(data) and not isinstance(data, type)
        )
        pair = isinstance(data, list) and len(data) == 2
        parts: Any = data
        if not (structured or pair or isinstance(data, Tensor | np.ndarray) or is_arrow(data)):
            return None
        if pair and not all(
            isinstance(d, Tensor | np.ndarray) or is_frame(d) or is_arrow(d) for d in parts
        ):
            return None
        return mapped(self._tensor, tuple(parts) if pair else data)

    def _tensor(self, data: Any) -> Tensor:
        if is_arrow(data):
            data = of_arrow(data, self.name)
        if hasattr(data, "to_numpy") and not isinstance(data, Tensor):
            data = data.to_numpy()
        if isinstance(data, np.ndarray):
            data = of_numpy(data, self.name)
            if data.dtype == torch.float64:
                self._loose.add(id(data))
                return self._finite(data)
        if not isinstance(data, Tensor) or data.dim() == 0:
            raise InputError(
                f"{self.name} must hold tensors or NumPy arrays with one row a sample, not a "
                f"{type(data).__name__}; torch.tensor makes one of lists of numbers"
            )
        return self._finite(data.detach())

    def _finite(self, data: Tensor) -> Tensor:
        if data.is_floating_point() and not bool(data.isfinite().all()):
            bad = int((~data.isfinite()).reshape(len(data), -1).any(1).nonzero()[0])
            raise InputError(f"{self.name} holds NaN or infinity, first in sample {bad}")
        return data

    def __len__(self) -> int:
        return self.n

    @property
    def dataset(self) -> Any:
        """What samples are taken from by index, where they are not in arrays."""
        return self._dataset

    def follow(self, dtype: torch.dtype) -> None:
        """Let NumPy's arrays of float64, which it makes of plain numbers, become ``dtype``."""
        if self.arrays is not None:
            self.arrays = mapped(self._followed(dtype), self.arrays)
            self._loose.clear()

    def _followed(self, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        return lambda a: a.to(dtype) if id(a) in self._loose else a

    def first_epoch(self) -> tuple[Tensor, ...]:
        """What tells one way of drawing from another; nothing of what is yielded."""
        if self.stream is not None:
            return ()
        return self.order.epoch(self.held, min(self.held, self.batch_size or 64), 0, 0)

    def batches(self, m: int, seed: int, *, replacement: bool = False) -> Sequence[tuple[Any, int]]:
        """The batches of a training run, by step: each with its number of samples.

        ``m`` samples in each, but where a sampler of the user's own makes batches.
        """
        if self.stream is not None:
            return self.stream.batches(m, seed)
        return _Drawn(self, Batches(
            self.held, min(m, self.held), seed, replacement=replacement, order=self.order
        ))  # type: ignore[return-value] # fmt: skip

    def fetch(self, indices: Tensor, key: tuple[int, ...] = (0,)) -> Any:
        """The batch of these samples (int64 indices); ``key`` seeds what is random about it."""
        if self.arrays is not None:
            return mapped(lambda a: a.index_select(0, indices), self.arrays)
        return self.loading.make(self._dataset, indices, key)

    def span(self, begin: int, end: int) -> Any:
        """The samples from ``begin`` to ``end`` in their order, as a batch of its own."""
        if self.stream is not None:
            return self.stream.first(end - begin)
        end = min(end, self.held)
        if self.arrays is not None:
            return mapped(lambda a: a[begin:end].clone(), self.arrays)
        return self.fetch(torch.arange(begin, end), (begin,))

    def chunks(self, size: int, seed: int = 0, epoch: int = 0) -> Iterator[tuple[Any, int]]:
        """All samples of an epoch, some at a time, each with their number: what is evaluated.

        In their order; where the order is not simply all samples, in that of this epoch and seed.
        """
        if self.stream is not None:
            yield from self.stream.epoch(size, seed, epoch)
        elif self.order.cuts is not None or not self.order.plain or self.order.drop_last:
            m = self.batch_size or size
            for i, indices in enumerate(self.order.epoch(self.held, m, seed, epoch)):
                yield self.fetch(indices, (seed, 5, epoch, i)), len(indices)
        elif self.arrays is None and self.loading.workers:
            starts = range(0, self.held, size)
            whole = torch.arange(self.held).split(size)
            for i, begin in enumerate(starts):
                n = min(size, self.held - begin)
                yield self.loading.sequence(
                    self._dataset, self, i,
                    lambda k: whole[k % len(whole)],
                    seed,
                ), n  # fmt: skip
            self.loading.close()
        else:
            for begin in range(0, self.held, size):
                yield self.span(begin, begin + size), min(size, self.held - begin)

    def within(self, other: Samples) -> bool:
        """Whether all of these samples are among the other's, as far as it can be seen.

        Of tensors and arrays, sample by sample; of datasets, whether they are one, or parts of one
        by ``torch.utils.data.Subset``. Two datasets are not read to compare them.
        """
        few, many = self._tensors(), other._tensors()
        if few is not None and many is not None:
            return within(few, many)
        if self.stream is not None:
            return other.stream is not None and self.stream.dataset is other.stream.dataset
        (one, chosen), (two, others) = _chosen(self._dataset), _chosen(other._dataset)
        return one is not None and one is two and set(chosen) <= set(others)

    def _tensors(self) -> list[Tensor] | None:
        """All tensors, where they are at hand."""
        if self.arrays is not None:
            return list(leaves(mapped(self._followed(torch.get_default_dtype()), self.arrays)))
        dataset, chosen = _chosen(self._dataset)
        if not isinstance(dataset, TensorDataset):
            return None
        return [t[chosen] for t in dataset.tensors]


class _Drawn:
    """The batches of one run, out of samples that are fetched by index."""

    def __init__(self, samples: Samples, batches: Batches):
        self._samples, self._batches = samples, batches
        self._ahead = _ahead(samples.arrays, batches.m)
        self._begin, self._block = 0, ()

    def __getitem__(self, step: int) -> tuple[Any, int]:
        samples, batches = self._samples, self._batches
        if self._ahead > 1:
            if not 0 <= step - self._begin < len(self._block):
                self._block = _taken(samples.arrays, *batches.ahead(step, self._ahead))
                self._begin = step
            return self._block[step - self._begin]
        indices = batches[step]
        if samples.arrays is not None:
            return samples.fetch(indices), len(indices)
        batch = samples.loading.sequence(
            samples.dataset, self, step, batches.__getitem__, batches.seed
        )
        return batch, len(indices)

    def last(self, step: int) -> bool:
        """Whether the batch of this step is the last one of its epoch."""
        return self._batches.last(step)

    def indices(self, step: int) -> Tensor:
        """Those of the samples in the batch of this step."""
        return self._batches[step]

    @property
    def seed(self) -> int:
        """Of the order."""
        return self._batches.seed


BLOCK = 1 << 20
"""Bytes of samples that are gathered ahead for several batches, at most; they stay in a cache."""

MOST = 32
"""And batches."""

ALIGNED = 64
"""What the addresses of torch's own tensors are multiples of: sums may hang on it in their last
bit, so that a batch which is cut out of a block must be like one that is gathered alone."""


def _ahead(arrays: Any, m: int) -> int:
    """How many batches of ``m`` samples are gathered at once: 1 where they are no tuple of tensors
    in the CPU's memory, where they are large, and where they would not begin at aligned addresses.
    """
    if type(arrays) is not tuple or not all(
        type(a) is Tensor and a.device.type == "cpu" and a.layout == torch.strided for a in arrays
    ):
        return 1
    sizes = [m * a[:1].numel() * a.element_size() for a in arrays]
    if not sum(sizes) or any(size % ALIGNED for size in sizes):
        return 1
    return min(MOST, max(1, BLOCK // sum(sizes)))


def _taken(
    arrays: tuple[Tensor, ...], indices: Tensor, lengths: list[int]
) -> Sequence[tuple[Any, int]]:
    """The batches of these indices, so many in each, gathered at once.

    They share memory, and nothing else: torch does not count them as views of one tensor. A
    shorter one can only be the last, so that all begin at aligned addresses.
    """
    parts = [torch.unsafe_split_with_sizes(a.index_select(0, indices), lengths) for a in arrays]
    return list(zip(zip(*parts, strict=True), lengths, strict=True))


def _length(arrays: Any, name: str) -> int:
    lengths = [len(a) for a in leaves(arrays)]
    if not lengths:
        raise InputError(f"{name} is empty; it needs at least one sample")
    if len(set(lengths)) > 1:
        if isinstance(arrays, tuple) and len(lengths) == 2:
            raise InputError(
                f"{name} has {lengths[0]} inputs and {lengths[1]} targets; each input needs one "
                "target"
            )
        raise InputError(
            f"{name} holds arrays of {', '.join(map(str, lengths))} rows; all need one row a sample"
        )
    return lengths[0]


def _torch_format(data: Any) -> Any:
    """A dataset of HuggingFace's gives lists unless it is asked for tensors."""
    if not type(data).__module__.startswith("datasets."):
        return data
    given = getattr(data, "format", None)  # which one that is iterable keeps elsewhere
    asked = given["type"] if given else getattr(data, "_formatting", None)
    return data.with_format("torch") if asked is None else data


def _chosen(dataset: Any) -> tuple[Dataset[Any] | None, list[int]]:
    """(the dataset that it is a part of, the indices of this part)."""
    if dataset is None:
        return None, []
    chosen = list(range(len(dataset)))
    while isinstance(dataset, Subset):
        chosen = [int(dataset.indices[i]) for i in chosen]
        dataset = dataset.dataset
    return dataset, chosen
