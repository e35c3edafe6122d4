"""Who trains the entrants: a race only ever asks for a run to be brought on to a step.

What a race decides depends on the evaluations alone, and these on task, entrant and seed alone,
whoever trains and wherever. So a race can be played again from its record, gone on with after a
crash, or spread over processes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slalom.racing.entrants import Entrant
from slalom.racing.limit import Limit
from slalom.racing.status import Status
from slalom.train import Evaluation, Task

HOLD = 2
"""Evaluations after the crossing at which the metric must still be past the target."""


@dataclass(frozen=True)
class History:
    """What is known of one run.

    Attributes:
        evaluations: in the order of their steps.
        ended: None while the run can go on; else how it ended: diverged or failed.
        reason: why it ended, for people.
    """

    evaluations: tuple[Evaluation, ...] = ()
    ended: Status | None = None
    reason: str = ""

    @property
    def step(self) -> int:
        """Updates made."""
        return self.evaluations[-1].step if self.evaluations else 0

    def crossing(self, task: Task, hold: int = HOLD) -> Evaluation | None:
        """The evaluation at which the target was reached and held; None if there is none (yet)."""
        run = 0
        for i, evaluation in enumerate(self.evaluations):
            run = run + 1 if task.reached(evaluation.metric) else 0
            if run > hold:
                return self.evaluations[i - hold]
        return None

    def held(self, task: Task, hold: int = HOLD) -> float:
        """The best value of the metric that was reached and held; NaN if there is none."""
        metrics = [e.metric for e in self.evaluations]
        windows = [metrics[i : i + hold + 1] for i in range(len(metrics) - hold)]
        if task.higher_is_better:
            return max(map(min, windows), default=math.nan)
        return min(map(max, windows), default=math.nan)


@dataclass(frozen=True)
class Request:
    """A run to be brought on: to ``until`` updates, or past the target if that comes sooner."""

    entrant: Entrant
    seed: int
    until: int
    every: int
    known: History = field(default=History(), repr=False)


def checkpoint_of(folder: Path, number: int, seed: int) -> Path:
    """Where the run of an entrant on a seed has its checkpoint, if it has one."""
    return folder / f"{number}-{seed}.pt"


class Runner(ABC):
    """Who trains: what a race needs of it.

    Attributes:
        task: what is trained; a race that finds a target puts a task with it here.
        folder: of checkpoints, that a race which goes on may find there; None for none.
        limit: on the time it may train; when it is over, :meth:`advance` raises
            :class:`slalom.racing.limit.OutOfTimeError`.
        real: whether it trains on this machine, so that updates can be timed.
        any_spacing: whether it can evaluate as often as it is asked to.
    """

    folder: Path | None = None
    limit = Limit()
    real = False
    any_spacing = True

    def __init__(self, task: Task):
        self.task = task

    @abstractmethod
    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, History]]:
        """Bring each run on; yields each, in order, with all that is known of it.

        Where it is interrupted, the requests that were not yielded are undone.
        """

    def forget(self, entrant: Entrant, seed: int) -> None:
        """Free the memory and the disk that a run takes which will not be asked for again."""
        if self.folder is not None:
            checkpoint_of(self.folder, entrant.number, seed).unlink(missing_ok=True)

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Free all that it holds."""
