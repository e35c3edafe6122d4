"""Who trains the entrants: a race only ever asks for a run to be brought on to a step.

What a race decides depends on the evaluations alone, and these on task, entrant and seed alone,
whoever trains and wherever. So a race can be played again from its record, gone on with after a
crash, or spread over processes.
"""

from __future__ import annotations

import contextlib
import math
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from slalom.racing.entrants import Entrant
from slalom.train import Evaluation, Run, Task

HOLD = 2
"""Evaluations after the crossing at which the metric must still be past the target."""


@dataclass(frozen=True)
class Trace:
    """What is known of one run.

    Attributes:
        evaluations: in the order of their steps.
        ended: None while the run can go on; else ``diverged`` or ``failed``.
        reason: why it ended, for people.
    """

    evaluations: tuple[Evaluation, ...] = ()
    ended: str | None = None
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
    known: Trace = field(default=Trace(), repr=False)


class Runner:
    """Who trains: what a race needs of it.

    Attributes:
        task: what is trained; a race that finds a target puts a task with it here.
        real: whether it trains on this machine, so that updates can be timed.
    """

    real = False

    def __init__(self, task: Task):
        self.task = task

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Trace]]:
        """Bring each run on; yields each, in order, with all that is known of it."""
        raise NotImplementedError

    def forget(self, entrant: Entrant, seed: int) -> None:
        """Free the memory of a run that will not be asked for again."""

    def close(self) -> None:
        """Free all that it holds."""


class Trainer(Runner):
    """Trains here, one run after the other."""

    real = True

    def __init__(self, task: Task):
        super().__init__(task)
        self._runs: Runs = {}

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Trace]]:
        """See :class:`Runner`. Interrupted, leaves the other requests undone."""
        for request in requests:
            yield request, train(self._runs, self.task, request)

    def forget(self, entrant: Entrant, seed: int) -> None:
        """See :class:`Runner`."""
        self._runs.pop((entrant.number, seed), None)


Runs = dict[tuple[int, int], Run]
"""Runs in memory: (number of the entrant, seed) -> run; who was used last is last."""

ROOM = 2 << 30
"""Bytes that the runs of one process may take, about; one may always be there."""


def train(runs: Runs, task: Task, request: Request) -> Trace:
    """Bring one run on; an exception in the model, the loss or the data ends it as ``failed``.

    The run is looked for in ``runs`` and left there. One that is not there is trained again from
    its start, which gives the same to the bit.
    """
    entrant, trace = request.entrant, request.known
    key = entrant.number, request.seed
    found = list(trace.evaluations)
    with one_thread():
        run = runs.get(key)
        try:
            if run is None or run.step != trace.step:
                run = runs[key] = Run(
                    task, entrant.optimizer, request.seed, batch_size=entrant.batch_size
                )
                while run.step < trace.step:  # known already; to be lived through again
                    run.advance(request.every)
                    run.evaluate()
            runs[key] = runs.pop(key)
            _make_room(runs)
            while run.step < request.until and run.diverged is None:
                run.advance(min(request.every, request.until - run.step))
                if run.diverged is None:
                    found.append(run.evaluate())
                    if Trace(tuple(found)).crossing(task):
                        break
        except Exception as error:
            runs.pop(key, None)
            when = f" after {run.step} updates" if run is not None else ""
            return Trace(tuple(found), "failed", told(error) + when)
    if run.diverged is not None:
        runs.pop(key, None)
        return Trace(tuple(found), "diverged", run.diverged)
    return Trace(tuple(found))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Threads change no result, but on small models they cost more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _make_room(runs: Runs) -> None:
    """Let go of runs that were not used for long, to be trained again if they are asked for.

    Heats double, so that this costs as much again at most.
    """
    (*_, last) = runs.values()
    numbers = sum(p.numel() * p.element_size() for p in last.model.parameters())
    most = max(1, ROOM // max(1, 4 * numbers))  # a parameter, its gradient, and two states
    for key in list(runs)[: max(0, len(runs) - most)]:
        del runs[key]


def told(error: Exception) -> str:
    """The error and the line of the user's own file that it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "site-packages" not in f.filename and "/slalom/" not in f.filename]
    where = f" at {own[-1].filename}:{own[-1].lineno} ({own[-1].line})" if own else ""
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}{where}"
