"""Heats: which entrants are worth training on, decided on steps and evaluations alone.

Successive halving (Karnin et al. 2013; Jamieson & Talwalkar 2016) on the way to a target: who
reaches it is through, who is behind is out, and once somebody is through nobody trains much
longer than that took.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from slalom.racing.entrants import Entrant
from slalom.racing.runner import Request, Runner, Trace
from slalom.train import Evaluation, Task

KEEP = 0.5
"""The share of entrants that goes on from one heat to the next."""

FIRST = 2
"""Evaluations in the first heat."""

PATIENCE = 2.0
"""How many times the winner's work the best entrant of each other family may take."""


@dataclass(frozen=True)
class Lane:
    """How an entrant's updates compare with others': batches may differ in size.

    Work is what makes them comparable: samples seen, in batches of the task's own size, so that
    for an entrant with the task's batch size it is the number of updates.
    """

    task: Task
    batch: int

    @classmethod
    def of(cls, task: Task, entrant: Entrant) -> Lane:
        size = entrant.family.batch_size
        return cls(task, task.n_train if size == "all" else size or task.batch_size)

    @property
    def every(self) -> int:
        """Updates between evaluations."""
        return max(1, round(self.task.eval_every * self.task.batch_size / self.batch))

    def until(self, work: float) -> int:
        """The updates that this much work amounts to, up to the next evaluation."""
        updates = work * self.task.batch_size / self.batch
        return max(1, math.ceil(updates / self.every - 1e-9)) * self.every

    def work(self, evaluation: Evaluation) -> float:
        """The work done up to an evaluation."""
        return evaluation.samples / self.task.batch_size


@dataclass
class Standing:
    """One entrant in the heats: its run so far, and what became of it.

    ``fate`` is ``racing``, ``reached``, ``dropped``, ``diverged``, ``failed`` or ``not reached``.
    """

    entrant: Entrant
    lane: Lane
    trace: Trace = field(default_factory=Trace)
    fate: str = "racing"

    @property
    def to_target(self) -> float:
        """Work to the target; infinite if it was not reached."""
        crossing = self.trace.crossing(self.lane.task)
        return self.lane.work(crossing) if crossing else math.inf

    @property
    def score(self) -> tuple[float, float]:
        """Where it stands, lower is better: the metric over the last evaluations, then the loss."""
        last = self.trace.evaluations[-3:]
        if not last:
            return math.inf, math.inf
        metric = sum(e.metric for e in last) / len(last)
        signed = -metric if self.lane.task.higher_is_better else metric
        return (
            signed if math.isfinite(signed) else math.inf,
            last[-1].valid_loss if math.isfinite(last[-1].valid_loss) else math.inf,
        )


class Heats:
    """The heats of one bracket.

    Args:
        task: with its target.
        entrants: who races; more may be added while it runs.
        runner: who trains them.
        seed: of the initial weights and the order of samples, the same for all.
        keep_each: whether the best of each family goes on until it has had ``PATIENCE``.
        report: called with each standing that has moved.
    """

    def __init__(
        self,
        task: Task,
        entrants: Sequence[Entrant],
        runner: Runner,
        seed: int,
        *,
        keep_each: bool = True,
        report: Callable[[Standing], None] = lambda standing: None,
    ):
        self.task, self.seed, self.keep_each = task, seed, keep_each
        self.standings = [Standing(e, Lane.of(task, e)) for e in entrants]
        self._runner, self._report = runner, report

    @property
    def best(self) -> float:
        """The least work to the target so far."""
        return min((s.to_target for s in self.standings), default=math.inf)

    def run(self) -> None:
        """Race until everyone is through or out."""
        work = float(FIRST * self.task.eval_every)
        while racing := self._of("racing"):
            self._advance(racing, work)
            self._drop()
            work *= 2

    def add(self, entrant: Entrant) -> Standing:
        """Let one more race, alone, for as long as the best took."""
        standing = Standing(entrant, Lane.of(self.task, entrant))
        self.standings.append(standing)
        limit = self.best if math.isfinite(self.best) else float(self.task.max_steps)
        self._advance([standing], limit)
        if standing.fate == "racing":
            standing.fate = "dropped"
            self._report(standing)
        return standing

    def _of(self, fate: str) -> list[Standing]:
        return [s for s in self.standings if s.fate == fate]

    def _advance(self, racing: Sequence[Standing], work: float) -> None:
        limit = min(work, float(self.task.max_steps))
        requests = [
            Request(s.entrant, self.seed, s.lane.until(limit), s.lane.every, s.trace)
            for s in racing
        ]
        by_number = {s.entrant.number: s for s in racing}
        for request, trace in self._runner.advance(requests):
            standing = by_number[request.entrant.number]
            standing.trace = trace
            if trace.ended:
                standing.fate = trace.ended
            elif trace.crossing(self.task):
                standing.fate = "reached"
            elif trace.step >= standing.lane.until(float(self.task.max_steps)):
                standing.fate = "not reached"
            self._report(standing)

    def _drop(self) -> None:
        """Who goes on: the better half, and the best of each family that is not yet through."""
        racing = sorted(self._of("racing"), key=lambda s: s.score)
        through = {s.entrant.family.label for s in self._of("reached")}
        best = self.best
        kept = racing[: math.ceil(len(racing) * KEEP)] if best == math.inf else []
        leaders: dict[str, Standing] = {}
        for standing in racing:
            leaders.setdefault(standing.entrant.family.label, standing)
        for standing in racing:
            label = standing.entrant.family.label
            done = standing.lane.work(standing.trace.evaluations[-1])
            leads = self.keep_each and leaders[label] is standing and label not in through
            if leads and done < PATIENCE * best:
                continue
            if standing in kept or (done < best and standing in racing[: len(kept) or 2]):
                continue
            standing.fate = "dropped"
            self._report(standing)
