"""Batches out of datasets: here, or ahead of time in the processes of a DataLoader."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate, get_worker_info

from slalom.train.rng import RandomStream, seed_of, set_global

Key = tuple[int, ...]
"""What the random numbers of a batch follow from: (seed of the run, step)."""

AHEAD = 64
"""Batches that the processes of a loader are told of at a time."""


@dataclass
class Loading:
    """How batches are made of a dataset's samples.

    Every batch has random numbers of its own, which follow from its key: so it is the same
    whichever process makes it, after whatever others.

    Attributes:
        collate: samples -> batch.
        workers: processes that load; 0 to load here.
        options: of the user's DataLoader, for its processes.
        drop_last: of the user's DataLoader, for data that are not asked for by index.
        bare: whether its dataset yields batches, and not samples.
    """

    collate: Callable[[list[Any]], Any] = default_collate
    workers: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    drop_last: bool = False
    bare: bool = False
    _live: _Live | None = None
    _stream: RandomStream | None = None

    @classmethod
    def of(cls, loader: DataLoader[Any]) -> Loading:
        """As this loader loads."""
        names = (
            "pin_memory", "timeout", "worker_init_fn", "prefetch_factor", "multiprocessing_context"
        )  # fmt: skip
        options = {n: getattr(loader, n) for n in names} if loader.num_workers else {}
        if options:
            options["worker_init_fn"] = _Begin(options["worker_init_fn"])
        bare = loader.batch_sampler is None and loader.batch_size is None
        collate = loader.collate_fn
        if bare and not isinstance(loader.dataset, IterableDataset):
            collate = _Alone(collate)
        return cls(collate, loader.num_workers, options, loader.drop_last, bare)

    def with_workers(self, n: int) -> Loading:
        """The same by so many processes; the batches are equal."""
        options = self.options if n and self.workers else {}
        if n and not options:
            options = {"worker_init_fn": _Begin(None)}
        return replace(self, workers=n, options=options, _live=None, _stream=None)

    def make(self, dataset: Any, indices: Tensor, key: Key) -> Any:
        """The batch of these samples, made here."""
        if self._stream is None:
            self._stream = RandomStream(0)
        self._stream.seed(seed_of(*key))
        with self._stream:
            return _made(dataset, self.collate, indices.tolist())

    def sequence(
        self, dataset: Any, owner: object, step: int, indices: Callable[[int], Tensor], seed: int
    ) -> Any:
        """The batch of this step of ``owner``; those after it are made ahead where it has workers.

        One owner is served at a time, since each would have processes of its own.
        """
        if not self.workers:
            return self.make(dataset, indices(step), (seed, 3, step))
        live = self._live
        if live is None or live.owner is not owner or live.step != step:
            self.close()
            live = self._live = _Live(self, dataset, owner, step, indices, seed)
        return live.next()

    def loader(
        self, dataset: Any, seed: int, end: int, indices: Sequence[list[int]]
    ) -> DataLoader[Any]:
        """A DataLoader, with processes of its own, of the batches of these samples, the last of
        which is of the step before ``end``."""
        keys = range(end - len(indices), end)
        return self.by_key(dataset, lambda: zip([(seed, 3, k) for k in keys], indices, strict=True))

    def by_key(
        self, dataset: Any, plan: Callable[[], Iterator[tuple[Key, list[int]]]]
    ) -> DataLoader[Any]:
        """A DataLoader, with processes of its own, of the batches that ``plan`` asks for."""
        return DataLoader(
            _Batches(dataset, self.collate), batch_size=None, sampler=_Planned(plan),
            num_workers=self.workers, collate_fn=_same, generator=torch.Generator(),
            **self.options,
        )  # type: ignore[arg-type] # fmt: skip

    def close(self) -> None:
        """End the processes that load."""
        self._live = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_live": None, "_stream": None}


class _Alone:
    """Makes a batch of the one item that is one already."""

    def __init__(self, collate: Callable[[Any], Any]):
        self._collate = collate

    def __call__(self, items: list[Any]) -> Any:
        (item,) = items
        return self._collate(item)


class _Live:
    """The processes of a loader, at work for one owner."""

    def __init__(
        self, loading: Loading, dataset: Any, owner: object, step: int,
        indices: Callable[[int], Tensor], seed: int,
    ):  # fmt: skip
        self.owner, self.step = owner, step

        def plan() -> Iterator[tuple[Key, list[int]]]:
            at = step
            while True:
                yield (seed, 3, at), indices(at).tolist()
                at += 1

        self._iterator = iter(loading.by_key(dataset, plan))

    def next(self) -> Any:
        self.step += 1
        return next(self._iterator)


class _Planned(torch.utils.data.Sampler[Any]):
    def __init__(self, plan: Callable[[], Iterator[Any]]):
        self._plan = plan

    def __iter__(self) -> Iterator[Any]:
        return self._plan()


class _Batches(Dataset[Any]):
    """A dataset whose items are whole batches, asked for by key and indices."""

    def __init__(self, dataset: Any, collate: Callable[[list[Any]], Any]):
        self.dataset, self._collate = dataset, collate

    def __getitem__(self, asked: tuple[Key, list[int]]) -> Any:  # type: ignore[override]
        key, indices = asked
        assert get_worker_info() is not None
        set_global(seed_of(*key))
        return _made(self.dataset, self._collate, indices)


class _Begin:
    """What a process does first: it leaves Ctrl-C, which a terminal sends to all, to who started
    it, knows the user's own dataset, and calls the user's function."""

    def __init__(self, own: Callable[[int], Any] | None):
        self._own = own

    def __call__(self, worker: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        info: Any = get_worker_info()
        if isinstance(info.dataset, _Batches):
            object.__setattr__(info, "dataset", info.dataset.dataset)  # it lets nobody write to it
        if self._own is not None:
            self._own(worker)


def _same(batch: Any) -> Any:
    return batch


def _made(dataset: Any, collate: Callable[[list[Any]], Any], indices: Sequence[int]) -> Any:
    several: Any = getattr(dataset, "__getitems__", None)  # as torch's own loader asks for many
    if callable(several):
        samples: Any = several(list(indices))
        return collate(samples)
    return collate([dataset[i] for i in indices])
