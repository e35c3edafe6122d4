"""Heats: which setting of each rule is worth the finals, found on as few steps as can be.

Successive halving (Karnin et al. 2013; Jamieson & Talwalkar 2016) within each rule, on the way to a
target or to the end of a budget. Rules are not compared here, but for how closely to look: one
whose best is clearly behind is tuned no further. Which of them is the best the finals say.
``benchmarks/race_cost.py`` shows what these choices cost and are worth on tasks they were not made
for.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from slalom.racing.contender import Contender, last_loss
from slalom.racing.entrants import Entrant, Family
from slalom.racing.runner import Runner
from slalom.racing.schedule import STANDARD, Schedule
from slalom.racing.settings import Settings
from slalom.racing.space import points, searched_evenly
from slalom.racing.status import Status
from slalom.racing.tpe import suggested
from slalom.train import Task

CLIMB = 6
"""Steps at most in one direction of a learning rate."""

SAMPLED = 2
"""Settings that a sampler adds to each rule in a heat."""

SPREAD = 1.4826
"""Standard deviations in a median absolute deviation, of a normal distribution."""


class Heats(Settings):
    """The heats of one search: it chooses a setting for every family.

    Args:
        task: with its target, or without, where nobody can arrive.
        families: who races.
        runner: who trains.
        seeds: of the initial weights and the order of samples, the same for all: that of the heats,
            and the one that twins run on.
        enter: makes an entrant of a family and hyper-parameters.
        points_each: settings of each family at first.
        report: called with each contender that has moved, and the seed.
        schedule: how settings are dropped and added.
        sampler: who says what is tried next; None for learning rates halfway to the neighbours'.

    Attributes:
        contenders: all that entered, by their families' labels.
        extended: labels of families whose chosen learning rate lies outside its range.
    """

    def __init__(
        self,
        task: Task,
        families: Sequence[Family],
        runner: Runner,
        seeds: tuple[int, int],
        enter: Callable[[Family, dict[str, float]], Entrant],
        points_each: int | None = None,
        *,
        report: Callable[[Contender, int], None] = lambda contender, seed: None,
        schedule: Schedule = STANDARD,
        sampler: str | None = None,
    ):
        super().__init__(task, families, runner, seeds, enter, report)
        self._plan, self._sampler = schedule, sampler
        self._spacing: dict[str, float] = {}
        for family in families:
            settings = points(family.space, points_each, seeds[0])
            for hypers in settings:
                self._add(family.label, hypers)
            self._spacing[family.label] = _spacing(family, len(settings))
        self._settled: set[str] = set()
        self._closer: set[str] = set()
        self._revived = False
        self._noise: float | None = None  # until there is somebody to be dropped

    @property
    def best(self) -> float:
        """The least work to the target so far."""
        return min((s.to_target for s in self._all()), default=math.inf)

    def run(self) -> None:
        """Choose: afterwards :attr:`chosen` is known."""
        if math.isfinite(self._until_one_arrives()):
            self._close()
            self._climb()
        chosen = {id(s) for s in self.chosen.values()}
        for contender in self._of(Status.RUNNING):
            contender.status = Status.CHOSEN if id(contender) in chosen else Status.DROPPED
            self._report(contender, self.seeds[0])

    @property
    def chosen(self) -> dict[str, Contender]:
        """The best of each family, in their order; none of one of which none ever ran."""
        found = {label: self._best_of(label) for label in self.contenders}
        return {label: s for label, s in found.items() if s is not None}

    @property
    def extended(self) -> list[str]:
        """The labels of families that were chosen outside their range of learning rates."""
        ranges = (
            (label, searched_evenly(self.families[label].space, "lr")) for label in self.chosen
        )
        return [n for n, r in ranges if r and not r[0] <= self.chosen[n].rate <= r[1]]

    def _best_of(self, label: str) -> Contender | None:
        """Who arrived first, chance aside; where none did, the best of those that went furthest.

        If all of them are lost, one of these.
        """
        ran = [s for s in self.contenders[label] if s.history.evaluations or s.lost]
        sound = [s for s in ran if not s.lost] or ran
        furthest = max((s.done for s in sound), default=0.0)
        level = [s for s in sound if s.to_target < math.inf or s.done > furthest - 1e-9]
        key = self._at_the_end if self.task.budget is not None else self._soonest
        return min(level, key=lambda s: key(s, ran), default=None)

    def _soonest(self, contender: Contender, ran: Sequence[Contender]) -> tuple[float, float]:
        return self._smoothed(contender, ran), contender.loss

    def _at_the_end(self, contender: Contender, ran: Sequence[Contender]) -> tuple[float, float]:
        score = contender.score(contender.history)
        return score.value if score.told else math.inf, contender.loss

    def _smoothed(self, contender: Contender, ran: Sequence[Contender]) -> float:
        """How soon it and its neighbours arrived; infinite if it did not.

        In the mean of the logarithms, its own counting twice. At the edge of what is stable one run
        is often lucky, and its neighbour never arrives.
        """
        if contender.to_target == math.inf or math.isnan(contender.rate):
            return contender.to_target
        never = self._plan.alone * min(s.to_target for s in ran)
        below = max((s for s in ran if s.rate < contender.rate), key=_rate, default=contender)
        above = min((s for s in ran if s.rate > contender.rate), key=_rate, default=contender)
        around = (contender, contender, below, above)
        return math.prod(min(s.to_target, never) for s in around) ** (1 / 4)

    # the way to the first arrival

    def _until_one_arrives(self) -> float:
        evaluations = 1
        while True:
            work = self._length = float(evaluations * self.task.eval_every)
            self._let_in(work, evaluations)
            labels = [n for n in self.contenders if n not in self._settled and self._running(n)]
            self._advance([s for n in labels for s in self._running(n)], work)
            if math.isfinite(self.best):
                return self.best
            if not self._of(Status.RUNNING, Status.WAITING) and not self._revive():
                return math.inf
            if not any(map(self._running, self.contenders.keys() - self._settled)):
                self._settled.clear()  # who was ahead of them is out
            if evaluations >= self._plan.extend:
                for label in labels:
                    self._extend(label, work)
            self._drop([n for n in labels if self._running(n)], work, evaluations)
            evaluations *= 2

    def _revive(self) -> bool:
        """Nobody is left, and nobody arrived: of every rule the best that was dropped goes on.

        Once: what starts best may come to rest before the target. Whether there was one.
        """
        if self._revived or self.task.budget is not None:
            return False
        self._revived = True
        self._settled.clear()
        for own in self.contenders.values():
            dropped = [s for s in own if s.status == Status.DROPPED and s.history.evaluations]
            for contender in sorted(dropped, key=lambda s: s.loss)[:1]:
                contender.status = Status.RUNNING
        return bool(self._of(Status.RUNNING))

    def _let_in(self, work: float, evaluations: int) -> None:
        """Who is evaluated seldom enters late, and with what halving would have left by then.

        Batch gradient descent sees every sample for each update: all of its settings would cost
        more than the rest of the race.
        """
        for contenders in self.contenders.values():
            waiting = [s for s in contenders if s.status == Status.WAITING]
            if not waiting or waiting[0].lane.stride > 2 * work:
                continue
            n = max(1, round(len(waiting) / evaluations))
            kept = {int((i + 0.5) * len(waiting) / n) for i in range(n)}
            for i, contender in enumerate(sorted(waiting, key=lambda s: s.rate)):
                contender.status = Status.RUNNING if i in kept else Status.DROPPED

    def _extend(self, label: str, work: float) -> None:
        """Try learning rates beyond those tried, while that is better."""
        for _ in range(CLIMB):
            lead, tried = self._lead(label), [s.rate for s in self.contenders[label]]
            if lead is None or self._late(lead) or len(tried) < 2 or math.isnan(lead.rate):
                return
            if min(tried) < lead.rate < max(tried):
                return
            spacing = self._spacing[label]
            beyond = lead.rate * (spacing if lead.rate == max(tried) else 1 / spacing)
            added = self._add(label, {**lead.entrant.hypers, "lr": beyond})
            self._advance([added], work)
            if added.loss >= lead.loss:
                return

    def _drop(self, labels: Sequence[str], work: float, evaluations: int) -> None:
        """Drop settings, where that can be told from what seeds explain; or else nobody goes."""
        leads = {n: lead for n in labels if (lead := self._lead(n)) is not None}
        if (
            max((self._way(s) for n in leads for s in self._running(n)), default=0)
            < self._plan.moved
        ):
            return
        if self._noise is None:
            self._noise = self._spread(list(leads.values()), work)
        stirred = [n for n in leads if max(map(self._way, self._running(n))) >= self._plan.stirred]
        if evaluations >= self._plan.settle:
            self._settle([leads[n] for n in stirred])
        for label in stirred:
            if label in self._settled:
                continue
            if evaluations >= self._plan.closer:
                if self._sampler is not None:
                    self._sample(label, work)
                elif label not in self._closer:
                    self._look_closer(leads[label], work)
            self._halve(self._running(label))

    def _halve(self, running: list[Contender]) -> None:
        running.sort(key=lambda s: s.loss)
        kept = math.ceil(self._plan.keep * len(running))
        for contender in running[kept:]:
            if contender.loss > running[0].loss + (self._noise or 0.0):
                contender.status = Status.DROPPED
                self._report(contender, self.seeds[0])

    def _settle(self, leads: list[Contender]) -> None:
        """Tune no further what was clearly later at its loss than the best of all."""
        best = min(leads, key=lambda s: s.loss, default=None)
        for lead in leads:
            if best is None or lead is best:
                continue
            if lead.done > self._plan.behind * best.when_at(lead.loss):
                self._settled.add(lead.entrant.family.label)

    def _look_closer(self, lead: Contender, work: float) -> None:
        label = lead.entrant.family.label
        self._closer.add(label)
        if self._late(lead) or math.isnan(lead.rate):
            return
        half = math.sqrt(self._spacing[label])
        beside = [
            self._add(label, {**lead.entrant.hypers, "lr": lead.rate * ratio})
            for ratio in (half, 1 / half)
        ]
        self._advance(beside, work)

    def _sample(self, label: str, work: float) -> None:
        """Try what the sampler would, which asks for no more than an order: who went further was
        the better (Falkner et al. 2018)."""
        space, own = self.families[label].space, self.contenders[label]
        ran = [s for s in own if s.lost or s.history.evaluations]
        if not space or len(ran) < 2 or any(map(self._late, own)):
            return
        ran.sort(key=lambda s: (s.lost, -s.done, s.loss))
        known = [(s.setting, place) for place, s in enumerate(ran)]
        found = suggested(space, known, SAMPLED, self.seeds[0] + len(own))
        tried = [s.setting for s in own]
        self._advance([self._add(label, p) for p in found if p not in tried], work)

    def _spread(self, leads: list[Contender], work: float) -> float:
        """How far the difference of two settings' losses goes apart from one seed to another."""
        twins = [s for s in leads if not self._late(s)]
        self._advance(twins, work, twin=True)
        changes = [last_loss(s.twin.evaluations) - s.loss for s in twins]
        changes = [c for c in changes if math.isfinite(c)]
        if len(changes) < 3:
            return 0.0
        middle = statistics.median(changes)
        return SPREAD * statistics.median(abs(c - middle) for c in changes)

    def _way(self, contender: Contender) -> float:
        """The share of the way to the target that it has gone, in the metric; 1 without a target.

        From where the models are that hardly move: those of the smallest learning rates. Of the way
        to the end of a budget, the share of that.
        """
        if self.task.budget is not None:
            return contender.done / self.task.max_steps
        start, target = self._start(), self.task.target
        if target is None or start is None or self.task.reached(start):
            return 1.0
        known = contender.history.evaluations
        gone = (known[-1].metric - start) / (target - start) if known else 0.0
        return gone if math.isfinite(gone) else 0.0

    def _start(self) -> float | None:
        slowest = (min(own, key=lambda s: s.rate) for own in self.contenders.values() if own)
        known = [s.history.evaluations[0].metric for s in slowest if s.history.evaluations]
        known = [m for m in known if math.isfinite(m)]
        return statistics.median(known) if known else None

    # after it

    def _close(self) -> None:
        """Somebody is through: the best of other rules may show that they are as soon there."""
        leads = [lead for n in self.contenders if (lead := self._lead(n)) is not None]
        others = [
            s for s in leads
            if s.to_target == math.inf and s.entrant.family.label not in self._settled
        ]  # fmt: skip
        self._advance(others, self.best, hold=True)

    def _climb(self) -> None:
        """Look closer around the best of each rule that is nearly as soon there as the best."""
        sooner = sorted(self.chosen.values(), key=lambda s: s.to_target)
        for contender in sooner:
            if contender.to_target <= self._plan.contend * self.best:
                self._climb_from(contender)

    def _climb_from(self, best: Contender) -> None:
        label = best.entrant.family.label
        spacing = 1.0 if math.isnan(best.rate) else self._spacing[label]
        self._length = best.longest
        if self._anew(best.entrant.family):
            best = self._shorter(best)
        while spacing > self._plan.fine:
            spacing = math.sqrt(spacing)
            for ratio in (spacing, 1 / spacing):
                further = self._climb_by(best, ratio)
                if further is not best:
                    best = further
                    break

    def _shorter(self, best: Contender) -> Contender:
        """The same under a schedule halfway to the one that did not do, if that does."""
        family, work = best.entrant.family, best.longest / math.sqrt(2)
        entrant = self._of_length(family, best.entrant.hypers, work)
        if any(s.entrant is entrant for s in self.contenders[family.label]):
            return best
        self._length = work
        tried = self._add(family.label, dict(best.entrant.hypers))
        self._advance([tried], work, hold=True)
        if tried.to_target < best.to_target:
            return tried
        self._length = best.longest
        return best

    def _climb_by(self, best: Contender, ratio: float) -> Contender:
        """The last of those that each are sooner there than the one before, from ``best`` on."""
        label, anew = best.entrant.family.label, self._anew(best.entrant.family)
        for _ in range(CLIMB):
            rate = best.rate * ratio
            near = [
                s for s in self.contenders[label]
                if abs(math.log(s.rate / rate)) < abs(math.log(ratio)) / 2
                and (not anew or s.longest == best.longest)
            ]  # fmt: skip
            # where a run is had anew for its length, the start of one tells nothing
            glance = best.longest if anew else self._plan.glance * best.to_target
            if any(s.lost or s.done >= glance for s in near):
                return best
            tried = near[0] if near else self._add(label, {**best.entrant.hypers, "lr": rate})
            tried.status = Status.RUNNING
            self._advance([tried], glance, hold=anew)
            if anew:
                if tried.to_target >= best.to_target:
                    return best
                best = tried
                continue
            if tried.status == Status.RUNNING and tried.loss <= best.loss_at(tried.done):
                self._advance([tried], best.to_target, hold=True)
            if tried.to_target >= best.to_target:
                return best
            best = tried
        return best


def _rate(contender: Contender) -> float:
    return contender.rate


def _spacing(family: Family, points: int) -> float:
    """The ratio of neighbouring learning rates of so many points over its range."""
    low, high = searched_evenly(family.space, "lr") or (1.0, 1.0)
    return max(2.0, (high / low) ** (1 / max(1, points)))
