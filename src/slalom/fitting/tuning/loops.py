"""The loop that people write: batches out of a DataLoader, torch's ``zero_grad`` and backward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

from slalom.train import Run
from slalom.train.batches import Updates


class PlainRun(Run):
    """A run whose updates are made as in a loop by hand, to the same bits as by :class:`Run`.

    Where the task was given a DataLoader, batches come out of one like it, which is gone through
    anew in each epoch, unless ``task.train`` says that batches are cut out of tensors.
    """

    def __init__(self, *given: Any, **options: Any):
        super().__init__(*given, **options)
        self.clear = self.optimizer.zero_grad
        train = self.task.train
        if train.by_loader and not self._whole:
            drawn = self._updates._batches
            every = self.task.updates_per_epoch(self._part) if self.task.replacement else None
            loaded = _Loaded(drawn, train, every)
            self._updates = Updates(loaded, self.task.accumulate, self._updates._every)

    def _plainly(self, steps: int, losses: list[float]) -> int:
        batches, optimizer = self._updates, self.optimizer
        for made in range(steps):
            ((batch, n),) = batches[self.step]
            self.clear()
            loss = self._loss(batch)
            loss.backward()
            if self._clip.needed:
                self._clip(None)
            optimizer.step()
            value = loss.item()
            self._count(value, n)
            if not self._noted(value):
                return made + 1
            losses.append(value)
        return steps


class _Loaded:
    """The batches of a run in their order, out of one DataLoader an epoch.

    Args:
        drawn: the batches by index, as :meth:`slalom.train.samples.Samples.batches` has them.
        samples: what they are drawn from.
        every: batches of an epoch, where they know of none.
    """

    def __init__(self, drawn: Any, samples: Any, every: int | None):
        self._drawn, self._samples, self._every = drawn, samples, every
        self._left: Iterator[Any] = iter(())

    def __getitem__(self, step: int) -> tuple[Any, int]:
        found = next(self._left, None)
        if found is None:
            self._left = self._epoch(step)
            found = next(self._left)
        return found

    def last(self, step: int) -> bool:
        """Whether the batch of this step is the last one of its epoch."""
        return self._drawn.last(step)

    def _epoch(self, step: int) -> Iterator[tuple[Any, int]]:
        indices = [self._drawn.indices(step).tolist()]
        while not self._drawn.last(step) and len(indices) != self._every:
            step += 1
            indices.append(self._drawn.indices(step).tolist())
        samples = self._samples
        if samples.arrays is None:
            loader = samples.loading.loader(samples.dataset, self._drawn.seed, step + 1, indices)
        else:
            rows = TensorDataset(*samples.arrays)
            loader = DataLoader(rows, batch_sampler=indices, generator=torch.Generator())
        for batch, chosen in zip(loader, indices, strict=True):
            yield tuple(batch) if type(batch) is list else batch, len(chosen)
