"""A race from its start to its verdict: heats, finals on fresh seeds, and the clock at the end."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from slalom.errors import InputError
from slalom.racing import events, seeds
from slalom.racing.contender import Contender, Lane
from slalom.racing.design import judged_by
from slalom.racing.entrants import Entrant, Family
from slalom.racing.finals import LATE, Finals, Leg
from slalom.racing.heats import Heats
from slalom.racing.ledger import Ledger
from slalom.racing.needs import EVALUATIONS
from slalom.racing.options import Options
from slalom.racing.pace import paced, paces
from slalom.racing.recorded import Recorded, checkpoints
from slalom.racing.runner import HOLD, History, Request, Runner
from slalom.racing.sequential import Judgement, judge
from slalom.racing.status import Stage, Status
from slalom.racing.stopwatch import stopwatch
from slalom.train import Task
from slalom.train.faults import told
from slalom.train.groups import SCALED

CHECKS, MOST_OF_THEM = 5, 4
"""Fresh seeds on which a target is checked, and how many of them must reach it."""

BASELINES = 3
"""Seeds of the finals on which the user's current choice is run."""

Watch = Callable[[events.Event], None]


class Race:
    """One race in progress.

    Args:
        task: what is trained; of one without a target the race finds it.
        options: who races and how.
        ledger: of this race, begun or to be gone on with; its folder takes the checkpoints.
        trainer: who trains.
        watch: called with each event.

    Attributes:
        entrants: all that have entered so far, by their numbers.
    """

    def __init__(self, task: Task, options: Options, ledger: Ledger, trainer: Runner, watch: Watch):
        self.task, self.options, self.ledger = task, options, ledger
        self.seed, self.watch, self.trainer = options.seed, watch, trainer
        self.runner = Recorded(trainer, ledger)
        self.field, self.usual = options.field, options.usual
        self.entrants: list[Entrant] = []
        self._searches: dict[int, dict[str, Contender]] = {}

    def run(self) -> None:
        """Race to the verdict. A KeyboardInterrupt leaves the ledger whole, to be resumed."""
        try:
            with checkpoints(self.ledger) as self.trainer.folder:
                self._run()
        except KeyboardInterrupt:
            self.ledger.set(interrupted=True)
            raise

    def _run(self) -> None:
        start = time.perf_counter() - (self.ledger.meta.get("elapsed") or 0.0)
        self.watch(
            events.Started(
                self.task.name,
                [family.label for family in self.options.field],
                self.task.metric.name,
                self.task.target,
                self.ledger.path.parent,
                None if self.task.budget is None else str(self.task.budget),
            )
        )
        if self.task.budget is not None and self.task.budget.unit == "seconds":
            self._time_budget(self.task.budget.amount)
        if self.task.budget is None and self.task.target is None:
            self._find_target()
        if self.task.schedule.branches:
            text = "longer runs go on from where shorter ones began to decay"
            self.ledger.note(f"{text}, and the bill counts each as if from its start")
        self.ledger.set(target=self.task.target)
        chosen = self._setting(0)
        self._finals(chosen)
        self.ledger.set(finished=True, interrupted=False, elapsed=time.perf_counter() - start)

    def _time_budget(self, seconds: float) -> None:
        """Make the budget a number of updates, for every rule its own."""
        families = [*self.field, *([self.usual] if self.usual else [])]
        known = self.ledger.meta.get("paces")
        if known is None:
            self.tell("the clock: updates of all, taking turns")
            known = paces(self.task, families, self.seed, self.trainer.limit)
            self.ledger.set(paces=known)
        found, most = paced(self.task, families, known, seconds)
        self.field, self.usual = found[: len(self.field)], (found[len(self.field) :] or [None])[0]
        self.task = copy.copy(self.task)
        self.task.max_steps = most
        self.trainer.task = self.task
        told = ", ".join(f"{f.updates:,} of {f.label}" for f in self.field)
        self.tell(f"in {self.task.budget} updates are made: {told}", note=True)

    # heats

    def _search(self, study: int = 0) -> Heats:
        """The best setting of every rule, found on seeds that nothing else uses."""
        pair = seeds.heats(self.seed, study)

        def report(contender: Contender, seed: int) -> None:
            if seed == pair[0]:
                self._record(contender, seed, Stage.HEAT, contender.history, contender.status)
                if contender.status == Status.STOPPED:  # another run, of more updates, is begun
                    for own in pair:
                        self.trainer.forget(contender.entrant, own)
            else:
                status = contender.twin.ended or Status.STOPPED
                self._record(contender, seed, Stage.HEAT, contender.twin, status)

        heats = Heats(
            self.task, self.field, self.runner, pair, self._enter,
            self.options.points_each, report=report, sampler=self.options.sampler,
        )  # fmt: skip
        heats.run()
        contenders = [s for own in heats.contenders.values() for s in own]
        for contender in contenders:
            for seed in pair:
                self.trainer.forget(contender.entrant, seed)
        if not heats.chosen:
            raise InputError(f"nobody makes an update within {self.task.budget}; give more")
        if all(s.status == Status.FAILED for s in contenders):
            first = contenders[0]
            raise InputError(
                f"every entrant failed; the first, {first.entrant.label}, with "
                f"{first.history.reason}"
            )
        for label in sorted(heats.extended):
            self.tell(f"the best {label} lay at the edge of its range; extended", note=True)
        return heats

    def _setting(self, place: int) -> Mapping[str, Contender]:
        """Who stands for each rule on the seed of the finals at this place.

        The same everywhere where settings are raced; where rules are, what a search of its own
        found for this seed; what the first one found, where another never came to a rule.
        """
        study = place if self.options.about == "rules" else 0
        if study not in self._searches:
            text = "heats" if self.options.about == "settings" else f"heats of study {study + 1}"
            self.tell(text)
            found = self._search(study).chosen
            if study == 0:
                self._tell_of_absent(found)
                self._space_evaluations(found)
            spacing = self.ledger.meta.get("finals_every") or self.task.eval_every
            here = {
                label: replace(s, lane=replace(s.lane, spacing=spacing))
                for label, s in found.items()
            }
            self._searches[study] = self._searches.get(0, {}) | here
        return self._searches[study]

    def _tell_of_absent(self, found: Mapping[str, Contender]) -> None:
        for family in self.field:
            if family.label not in found:
                text = "the best was at the target long before its first evaluation was due"
                if self.task.budget is not None:
                    text = "one update of it takes more than the budget"
                self.tell(f"{family.label} did not race: {text}", note=True)

    def _space_evaluations(self, found: Mapping[str, Contender]) -> None:
        """Evaluate more often in the finals, where too few would tell one rule from another."""
        soonest = min((s.to_target for s in found.values()), default=math.inf)
        if not self.trainer.any_spacing or not math.isfinite(soonest):
            return
        every = max(1, math.floor(soonest / EVALUATIONS))
        if every < self.task.eval_every and "finals_every" not in self.ledger.meta:
            self.ledger.set(finals_every=every)
            seen = round(soonest / self.task.eval_every)
            evaluations = f"{seen} evaluation{'s' * (seen != 1)}"
            updates = f"{every} updates" if every > 1 else "update"
            self.tell(
                f"the best was there after {evaluations}, too "
                f"few to tell rules apart; the finals evaluate every {updates} instead of "
                f"every {self.task.eval_every}",
                note=True,
            )

    def _find_target(self) -> None:
        """What the best reaches and holds in half the time it has, on most of some fresh seeds."""
        self.tell("looking for a target: what the best reaches within half of the cap")
        half = self.task.max_steps / 2
        found = [(self._held(s.history, s.lane, half), s) for s in self._search().chosen.values()]
        found = [(value, s) for value, s in found if not math.isnan(value)]
        pick = max if self.task.higher_is_better else min
        if not found:
            raise InputError(
                f"no target was found: nobody held a value of {self.task.metric.name} over "
                f"{HOLD + 1} evaluations; raise max_steps, lower eval_every, or give a target"
            )
        value, best = pick(found, key=lambda pair: pair[0])
        places = range(CHECKS)
        legs = [(best, seeds.checking(self.seed, place), half) for place in places]
        held = [self._held(h, best.lane, half) for h in self._train(legs, Stage.HEAT)]
        held = sorted((h for h in held if not math.isnan(h)), reverse=self.task.higher_is_better)
        if len(held) < MOST_OF_THEM:
            raise InputError(
                f"no target was found: {best.entrant.label} held a value of "
                f"{self.task.metric.name} on {len(held)} of {CHECKS} seeds; give a target"
            )
        worse = min if self.task.higher_is_better else max
        self.task = copy.copy(self.task)
        self.task.target = worse(held[MOST_OF_THEM - 1], value)
        self.trainer.task = self.task
        text = (
            f"the task has no target, and the race chose {self.task.metric.name} "
            f"{self.task.target:.4g}: what {best.entrant.label} reached and held in half of "
            f"max_steps on {MOST_OF_THEM} of {CHECKS} seeds that nothing else uses"
        )
        self.tell(text, note=True)

    def _held(self, history: History, lane: Lane, work: float) -> float:
        return History(tuple(e for e in history.evaluations if lane.work(e) <= work + 1e-9)).held(
            self.task
        )

    def _enter(self, family: Family, hypers: dict[str, float]) -> Entrant:
        """The entrant of this family and setting, entered if it is not yet."""
        for known in self.entrants:
            if known.family is family and known.hypers == hypers:
                return known
        entrant = Entrant(len(self.entrants), family, hypers)
        self.entrants.append(entrant)
        parameters = "model.parameters()"
        if self.task.parameter_groups is not None or any(self.task.objective.modules_that_learn()):
            base = {n: v for n, v in entrant.arguments.items() if n in SCALED}
            given = ["model", *(f"{name}={value!r}" for name, value in base.items())]
            parameters = f"task.parameters({', '.join(given)})"
        lane = Lane.of(self.task, entrant)
        under = ""
        if len(turns := self.task.objective.turns) > 1:
            parameters = "part.parameters()"
            under = f"one for each part of the model: {', '.join(map(str, turns))}"
        if (schedule := entrant.of(self.task).schedule.told) is not None:
            length = entrant.horizon or lane.until(float(self.task.max_steps))
            said = f"under the task's {schedule} over {length:,} updates"
            under = f"{under}, {said}" if under else said
        self.ledger.enter(entrant, lane.batch, parameters, under)
        return entrant

    # finals

    def _finals(self, chosen: Mapping[str, Contender]) -> None:
        """The best of every rule on fresh seeds; then the user's choice, and the clock."""
        labels = sorted(chosen, key=lambda n: self._likely(chosen[n]))
        self.ledger.set(finalists=labels)

        def train(legs: Sequence[Leg]) -> list[History]:
            runs = [(s, seeds.final(self.seed, place), work) for s, place, work in legs]
            return self._train(runs, Stage.FINAL)

        design = judged_by(self.options.most_seeds, self.task.budget, self.options.full)
        finals = Finals(labels, self._setting, train, float(self.task.max_steps), design)
        self.tell("finals: " + ", ".join(self._called(chosen, n) for n in labels))
        if self.options.full:
            finals.run_all()
        else:
            finals.race()
        self._run_baseline(finals)
        self._time(chosen, judge(finals.runs, design))

    @staticmethod
    def _likely(contender: Contender) -> tuple[float, float]:
        """Less for who looks the better after the heats."""
        if contender.task.budget is None:
            return contender.to_target, contender.loss
        score = contender.score(contender.history)
        return score.value if score.told else math.inf, contender.loss

    def _called(self, chosen: Mapping[str, Contender], label: str) -> str:
        return label if self.options.about == "rules" else chosen[label].entrant.label

    def _run_baseline(self, finals: Finals) -> None:
        """The user's current choice on some of the finals' seeds."""
        arrived = [r.work for own in finals.runs.values() for r in own.values() if r.arrived]
        if self.usual is None or not (arrived or self.task.budget):
            return
        entrant = self._enter(self.usual, {})
        contender = Contender(entrant, Lane.of(self.task, entrant), self.task)
        spacing = self.ledger.meta.get("finals_every") or self.task.eval_every
        contender.lane = replace(contender.lane, spacing=spacing)
        work = min(float(self.task.max_steps), LATE * max(arrived, default=math.inf))
        runs = [(contender, seeds.final(self.seed, i), work) for i in range(BASELINES)]
        self._train(runs, Stage.BASELINE)

    def _time(self, chosen: Mapping[str, Contender], found: Judgement) -> None:
        """Seconds of an update of each rule near the first, taking turns, alone on the machine."""
        if not self.trainer.real or self.ledger.meta.get("timed") or found.leader is None:
            return
        near = [
            chosen[n].entrant for n in (found.leader, *found.findings)
            if n == found.leader or chosen[n].status != Status.FAILED
        ]  # fmt: skip
        self.tell("the clock: updates of the finalists, taking turns")
        try:
            rounds, noisy = stopwatch(self.task, near, self.seed, self.trainer.limit)
        except Exception as error:  # all of them in memory at once may be more than there is
            self.ledger.note(f"no updates were timed: {told(error)}")
            return
        self.ledger.time([e.number for e in near], rounds)
        if noisy:
            self.ledger.note(noisy)
        self.ledger.set(timed=True)

    # both

    def _train(self, legs: Sequence[tuple[Contender, int, float]], stage: Stage) -> list[History]:
        """Train contenders on seeds up to some work, side by side where there are workers.

        A run that is past the target at its end goes on until it is known whether that holds.
        """
        found: dict[tuple[int, int], History] = {}
        lanes = {s.entrant.number: s for s, *_ in legs}
        requests = [
            Request(s.entrant, seed, s.lane.until(work), s.lane.every) for s, seed, work in legs
        ]
        self.watch(events.Planned(len(requests)))
        while requests:
            pending: list[Request] = []
            for request, history in self.runner.advance(requests):
                if more := self._to_hold(history):
                    until = history.step + more * request.every
                    pending.append(replace(request, until=until, known=history))
                    continue
                number, seed = request.entrant.number, request.seed
                contender, found[number, seed] = lanes[number], history
                self._record(
                    contender, seed, stage, history, contender.after(history, Status.STOPPED)
                )
            requests = pending
        return [found[s.entrant.number, seed] for s, seed, _ in legs]

    def _to_hold(self, history: History) -> int:
        """Evaluations more that show whether the target is held, which is passed at the end."""
        if history.ended or history.crossing(self.task):
            return 0
        past = 0
        for evaluation in reversed(history.evaluations):
            if not self.task.reached(evaluation.metric):
                break
            past += 1
        return HOLD + 1 - past if past else 0

    def _record(
        self, contender: Contender, seed: int, stage: Stage, history: History, status: Status
    ) -> None:
        entrant, crossing = contender.entrant, history.crossing(self.task)
        self.ledger.record(entrant, seed, stage, status, history, crossing)
        if status == Status.FAILED:
            self.ledger.note(f"{entrant.label} failed: {history.reason}")
        # those that were dropped may be asked for again
        if stage != Stage.HEAT or status in (Status.REACHED, Status.DIVERGED, Status.FAILED):
            self.trainer.forget(entrant, seed)
        last = history.evaluations[-1] if history.evaluations else None
        self.watch(
            events.Moved(
                entrant.label, seed, stage, status, history.step,
                last.metric if last else math.nan,
                crossing.step if crossing else None, crossing.seconds if crossing else None,
                history.evaluations,
            )
        )  # fmt: skip

    def tell(self, text: str, *, note: bool = False) -> None:
        """Say what goes on, and put it into the ledger if that is to be known later."""
        if note:
            self.ledger.note(text)
        self.watch(events.Told(text))
