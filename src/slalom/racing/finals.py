"""Finals: the best setting of every rule on fresh seeds, until it is known which is the fastest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from slalom.racing.contender import Contender
from slalom.racing.design import Design
from slalom.racing.needs import Run
from slalom.racing.runner import History
from slalom.racing.scores import Score
from slalom.racing.sequential import Judgement, judge

LATE = 3.0
"""How many times as long as the latest arrival so far a run may go on that others do not limit."""

ARRIVALS = 3
"""Runs that have arrived before :data:`LATE` limits others; until then the task's own cap does."""

Leg = tuple[Contender, int, float]
"""A contender, the place of a seed, and the work up to which it is to run."""


@dataclass
class Finals:
    """The finals of one race.

    A run may take ``design.far`` times what the leader did on its seed, since more would count
    alike; where there is a budget, it takes all of that. Who leads is run first, so that this is
    known; where another comes to lead, runs that were stopped before so many times of what that one
    took go on to there.

    Args:
        labels: of the rules, the likely best first.
        setting: (place of a seed) -> label -> the contender that stands for a rule there.
        train: makes legs, and returns their histories in the same order.
        longest: the work that a run may take at most.
        design: how they are judged.
    """

    labels: Sequence[str]
    setting: Callable[[int], Mapping[str, Contender]]
    train: Callable[[Sequence[Leg]], Sequence[History]]
    longest: float
    design: Design

    def __post_init__(self) -> None:
        self.runs: dict[str, dict[int, Run | Score]] = {label: {} for label in self.labels}
        self._asked: dict[tuple[str, int], float] = {}

    def race(self) -> None:
        """Seed after seed, until the judge knows enough."""
        while True:
            now = judge(self.runs, self.design)
            if short := list(self._short(now)):
                self._run(short)
                continue
            if not now.running:
                return
            places = range(now.seeds + 1) if now.seeds else range(self.design.evidence)
            leader = now.leader or self.labels[0]
            self._make((leader,), places, None)
            self._make([n for n in now.running if n != leader], places, leader)

    def run_all(self) -> None:
        """Every rule on every seed, to the target or as long as a run may take."""
        places = range(self.design.seeds)
        self._run([(n, place, self.longest) for place in places for n in self.labels])

    def _short(self, now: Judgement) -> Iterator[tuple[str, int, float]]:
        """Whose runs were stopped before they told how they compare with the leader's.

        What is asked for is counted in whole batches, and what was done in samples, of which the
        last batch of an epoch has fewer; so what is short is asked for on top.
        """
        led = self.runs[now.leader] if now.leader is not None else {}
        for name, finding in now.findings.items():
            for place in self.runs[name] if finding.against == now.leader else ():
                run = self.runs[name][place]
                if not isinstance(run, Run) or run.arrived or run.ended:
                    continue
                if place not in led or not led[place].arrived:
                    continue
                asked = self._asked.get((name, place), run.work)
                short = self.cap(place, now.leader) - run.work
                if short > 1e-9 * run.work and asked < self.longest:
                    yield name, place, asked + short

    def _make(self, labels: Iterable[str], places: Iterable[int], leader: str | None) -> None:
        missing = [(n, p) for p in places for n in labels if p not in self.runs[n]]
        self._run([(n, p, self.cap(p, leader)) for n, p in missing])

    def _run(self, missing: Sequence[tuple[str, int, float]]) -> None:
        here = [(self.setting(place)[label], place, work) for label, place, work in missing]
        legs = [(c, place, min(c.longest, work)) for c, place, work in here]
        histories = self.train(legs)
        for (label, place, _), (contender, _, work), history in zip(
            missing, legs, histories, strict=True
        ):
            self.runs[label][place] = run_of(contender, history)
            self._asked[label, place] = work

    def cap(self, place: int, leader: str | None = None) -> float:
        """The work that a run on the seed at this place may take, beside this leader."""
        led = self.runs[leader].get(place) if leader is not None else None
        if led is not None and led.arrived:
            return min(self.longest, self.design.far * led.work)
        here = [
            own[place].work for own in self.runs.values() if place in own and own[place].arrived
        ]
        if here:
            return min(self.longest, self.design.far * min(here))
        before = [
            run.work
            for own in self.runs.values()
            for other, run in own.items()
            if run.arrived and other < place
        ]
        return min(self.longest, LATE * max(before)) if len(before) >= ARRIVALS else self.longest


def run_of(contender: Contender, history: History) -> Run | Score:
    """What a run of the finals tells."""
    if contender.task.budget is not None:
        return contender.score(history)
    crossing, lane = history.crossing(contender.task), contender.lane
    if crossing is not None:
        return Run(lane.work(crossing), True, lane.stride)
    done = lane.work(history.evaluations[-1]) if history.evaluations else lane.stride
    through = history.step >= contender.entrant.hypers.get("horizon", math.inf)
    return Run(done, False, lane.stride, through or history.ended is not None)
