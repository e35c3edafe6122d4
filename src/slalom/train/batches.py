"""Which samples make up which batch: a pure function, so that any step can be come back to."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.errors import InputError
from slalom.train.order import Order

DRAWN, EPOCHS = 1 << 14, 16
"""Indices, and epochs, that are drawn at once at most, but one epoch always: a generator that is
made for one alone, out of a cold cache, takes as long as two steps of a small network."""


class Batches:
    """The batches of a training run: ``batches[step]`` are the indices of the samples of a step.

    Args:
        n: samples in the training set, at least 1.
        m: samples in a batch, from 1 (classical SGD) to ``n``.
        seed: of the order.
        replacement: draw each batch at random from all samples; by default each epoch is a new
            order of all samples cut into batches, the last of which may be smaller.
        order: another order than that.

    Raises :class:`InputError` if ``m``, ``n`` or ``seed`` is out of range.
    """

    def __init__(
        self, n: int, m: int, seed: int, *, replacement: bool = False, order: Order | None = None
    ):
        if not isinstance(m, int) or not 1 <= m <= n:
            raise InputError(f"a batch of {m} cannot be drawn from {n} samples")
        if seed < 0:
            raise InputError(f"the seed is {seed}; it must be a whole number from 0 on")
        self.n, self.m, self.seed, self.replacement = n, m, seed, replacement
        self._order = order or Order()
        self.per_epoch = self._order.batches(n, m)
        self._epoch, self._begin = -1, 0
        self._cut: tuple[Tensor, ...] = ()
        self._drawn: dict[int, tuple[Tensor, ...]] = {}  # by epoch
        self._flat: Tensor | None = None  # all of them, where they are asked for together

    def __getitem__(self, step: int) -> Tensor:
        """Indices, int64 of shape (m,) or less at the end of an epoch; ``step`` counts from 0."""
        if self.replacement:
            generator = np.random.default_rng((self.seed, 1, step))
            return torch.from_numpy(generator.integers(0, self.n, self.m))
        if self.per_epoch is not None:
            epoch, place = divmod(step, self.per_epoch)
            if epoch != self._epoch:
                self._go_to(epoch)
            return self._cut[place]
        if step < self._begin:
            self._begin = 0
            self._go_to(0)
        while step >= self._begin + len(self._cut):
            self._begin += len(self._cut)
            self._go_to(self._epoch + 1)
        return self._cut[step - self._begin]

    def ahead(self, step: int, most: int) -> tuple[Tensor, list[int]]:
        """(the indices of the batches from a step on, one after the other, how many each has): so
        many batches at most. All but the last have ``m``."""
        found = self[step]
        if self.replacement or self.per_epoch is None:
            several = [found]
            while len(several) < most and several[-1].shape[0] == self.m:
                several.append(self[step + len(several)])
            return torch.cat(several), [part.shape[0] for part in several]
        place = step % self.per_epoch
        if self._flat is None:
            self._flat = torch.cat(self._cut)
        found = self._flat[place * self.m : (place + most) * self.m]
        whole, rest = divmod(len(found), self.m)
        return found, [self.m] * whole + [rest] * bool(rest)

    def last(self, step: int) -> bool:
        """Whether the batch of a step is the last one of its epoch; there is none where batches are
        drawn with replacement."""
        if self.replacement:
            return False
        if self.per_epoch is not None:
            return (step + 1) % self.per_epoch == 0
        _ = self[step]
        return step == self._begin + len(self._cut) - 1

    def _go_to(self, epoch: int) -> None:
        if epoch not in self._drawn:  # a sampler of the user's own is asked when it is time
            several = 1 if self.per_epoch is None else min(EPOCHS, max(1, DRAWN // self.n))
            self._drawn = {
                e: self._order.epoch(self.n, self.m, self.seed, e)
                for e in range(epoch, epoch + several)
            }
        self._cut = self._drawn[epoch]
        self._epoch, self._flat = epoch, None
        if not self._cut:
            raise InputError("an epoch has no batch; give more samples, or smaller batches")


class Updates:
    """The batches of every update of a run: so many in a row, and what is left of an epoch.

    So do the trainers of HuggingFace and Lightning: no update holds batches of two epochs.

    Args:
        batches: by step, each with its number of samples; ``batches.last(step)`` says where an
            epoch ends.
        each: batches of an update.
        every: updates that count as an epoch, where batches know of none.
    """

    def __init__(self, batches: Any, each: int, every: int | None = None):
        self._batches, self._each, self._every = batches, each, every
        self._step = self._first = 0  # of the next update: its number, and that of its first batch
        self._asked, self._after = -1, 0  # the update that was asked for last; the batch after it

    def __getitem__(self, step: int) -> list[tuple[Any, int]]:
        self._asked = step
        if self._each == 1:
            self._after = step + 1
            return [self._batches[step]]
        if step < self._step:
            self._step = self._first = 0
        while self._step < step:
            self._first = self._ends(self._first)
            self._step += 1
        found: list[tuple[Any, int]] = []
        self._after = self._ends(self._first, found)
        return found

    @property
    def ended(self) -> bool:
        """Whether an epoch ends with the update that was asked for last."""
        if self._every is not None:
            return (self._asked + 1) % self._every == 0
        return self._batches.last(self._after - 1)

    def _ends(self, batch: int, found: list[tuple[Any, int]] | None = None) -> int:
        """The batch after those of an update that begins with this one; which go to ``found``."""
        for _ in range(self._each):
            if found is not None:  # one after the other, as some cannot be asked for again
                found.append(self._batches[batch])
            batch += 1
            if self._batches.last(batch - 1):
                break
        return batch
