"""Data that are not asked for by index, but yielded: iterable datasets."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from slalom.errors import InputError
from slalom.train.loading import Loading
from slalom.train.rng import RandomStream, seed_of
from slalom.train.tree import count

MOST = 1 << 20
"""Samples after which an epoch counts as endless, of a dataset that has no length."""


class Stream:
    """An iterable dataset: an epoch is what it yields.

    It is iterated anew in every epoch, the global random numbers being those of seed and epoch,
    and is told of the epoch if it has ``set_epoch``, of the seed of the run by ``set_seed``.

    One with a length ends when so many samples (or batches, where it yields these) were yielded.

    Attributes:
        n: samples of the first epoch.
        size: samples of a batch where it yields batches: of the first.

    Raises :class:`InputError` for one that does not end, or ends before its length.
    """

    def __init__(self, dataset: IterableDataset[Any], name: str, size: int | None, load: Loading):
        self.dataset, self._name, self._loading = dataset, name, load
        self.n = 0
        self._most: int | None = None
        self.size = size or (count(self.first(64)) if load.bare else 64)
        if hasattr(dataset, "__len__"):
            self._most = len(dataset)  # type: ignore[arg-type]
            if not load.bare:
                self.n = self._most
                return
        for _, n in self.epoch(self.size, 0, 0):
            self.n += n
            if self.n > MOST and self._most is None:
                raise InputError(
                    f"{name} yields more than {MOST:,} samples, and an epoch is what it yields; "
                    "give it a __len__, the samples of an epoch"
                )

    def epoch(self, size: int, seed: int, epoch: int) -> Iterator[tuple[Any, int]]:
        """The batches of an epoch, each with its number of samples."""
        try:  # a copy, so that nothing goes over from one epoch or run to another
            dataset = copy.deepcopy(self.dataset)
        except Exception:  # one that holds what cannot be copied, as an open file
            dataset = self.dataset
        for hook, value in (("set_seed", seed), ("set_epoch", epoch)):
            if callable(tell := getattr(dataset, hook, None)):
                tell(value)
        load = self._loading
        random = RandomStream(seed_of(seed, 6, epoch))
        with random:
            loader = DataLoader(
                dataset, None if load.bare else size, collate_fn=load.collate,
                num_workers=load.workers, drop_last=load.drop_last, **load.options,
            )  # fmt: skip
            iterator = iter(loader)
        seen = 0
        while self._most is None or seen < self._most:
            with random, warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Length of IterableDataset")  # ended here
                batch = next(iterator, None)
            if batch is None:
                self._check_length(seen, size)
                return
            n = count(batch)
            seen += 1 if load.bare else n
            yield batch, n

    def _check_length(self, seen: int, size: int) -> None:
        """Raise :class:`InputError` for a length that is more than what was yielded."""
        load = self._loading
        dropped = (size - 1) * max(1, load.workers) if load.drop_last else 0
        if self._most is not None and seen + dropped < self._most:
            what = "batches" if load.bare else "samples"
            raise InputError(
                f"{self._name} says by its __len__ that it has {self._most:,} {what}, and yields "
                f"{seen:,}; let it say how many an epoch has, or leave __len__ out"
            )

    def first(self, size: int) -> Any:
        """The first batch of the first epoch."""
        for batch, _ in self.epoch(size, 0, 0):
            return batch
        raise InputError(f"{self._name} is empty; it needs at least one sample")

    def batches(self, size: int, seed: int) -> Sequence[tuple[Any, int]]:
        """The batches of a training run, by step."""
        return _Yielded(self, size, seed)  # type: ignore[return-value]


class _Yielded:
    """The batches of one run, epoch after epoch."""

    def __init__(self, stream: Stream, size: int, seed: int):
        self._stream, self._size, self._seed = stream, size, seed
        self._begin()

    def _begin(self) -> None:
        self._next, self._epoch = 0, -1
        self._batch: Any = None
        self._ahead: tuple[Any, int] | None = None  # None at the end of an epoch
        self._iterator: Iterator[tuple[Any, int]] = iter(())

    def __getitem__(self, step: int) -> tuple[Any, int]:
        if step < self._next:
            self._begin()
        while self._next <= step:
            if self._ahead is None:
                self._epoch += 1
                self._iterator = self._stream.epoch(self._size, self._seed, self._epoch)
                self._ahead = next(self._iterator, None)
                if self._ahead is None:
                    raise InputError(f"epoch {self._epoch} of train yields nothing")
            self._batch, self._next = self._ahead, self._next + 1
            self._ahead = next(self._iterator, None)
        return self._batch

    def last(self, step: int) -> bool:
        """Whether the batch of this step is the last one of its epoch."""
        if step != self._next - 1:
            _ = self[step]
        return self._ahead is None
