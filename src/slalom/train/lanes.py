"""Many runs on their ways side by side: one pass through a stacked model serves all of them."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from slalom.train.run import Run
from slalom.train.stack import Batch, Member, evaluate, shapes, update

R = TypeVar("R")

Way = Generator[tuple[Any, int], tuple[Any, float], R]
"""The way of a run: yields (the run, the updates that it makes next, or 0 for an evaluation), is
sent (the mean loss, or the evaluation; the seconds that it took) or the exception that came of it,
and returns what it comes to."""

EVALUATION = "evaluation"


def alone(way: Way[R]) -> R:
    """Let a run go its way by itself; what it comes to in the end."""
    try:
        run, steps = next(way)
        while True:
            since = time.perf_counter()
            try:
                found = run.advance(steps) if steps else run.evaluate()
            except Exception as error:
                run, steps = way.throw(error)
            else:
                run, steps = way.send((found, time.perf_counter() - since))
    except StopIteration as end:
        return end.value


@dataclass(eq=False)
class _Lane:
    """A place in the stack, and the run that has it.

    Attributes:
        number: of its way.
        left: updates that it still makes; 0 if it is to be evaluated.
        losses: of those that it has made since it was asked to.
        spent: seconds of these.
        batch: the next batch, of this ``shape``.
    """

    number: int
    way: Way[Any]
    member: Member | None = None
    left: int = 0
    losses: list[float] = field(default_factory=list)
    spent: float = 0.0
    batch: Batch | None = None
    shape: Any = None

    @property
    def run(self) -> Run:
        assert self.member is not None
        return self.member.run


class Lanes:
    """Runs that go their ways side by side.

    A run has its lane until its way ends; then the next takes its place. What it comes to does not
    depend on who is beside it, as far as that holds for the stacked model.

    Args:
        ways: of the runs, each of which is begun when a lane is free.
        most: lanes.
    """

    def __init__(self, ways: Iterable[Way[Any]], most: int):
        self._waiting = deque(enumerate(ways))
        self._most = most
        self._racing: list[_Lane] = []
        self._through: dict[int, Any] = {}

    def result(self, number: int) -> Any:
        """What the way of this number comes to, counted from 0; all go on until that is known.

        What a way raises comes out of here, when all that were served with it have been told.
        """
        while number not in self._through:
            while self._waiting and len(self._racing) < self._most:
                self._enter(*self._waiting.popleft())
            self._step()
        return self._through.pop(number)

    def _enter(self, number: int, way: Way[Any]) -> None:
        self._racing.append(lane := _Lane(number, way))
        self._go_on(lane, lambda: next(way))

    def _go_on(self, lane: _Lane, on: Callable[[], tuple[Run, int]]) -> None:
        """Let a run begin what it does next, or leave its lane."""
        try:
            run, lane.left = on()
        except StopIteration as end:
            self._racing.remove(lane)
            self._through[lane.number] = end.value
            return
        if lane.member is None or lane.member.run is not run:
            lane.member = Member(run)
        lane.spent, lane.losses, lane.batch = 0.0, [], None

    def _step(self) -> None:
        """Do what most lanes are waiting for: an update, of batches of one shape, or an evaluation.

        So a short batch at the end of an epoch is waited with until several have come to theirs.
        """
        groups: dict[Any, list[_Lane]] = {}
        for lane in list(self._racing):
            if lane.left and lane.batch is None:
                if (batch := lane.run.batch()) is None:
                    self._by_itself(lane)
                    continue
                lane.batch, lane.shape = batch, shapes(batch)
            groups.setdefault(lane.shape if lane.left else EVALUATION, []).append(lane)
        if not groups:
            return
        kind = max(groups, key=lambda k: (len(groups[k]), k is not EVALUATION))
        (self._evaluate if kind is EVALUATION else self._update)(groups[kind])

    def _by_itself(self, lane: _Lane) -> None:
        """Updates of a run that take more than one batch."""
        start = time.perf_counter()
        try:
            found: Any = lane.run.advance(lane.left)
        except Exception as error:
            found = error
        lane.spent = time.perf_counter() - start
        self._tell({lane: found})

    def _update(self, lanes: list[_Lane]) -> None:
        batches: Any = [lane.batch for lane in lanes]
        start = time.perf_counter()
        found = _each(update, [lane.member for lane in lanes], batches)
        share = (time.perf_counter() - start) / len(lanes)
        over: dict[_Lane, Any] = {}
        for lane, loss in zip(lanes, found, strict=True):
            lane.spent += share
            lane.left, lane.batch = lane.left - 1, None
            if isinstance(loss, Exception):
                over[lane] = loss
                continue
            if math.isfinite(loss):
                lane.losses.append(loss)
            if not lane.left or lane.run.diverged is not None:
                over[lane] = sum(lane.losses) / len(lane.losses) if lane.losses else math.nan
        self._tell(over)

    def _evaluate(self, lanes: list[_Lane]) -> None:
        start = time.perf_counter()
        found = _each(evaluate, [lane.member for lane in lanes])
        share = (time.perf_counter() - start) / len(lanes)
        for lane in lanes:
            lane.spent = share
        self._tell(dict(zip(lanes, found, strict=True)))

    def _tell(self, found: dict[_Lane, Any]) -> None:
        """Tell runs what came of what they were to do; what one raises waits for the others."""
        raised: Exception | None = None
        for lane, result in found.items():
            way, sent = lane.way, (result, lane.spent)
            try:
                if isinstance(result, Exception):
                    self._go_on(lane, lambda w=way, e=result: w.throw(e))
                else:
                    self._go_on(lane, lambda w=way, s=sent: w.send(s))
            except Exception as error:
                raised = raised or error
        if raised is not None:
            raise raised


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
