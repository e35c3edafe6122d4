"""Data that are not asked for by index, but yielded: iterable datasets."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import islice
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

    One with a length ends when so many samples were yielded.

    Attributes:
        n: samples of the first epoch.

    Raises :class:`InputError` for one that does not end.
    """

    def __init__(self, dataset: IterableDataset[Any], name: str, size: int | None, load: Loading):
        self.dataset, self._name, self._loading = dataset, name, load
        self._size = size or 64
        self.n = 0
        self._most: int | None = None
        if hasattr(dataset, "__len__"):
            self.n = self._most = len(dataset)  # type: ignore[arg-type]
            return
        for _, n in self.epoch(self._size, 0, 0):
            self.n += n
            if self.n > MOST:
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
        loading = self._loading
        random = RandomStream(seed_of(seed, 6, epoch))
        with random:
            loader = DataLoader(
                dataset, size, collate_fn=loading.collate, num_workers=loading.workers,
                **loading.options,
            )  # fmt: skip
            iterator = iter(loader)
        seen = 0
        while self._most is None or seen < self._most:
            with random:
                batch = next(iterator, None)
            if batch is None:
                return
            seen += count(batch)
            yield batch, count(batch)

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
        self._next, self._epoch, self._begun = 0, -1, 0
        self._iterator: Iterator[tuple[Any, int]] = iter(())

    def __getitem__(self, step: int) -> tuple[Any, int]:
        if step < self._next:
            self._next, self._epoch, self._iterator = 0, -1, iter(())
        skipped = step - self._next
        while True:
            found = next(islice(self._counted(), skipped, None), None)
            skipped = step - self._next
            if found is not None:
                return found
            if self._epoch >= 0 and self._next == self._begun:
                raise InputError(f"epoch {self._epoch} of train yields nothing")
            self._epoch, self._begun = self._epoch + 1, self._next
            self._iterator = self._stream.epoch(self._size, self._seed, self._epoch)

    def _counted(self) -> Iterator[tuple[Any, int]]:
        for found in self._iterator:
            self._next += 1
            yield found
