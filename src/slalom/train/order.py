"""In which order an epoch's samples come, and how they are cut into batches."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from slalom.errors import InputError
from slalom.train.rng import RandomStream, seed_of


@dataclass(frozen=True)
class Order:
    """The order of the samples: anew in every epoch, a function of seed and epoch alone.

    Attributes:
        sampler: one of torch's own, drawn from by the seed of the run; or one of the user's, which
            is asked anew in every epoch, the global random numbers being those of seed and epoch,
            and told the epoch if it has ``set_epoch``. None for all samples, shuffled.
        cuts: a sampler of the user's that yields whole batches, in place of ``sampler``.
        drop_last: leave out the batch at the end of an epoch that is smaller.
    """

    sampler: Any = None
    cuts: Any = None
    drop_last: bool = False

    @classmethod
    def of(cls, loader: DataLoader[Any], name: str) -> Order:
        """The order that a DataLoader has. Raises :class:`InputError` for one that cannot be
        had again."""
        if loader.batch_sampler is None:  # its dataset gives batches
            order = cls(loader.sampler)
        elif type(loader.batch_sampler) is BatchSampler:
            order = cls(loader.batch_sampler.sampler, drop_last=loader.batch_sampler.drop_last)
        else:
            order = cls(cuts=loader.batch_sampler)
        own = order._own
        if own is not None and not _equal(order._asked(0, 0), order._asked(0, 0)):
            raise InputError(
                f"the {type(own).__name__} of {name} gives another order each time it is asked "
                "with the same seed, so that no run could be had again; let it draw from torch's "
                "global random numbers, or from a generator made in __iter__"
            )
        return order

    @property
    def plain(self) -> bool:
        """Whether an epoch is all samples, once each."""
        return self.cuts is None and type(self.sampler) in (
            type(None), SequentialSampler, RandomSampler
        ) and not (
            type(self.sampler) is RandomSampler
            and (self.sampler.replacement or self.sampler.num_samples != self._source)
        )  # fmt: skip

    @property
    def even(self) -> bool:
        """Whether all epochs are known to have as many batches: no sampler is the user's own."""
        return self._own is None

    @property
    def _source(self) -> int:
        return len(self.sampler.data_source)

    @property
    def _own(self) -> Any:
        """The sampler, if it is not torch's own."""
        if self.cuts is not None:
            return self.cuts
        return None if self.sampler is None or type(self.sampler) in _TORCHS else self.sampler

    def length(self, n: int) -> int:
        """Samples of an epoch, of ``n`` that there are."""
        if self.cuts is not None:
            return sum(map(len, self.epoch(n, n, 0, 0)))
        return n if self.sampler is None else len(self.sampler)

    def batches(self, n: int, m: int) -> int | None:
        """Batches of an epoch; None where epochs may differ."""
        if not self.even:
            return None
        whole, rest = divmod(self.length(n), m)
        return whole + bool(rest and not (self.drop_last and whole))

    def size(self, n: int) -> int:
        """Samples of a batch, about, where batches are the user's own."""
        cut = self.epoch(n, n, 0, 0)
        return max(1, round(sum(map(len, cut)) / max(1, len(cut))))

    def epoch(self, n: int, m: int, seed: int, epoch: int) -> tuple[Tensor, ...]:
        """The batches of an epoch: int64 indices, ``m`` in each but perhaps the last."""
        if self.cuts is not None:
            return tuple(torch.tensor(list(b), dtype=torch.int64) for b in self._asked(seed, epoch))
        chosen = self._chosen(n, seed, epoch)
        cut = tuple(torch.unsafe_split(chosen, m))  # a tenth of split, which makes views
        if self.drop_last and len(cut) > 1 and len(cut[-1]) < m:
            cut = cut[:-1]
        return cut

    def _chosen(self, n: int, seed: int, epoch: int) -> Tensor:
        sampler: Any = self.sampler
        kind = type(sampler)
        generator = np.random.default_rng((seed, 0, epoch))
        if sampler is None or (kind is RandomSampler and self.plain):
            return torch.from_numpy(generator.permutation(n))
        if kind is SequentialSampler:
            return torch.arange(n)
        if kind is RandomSampler:
            k = sampler.num_samples
            if sampler.replacement:
                return torch.from_numpy(generator.integers(0, n, k))
            parts = [generator.permutation(n) for _ in range(-(-k // n))]
            return torch.from_numpy(np.concatenate(parts)[:k])
        if kind is SubsetRandomSampler:
            indices = torch.as_tensor(list(sampler.indices), dtype=torch.int64)
            return indices[torch.from_numpy(generator.permutation(len(indices)))]
        if kind is WeightedRandomSampler:
            drawn = torch.Generator().manual_seed(seed_of(seed, 4, epoch))
            return torch.multinomial(
                sampler.weights, sampler.num_samples, sampler.replacement, generator=drawn
            )
        return torch.tensor(self._asked(seed, epoch), dtype=torch.int64)

    def _asked(self, seed: int, epoch: int) -> list[Any]:
        """What the user's sampler yields in this epoch."""
        own = self._own
        source = getattr(own, "data_source", None)
        try:  # a copy, so that nothing goes over from one epoch or run to another
            fresh = copy.deepcopy(own, {id(source): source})
        except Exception:  # one that cannot be copied
            fresh = own
        if callable(tell := getattr(fresh, "set_epoch", None)):
            tell(epoch)
        with RandomStream(seed_of(seed, 4, epoch)):
            return list(fresh)


_TORCHS = (SequentialSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler)


def _equal(one: list[Any], other: list[Any]) -> bool:
    def plain(order: list[Any]) -> list[Any]:
        return [list(map(int, b)) if isinstance(b, list | tuple | Tensor) and not (
            isinstance(b, Tensor) and b.dim() == 0) else int(b) for b in order]  # fmt: skip

    return plain(one) == plain(other)
