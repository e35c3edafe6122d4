"""Heats: which entrants are worth training on, decided on steps and evaluations alone.

Successive halving (Karnin et al. 2013; Jamieson & Talwalkar 2016) on the way to a target: who is
behind is out, and once somebody is through, those that were still with it have as long as that
took, and no longer. ``benchmarks/race_cost.py`` shows what these choices cost and are worth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from slalom.racing.entrants import Entrant, Family, between, beyond
from slalom.racing.runner import HOLD, History, Request, Runner
from slalom.racing.status import Status
from slalom.train import Evaluation, Task

KEEP = 0.5
"""The share of entrants that goes on from one heat to the next, each twice as long."""

PROTECTED = 2
"""Evaluations until which the best of every family goes on: some rules start slowly."""

LAST = 3
"""Entrants that go on to the end, however few that leaves behind."""

GLANCE = 0.25
"""Share of the best's work after which a latecomer must be ahead of where the best was then."""

CLIMB = 6
"""Neighbours tried at most in one direction of a learning rate."""


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
        size = entrant.batch_size
        return cls(task, task.n_train if size == "all" else size or task.batch_size)

    @property
    def every(self) -> int:
        """Updates between evaluations."""
        return max(1, round(self.task.eval_every * self.task.batch_size / self.batch))

    @property
    def stride(self) -> float:
        """The work from one evaluation to the next."""
        return self.every * self.batch / self.task.batch_size

    def until(self, work: float) -> int:
        """The updates that this much work amounts to, up to the next evaluation."""
        updates = work * self.task.batch_size / self.batch
        return max(1, math.ceil(updates / self.every - 1e-9)) * self.every

    def work(self, evaluation: Evaluation) -> float:
        """The work done up to an evaluation."""
        return evaluation.samples / self.task.batch_size


@dataclass
class Contender:
    """One entrant in the heats: its run so far, and what became of it;
    ``close`` if it was among the last when somebody else was through.
    """

    entrant: Entrant
    lane: Lane
    history: History = field(default_factory=History)
    status: Status = Status.RUNNING
    close: bool = False

    @property
    def to_target(self) -> float:
        """Work to the target; infinite if it was not reached."""
        crossing = self.history.crossing(self.lane.task)
        return self.lane.work(crossing) if crossing else math.inf

    @property
    def done(self) -> float:
        """Work done so far."""
        return self.lane.work(self.history.evaluations[-1]) if self.history.evaluations else 0.0

    @property
    def loss(self) -> float:
        """The last loss on the validation set; infinite if that is no number, or there is none.

        What heats are ranked by, whatever the metric: it tells apart early on where an accuracy
        does not.
        """
        return self.loss_at(math.inf)

    def loss_at(self, work: float) -> float:
        """The loss at the last evaluation up to this work; infinite as in :attr:`loss`."""
        known = [e for e in self.history.evaluations if self.lane.work(e) <= work + 1e-9]
        last = known[-1].valid_loss if known else math.inf
        return last if math.isfinite(last) else math.inf

    def ahead_of(self, other: Contender) -> bool:
        """Whether it got to the target sooner; where neither did, whether its loss was lower."""
        if self.to_target != other.to_target or self.status in (Status.DIVERGED, Status.FAILED):
            return self.to_target < other.to_target
        work = min(self.done, other.done)
        return self.loss_at(work) < other.loss_at(work)


class Heats:
    """The heats of one bracket.

    Args:
        task: with its target.
        entrants: who races; more may be added while it runs.
        runner: who trains them.
        seed: of the initial weights and the order of samples, the same for all.
        report: called with each contender that has moved.
    """

    def __init__(
        self,
        task: Task,
        entrants: Sequence[Entrant],
        runner: Runner,
        seed: int,
        *,
        report: Callable[[Contender], None] = lambda contender: None,
    ):
        self.task, self.seed = task, seed
        self.contenders = [Contender(e, Lane.of(task, e)) for e in entrants]
        self._runner, self._report = runner, report

    @property
    def best(self) -> float:
        """The least work to the target so far."""
        return min((s.to_target for s in self.contenders), default=math.inf)

    def leaders(self, n: int) -> list[Contender]:
        """The best of each family that reached the target or was close, at most ``n``."""
        best: dict[str, Contender] = {}
        for contender in sorted(self.contenders, key=lambda s: (s.to_target, s.loss)):
            if contender.status == Status.REACHED or contender.close:
                best.setdefault(contender.entrant.family.label, contender)
        return list(best.values())[:n]

    def run(self) -> None:
        """Race until everyone is through or out."""
        evaluations, share = 1, 1.0
        while self._of(Status.RUNNING):
            work = float(evaluations * self.task.eval_every)
            racing = self._entered(work, share)
            self._advance(racing, work)
            if math.isfinite(self.best):
                self._close()
            elif racing:
                self._halve(protect=evaluations <= PROTECTED)
                share *= KEEP
            evaluations *= 2

    def search(
        self, enter: Callable[[Family, dict[str, float]], Entrant], families: int
    ) -> set[str]:
        """Look closer: up and down the learning rates from each leader, and around the best.

        Heats are short, and what wins them is not always what wins. ``enter`` makes an entrant of
        a family and hyper-parameters. Returns the labels of the families whose ranges were left.
        """
        before = {leader.entrant.family.label: leader for leader in self.leaders(families)}
        for leader in before.values():
            if self._climb(leader, 1, enter) is leader:
                self._climb(leader, -1, enter)
        for leader in self.leaders(1):
            family, hypers = leader.entrant.family, dict(leader.entrant.hypers)
            for point in between(family.space, self._tried(family), hypers):
                self._probe(self._late(enter(family, point)))
        return {
            s.entrant.family.label
            for s in self.leaders(families)
            for low, high in [s.entrant.family.space.get("lr", (0.0, math.inf))]
            if not low <= s.entrant.hypers.get("lr", low) <= high
        }

    def _climb(
        self, best: Contender, way: int, enter: Callable[[Family, dict[str, float]], Entrant]
    ) -> Contender:
        """The last of those that each are ahead of the one before, from ``best`` on, one way."""
        family = best.entrant.family
        for _ in range(CLIMB):
            own = sorted(
                (s for s in self.contenders if s.entrant.family is family),
                key=lambda s: way * s.entrant.hypers.get("lr", 0.0),
            )
            beside = own[own.index(best) + 1 :][:1]
            if not beside:
                further = beyond(family.space, self._tried(family), dict(best.entrant.hypers))
                if further is None:
                    break
                beside = [self._late(enter(family, further))]
            elif beside[0].status != Status.DROPPED:
                break
            self._probe(beside[0])
            if not beside[0].ahead_of(best):
                break
            best = beside[0]
            best.close = True
        return best

    def _late(self, entrant: Entrant) -> Contender:
        contender = Contender(entrant, Lane.of(self.task, entrant))
        self.contenders.append(contender)
        return contender

    def _probe(self, contender: Contender) -> None:
        """Let one go on alone, for as long as it is not behind the best."""
        best = min(self.contenders, key=lambda s: s.to_target)
        contender.status = Status.RUNNING
        if contender.done < GLANCE * best.to_target:
            self._advance([contender], GLANCE * best.to_target)
        if contender.status == Status.RUNNING and contender.loss <= best.loss_at(contender.done):
            self._advance([contender], best.to_target, hold=True)
        self._out(contender)

    def _tried(self, family: Family) -> list[dict[str, float]]:
        return [dict(s.entrant.hypers) for s in self.contenders if s.entrant.family is family]

    def _entered(self, work: float, share: float) -> list[Contender]:
        """Who is in a heat of this much work.

        Who is evaluated seldom (batch gradient descent sees every sample for each update) enters
        when others have done half as much as it takes, and with the share of each family that is
        left by then: all of its settings would cost more than the rest of the race.
        """
        racing = self._of(Status.RUNNING)
        entered = [s for s in racing if s.history.evaluations]
        due: dict[str, list[Contender]] = {}
        for contender in racing:
            if not contender.history.evaluations and contender.lane.stride <= 2 * work:
                due.setdefault(contender.entrant.family.label, []).append(contender)
        for contenders in due.values():
            n = max(1, round(share * len(contenders)))
            entered += contenders[:n]
            for contender in contenders[n:]:
                self._out(contender)
        return entered

    def _of(self, status: Status) -> list[Contender]:
        return [s for s in self.contenders if s.status == status]

    def _advance(self, racing: Sequence[Contender], work: float, hold: bool = False) -> None:
        """Train up to this work; with ``hold`` so much on as shows that a crossing there holds."""
        limit = min(work, float(self.task.max_steps))
        requests = [
            Request(
                s.entrant, self.seed, s.lane.until(limit) + hold * HOLD * s.lane.every,
                s.lane.every, s.history,
            )
            for s in racing
        ]  # fmt: skip
        by_number = {s.entrant.number: s for s in racing}
        for request, history in self._runner.advance(requests):
            contender = by_number[request.entrant.number]
            contender.history = history
            if history.ended:
                contender.status = history.ended
            elif history.crossing(self.task):
                contender.status = Status.REACHED
            elif history.step >= contender.lane.until(float(self.task.max_steps)):
                contender.status = Status.NOT_REACHED
            self._report(contender)

    def _halve(self, protect: bool) -> None:
        """The better half goes on, and while they are protected the best of each family."""
        racing = [s for s in self._of(Status.RUNNING) if s.history.evaluations]
        racing.sort(key=lambda s: s.loss)
        kept = max(LAST, math.ceil(KEEP * len(racing)))
        seen = set()
        for i, contender in enumerate(racing):
            leads = contender.entrant.family.label not in seen
            seen.add(contender.entrant.family.label)
            if i >= kept and not (protect and leads):
                self._out(contender)

    def _close(self) -> None:
        """Somebody is through: the best of the others may show that they are as soon there."""
        racing = sorted(self._of(Status.RUNNING), key=lambda s: s.loss)
        for contender in racing[:LAST]:
            contender.close = True
        self._advance(racing[:LAST], self.best, hold=True)
        for contender in racing:
            self._out(contender)

    def _out(self, contender: Contender) -> None:
        if contender.status == Status.RUNNING:
            contender.status = Status.DROPPED
            self._report(contender)
