"""A run of several processes, each of which sees a part of every batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from slalom.errors import InputError
from slalom.train.guarded import GuardedRun
from slalom.train.ranks import Ranks
from slalom.train.rng import RandomStream, seed_of
from slalom.train.tree import rows


class SharedRun(GuardedRun):
    """A :class:`GuardedRun` of which every process of ``ranks`` has a copy.

    An update is that of the whole batch, to rounding: each process goes through its own samples of
    it, and the gradients are summed by what these count, so that batches of any size and targets
    that are ignored are right. Parameters that no process has a gradient of have none. Numbers
    drawn in the model are of each process's own; buffers, such as BatchNorm's averages, are the
    first one's. Every process evaluates on all of the validation set.
    """

    def __init__(self, *args: Any, ranks: Ranks, **options: Any):
        self.ranks = ranks
        super().__init__(*args, **options)
        if self._closed:
            raise InputError(
                f"a {type(self.optimizer).__name__} asks for the loss by itself, which several "
                "processes cannot give it together; train with one"
            )
        if ranks.rank:  # the first has that of a run alone
            self._random = RandomStream(seed_of(self.seed, 2, ranks.rank), self.task.device)

    def _parts(self, batches: Any) -> Iterator[tuple[Any, int]]:
        """Of each batch the samples of this process, if it has any."""
        rank, size = self.ranks.rank, self.ranks.size
        drawn: Any = batches() if callable(batches) else batches
        for batch, n in drawn:
            begin, end = n * rank // size, n * (rank + 1) // size
            if begin < end:
                yield rows(batch, n, begin, end), end - begin

    def _gradient(self, batches: Any) -> float:
        self.clear()
        return self._summed(self._parts(batches), batches, together=self._together)

    def _together(self, total: float, weights: float) -> tuple[float, float]:
        """Sum the gradients over all processes, and these numbers."""
        parameters, device = self._parameters, self.task.device
        present = [float(p.grad is not None) for p in parameters]
        numbers = torch.tensor([total, weights, *present], dtype=torch.float64, device=device)
        self.ranks.add([numbers])
        total, weights, *present = numbers.tolist()
        grads = []
        for parameter, anywhere in zip(parameters, present, strict=True):
            if not anywhere:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if parameter.grad.is_sparse:
                raise InputError("gradients are sparse, which is for one process alone")
            grads.append(parameter.grad)
        self.ranks.add(grads)
        return total, weights

    def _update(self) -> float:
        value = super()._update()
        buffers = [b for module in self._modules for b in module.buffers()]
        if buffers:
            self.ranks.spread(buffers)
        return value

    def _told(self, name: str) -> float:
        return self.ranks.first(super()._told(name))

    def state_dict(self) -> dict[str, Any]:
        """As of a :class:`GuardedRun`, with the random numbers of all: all have to ask for it."""
        return {**super().state_dict(), "noises": self.ranks.all(self._random.state())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As of a :class:`GuardedRun`, of any number of processes: those that there were go on by
        their own random numbers, and others begin theirs."""
        fresh = self._random.state()
        super().load_state_dict(state)
        rank, noises = self.ranks.rank, state.get("noises") or [state["noise"]]
        self._random.set_state(noises[rank] if rank < len(noises) else fresh)
