"""Training many runs at once, in lanes: one pass through a stacked model serves all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from slalom.errors import InputError
from slalom.racing.entrants import Entrant, Family
from slalom.racing.runner import History, Request, Runner
from slalom.racing.together import refusal
from slalom.racing.trainer import Runs, Trainer, one_thread
from slalom.train import Task
from slalom.train.lanes import Lanes, Way
from slalom.train.rng import RandomStream
from slalom.train.tree import same


class Abreast(Runner):
    """Trains here, up to so many runs side by side.

    A run has its lane until it has come to where it is asked to be, diverges or fails; then the
    next takes its place. What it comes to does not depend on who trains beside it, which
    :func:`slalom.racing.together.refusal` has tried.

    Args:
        task: one that can be stacked.
        lanes: how many.
    """

    real = True

    def __init__(self, task: Task, lanes: int):
        super().__init__(task)
        self._lanes, self._runs = lanes, Runs(task)

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, History]]:
        self._runs.task, self._runs.folder = self.task, self.folder
        self._runs.limit = self.limit
        ways = [self._runs.way(r, list(r.known.evaluations)) for r in requests]
        found = side_by_side(ways, self._lanes, self.task.device, "race with lanes=1")
        yield from zip(requests, found, strict=True)

    def forget(self, entrant: Entrant, seed: int) -> None:
        super().forget(entrant, seed)
        self._runs.forget(entrant.number, seed)


def trainer(task: Task, families: Sequence[Family], lanes: int) -> Runner:
    """Who trains side by side where that can be, and one run after the other where not; for what
    need not come to the same bits again."""
    together = refusal(task, families, 0, to_the_bit=False) is None
    return Abreast(task, lanes) if together else Trainer(task)


def side_by_side(
    ways: Sequence[Way[Any]], lanes: int, device: torch.device, instead: str
) -> Iterator[Any]:
    """What runs come to, in their order, that go their ways side by side, on one thread.

    Raises :class:`InputError`, which says what to do ``instead``, where one draws random numbers
    that are not its own.
    """
    together, random = Lanes(ways, lanes), RandomStream(0, device)
    for number in range(len(ways)):
        before = random.state()
        with one_thread(), random:
            found = together.result(number)
        if not same(before, random.state()):
            raise InputError(
                "an update or an evaluation drew random numbers, of which runs that train side "
                f"by side have none of their own; {instead}"
            )
        yield found
