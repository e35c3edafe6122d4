"""The settings that a search tries, rule by rule, and how they are brought on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from slalom.racing.contender import Contender, Lane
from slalom.racing.entrants import Entrant, Family
from slalom.racing.runner import HOLD, History, Request, Runner
from slalom.racing.status import Status
from slalom.train import Task


class Settings:
    """Settings of some families: added, and trained as far as they are asked to.

    Where a schedule asks for the length of a run, a longer run of a setting is another one, begun
    at its start: of an entrant whose ``horizon`` is that length.

    Attributes:
        contenders: all that entered, by their families' labels.
    """

    def __init__(
        self,
        task: Task,
        families: Sequence[Family],
        runner: Runner,
        seeds: tuple[int, int],
        enter: Callable[[Family, dict[str, float]], Entrant],
        report: Callable[[Contender, int], None],
    ):
        self.task, self.families, self.seeds = task, {f.label: f for f in families}, seeds
        self._runner, self._enter, self._report = runner, enter, report
        self.contenders: dict[str, list[Contender]] = {f.label: [] for f in families}
        self._length = float(task.eval_every)  # work of a whole run in this heat

    def _add(self, label: str, hypers: dict[str, float]) -> Contender:
        if "lr" in hypers:
            hypers = {**hypers, "lr": float(f"{hypers['lr']:.3g}")}
        entrant = self._of_length(self.families[label], hypers, self._length)
        contender = Contender(entrant, Lane.of(self.task, entrant), self.task)
        if self._late(contender):
            contender.status = Status.WAITING
        if contender.lane.end == 0:
            contender.status = Status.DROPPED
        self.contenders[label].append(contender)
        return contender

    def _of_length(self, family: Family, hypers: Mapping[str, float], work: float) -> Entrant:
        """The entrant whose whole run takes this work, where a schedule asks for its length."""
        setting = {n: v for n, v in hypers.items() if n != "horizon"}
        if self._anew(family):
            lane = Lane.of(self.task, Entrant(0, family, setting))
            horizon, whole = lane.until(work), lane.until(float(self.task.max_steps))
            if work < self.task.max_steps and horizon < whole:
                setting["horizon"] = horizon
        return self._enter(family, setting)

    def _stretch(self, contender: Contender, work: float) -> None:
        """Begin it anew, for a whole run of this work."""
        before = contender.entrant
        entrant = self._of_length(before.family, before.hypers, work)
        if entrant is before:
            return
        if contender.history.evaluations:
            self._report(replace(contender, status=Status.STOPPED), self.seeds[0])
        contender.entrant, contender.history, contender.twin = entrant, History(), History()

    def _late(self, contender: Contender) -> bool:
        """Whether it is evaluated so seldom that it enters late."""
        return contender.lane.stride > 2 * self.task.eval_every

    def _all(self) -> Iterable[Contender]:
        return (s for own in self.contenders.values() for s in own)

    def _of(self, *statuses: Status) -> list[Contender]:
        return [s for s in self._all() if s.status in statuses]

    def _running(self, label: str) -> list[Contender]:
        return [s for s in self.contenders[label] if s.status == Status.RUNNING]

    def _lead(self, label: str) -> Contender | None:
        """The best of those of a family who are in the race."""
        still = (Status.RUNNING, Status.REACHED)
        racing = [s for s in self.contenders[label] if s.status in still and s.history.evaluations]
        return min(racing, key=lambda s: (s.to_target, s.loss), default=None)

    def _advance(
        self, racing: Sequence[Contender], work: float, *, hold: bool = False, twin: bool = False
    ) -> None:
        """Train up to this work; with ``hold`` so much on as shows that a crossing there holds."""
        limit, seed = min(work, float(self.task.max_steps)), self.seeds[twin]
        anew = [] if twin else [s for s in racing if self._anew(s.entrant.family)]
        for contender in anew:
            self._stretch(contender, limit)
        self._bring(racing, limit, seed, hold=hold, twin=twin)
        if not hold and self.task.target is not None:
            near = [s for s in anew if s.status == Status.RUNNING and self._past(s)]
            self._bring(near, limit, seed, hold=True)

    def _anew(self, family: Family) -> bool:
        """Whether a longer run of it is another from its start: its schedule ends."""
        warmup = {**family.fixed, **family.space}.get("warmup", 0)
        share = not isinstance(warmup, int | float) or 0 < warmup < 1
        return self.task.schedule.ends or share

    def _past(self, contender: Contender) -> bool:
        """Whether the last look at it was past the target, so that it may hold that."""
        known = contender.history.evaluations
        return bool(known) and self.task.reached(known[-1].metric)

    def _bring(
        self, racing: Sequence[Contender], limit: float, seed: int, *, hold: bool,
        twin: bool = False,
    ) -> None:  # fmt: skip
        requests = [
            Request(
                s.entrant, seed, s.lane.until(limit) + hold * HOLD * s.lane.every, s.lane.every,
                s.twin if twin else s.history,
            )
            for s in racing
        ]  # fmt: skip
        by_number = {s.entrant.number: s for s in racing}
        # who is further already is not taken back
        requests = [r for r in requests if r.known.step < r.until]
        for request, history in self._runner.advance(requests):
            contender = by_number[request.entrant.number]
            if twin:
                contender.twin = history
            else:
                contender.history = history
                contender.status = contender.after(history, Status.RUNNING)
            self._report(contender, seed)
