"""Which samples make up which batch: a pure function, so that any step can be come back to."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from slalom.errors import InputError


class Batches:
    """The batches of a training run: ``batches[step]`` are the indices of the samples of a step.

    Args:
        n: samples in the training set, at least 1.
        m: samples in a batch, from 1 (classical SGD) to ``n``.
        seed: of the order.
        replacement: draw each batch at random from all samples; by default each epoch is a new
            order of all samples cut into batches, the last of which may be smaller.

    Raises :class:`InputError` if ``m``, ``n`` or ``seed`` is out of range.
    """

    def __init__(self, n: int, m: int, seed: int, *, replacement: bool = False):
        if not isinstance(m, int) or not 1 <= m <= n:
            raise InputError(f"a batch of {m} cannot be drawn from {n} samples")
        if seed < 0:
            raise InputError(f"the seed is {seed}; it must be a whole number from 0 on")
        self.n, self.m, self.seed, self.replacement = n, m, seed, replacement
        self.per_epoch = -(-n // m)
        self._epoch = -1
        self._cut: tuple[Tensor, ...] = ()

    def __getitem__(self, step: int) -> Tensor:
        """Indices, int64 of shape (m,) or less at the end of an epoch; ``step`` counts from 0."""
        if self.replacement:
            generator = np.random.default_rng((self.seed, 1, step))
            return torch.from_numpy(generator.integers(0, self.n, self.m))
        epoch, batch = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            generator = np.random.default_rng((self.seed, 0, epoch))
            order = torch.from_numpy(generator.permutation(self.n))
            self._epoch, self._cut = epoch, order.split(self.m)
        return self._cut[batch]
