"""Training many runs at once, in lanes: one pass through a stacked model serves all of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from slalom.errors import InputError
from slalom.racing.entrants import Entrant, Family
from slalom.racing.limit import OutOfTimeError
from slalom.racing.runner import History, Request, Runner
from slalom.racing.together import refusal, same
from slalom.racing.trainer import Runs, Stint, Trainer, one_thread
from slalom.train import Evaluation, Task
from slalom.train.rng import RandomStream
from slalom.train.stack import Batch, Member, evaluate, shapes, update

EVALUATION = "evaluation"


@dataclass(eq=False)
class _Lane:
    """A place in the stack, and the run that has it.

    Attributes:
        request: what the run is asked for, and ``stint`` its way there.
        member: the run as the stack knows it.
        left: updates to the next evaluation.
        spent: seconds since the last one.
        batch: the next batch, of this ``shape``.
    """

    request: Request
    stint: Stint
    member: Member | None = None
    left: int = 0
    spent: float = 0.0
    batch: Batch | None = None
    shape: Any = None

    @property
    def run(self) -> Any:
        assert self.member is not None
        return self.member.run


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
        self._random = RandomStream(0, task.device)

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, History]]:
        self._runs.task, self._runs.folder = self.task, self.folder
        self._runs.limit = self.limit
        heat = _Heat(self._runs, self._lanes, requests)
        for request in requests:
            before = self._random.state()
            with one_thread(), self._random:
                history = heat.history(request)
            if not same(before, self._random.state()):
                raise InputError(
                    "an update or an evaluation drew random numbers, of which runs that train side "
                    "by side have none of their own; race with lanes=1"
                )
            yield request, history

    def forget(self, entrant: Entrant, seed: int) -> None:
        super().forget(entrant, seed)
        self._runs.forget(entrant.number, seed)


def trainer(task: Task, families: Sequence[Family], lanes: int) -> Runner:
    """Who trains side by side where that can be, and one run after the other where not; for what
    need not come to the same bits again."""
    together = refusal(task, families, 0, to_the_bit=False) is None
    return Abreast(task, lanes) if together else Trainer(task)


class _Heat:
    """Some requests, on their way."""

    def __init__(self, runs: Runs, lanes: int, requests: Sequence[Request]):
        self._runs, self._most = runs, lanes
        self._waiting = deque(requests)
        self._racing: list[_Lane] = []
        self._through: dict[int, History] = {}

    def history(self, request: Request) -> History:
        """What is known of a run where it is asked to be; trains until it is."""
        while id(request) not in self._through:
            while self._waiting and len(self._racing) < self._most:
                self._enter(self._waiting.popleft())
            self._step()
        return self._through.pop(id(request))

    def _enter(self, request: Request) -> None:
        stint = self._runs.stint(request, list(request.known.evaluations))
        self._racing.append(lane := _Lane(request, stint))
        self._go_on(lane, lambda: next(stint))

    def _go_on(self, lane: _Lane, on: Callable[[], tuple[Any, int]]) -> None:
        """Let a run begin its next stretch, or leave its lane."""
        try:
            run, lane.left = on()
        except StopIteration as end:
            self._racing.remove(lane)
            self._through[id(lane.request)] = end.value
            return
        if lane.member is None or lane.member.run is not run:
            lane.member = Member(run)
        lane.spent, lane.batch = 0.0, None

    def _step(self) -> None:
        """Do what most lanes are waiting for: an update, of batches of one shape, or an evaluation.

        So a short batch at the end of an epoch is waited with until several have come to theirs.
        """
        groups: dict[Any, list[_Lane]] = {}
        for lane in list(self._racing):
            if lane.left and lane.batch is None:
                if (batch := lane.run.batch()) is None:
                    self._alone(lane)
                    continue
                lane.batch, lane.shape = batch, shapes(batch)
            groups.setdefault(lane.shape if lane.left else EVALUATION, []).append(lane)
        if not groups:
            return
        kind = max(groups, key=lambda k: (len(groups[k]), k is not EVALUATION))
        (self._evaluate if kind is EVALUATION else self._update)(groups[kind])

    def _alone(self, lane: _Lane) -> None:
        """A stretch of a run whose updates take more than one batch."""
        start, run = time.perf_counter(), lane.run
        found: Evaluation | Exception | None = None
        try:
            run.advance(lane.left)
            if run.diverged is None:
                found = run.evaluate()
        except Exception as error:
            found = error
        lane.spent = time.perf_counter() - start
        self._tell(lane, found)

    def _update(self, lanes: list[_Lane]) -> None:
        batches: Any = [lane.batch for lane in lanes]
        start = time.perf_counter()
        failed = _each(update, [lane.member for lane in lanes], batches)
        share = (time.perf_counter() - start) / len(lanes)
        for lane, error in zip(lanes, failed, strict=True):
            lane.spent += share
            lane.left, lane.batch = lane.left - 1, None
            if error is not None or lane.run.diverged is not None:
                self._tell(lane, error)

    def _evaluate(self, lanes: list[_Lane]) -> None:
        start = time.perf_counter()
        found = _each(evaluate, [lane.member for lane in lanes])
        share = (time.perf_counter() - start) / len(lanes)
        out_of_time = None
        for lane, result in zip(lanes, found, strict=True):
            lane.spent += share
            try:
                self._tell(lane, result)
            except OutOfTimeError as error:  # each looks at the clock, and saves what it has
                out_of_time = error
        if out_of_time is not None:
            raise out_of_time

    def _tell(self, lane: _Lane, result: Evaluation | Exception | None) -> None:
        if isinstance(result, Exception):
            self._go_on(lane, lambda: lane.stint.throw(result))
        else:
            self._go_on(lane, lambda: lane.stint.send((result, lane.spent)))


def _each(together: Callable[..., list[Any]], *given: list[Any]) -> list[Any]:
    """What is done to all together; where that fails one by one, with what each has raised."""
    try:
        return together(*given)
    except Exception:  # of whom, is not known
        found = []
        for one in zip(*given, strict=True):
            try:
                found += together(*([own] for own in one))
            except Exception as error:
                found.append(error)
        return found
