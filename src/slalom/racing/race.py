"""A race from its start to its verdict: heats, finals on fresh seeds, and the clock at the end."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable, Sequence

from slalom.errors import InputError
from slalom.racing import events
from slalom.racing.bracket import Contender, Heats, Lane
from slalom.racing.crew import Processes
from slalom.racing.entrants import Entrant, Family, points
from slalom.racing.ledger import Ledger
from slalom.racing.options import Options, check_number
from slalom.racing.recorded import Recorded, checkpoints
from slalom.racing.runner import HOLD, History, Request, Runner
from slalom.racing.status import Stage, Status
from slalom.racing.stopwatch import stopwatch
from slalom.racing.trainer import Trainer, told
from slalom.racing.verdict import LOOKS, ratio, typical
from slalom.train import Task

FINALISTS = 3
"""Families at most that go to the finals."""

CAP = 4.0
"""How many times the work of the heats' best a run of the finals may take."""

FRESH = 1000
"""The first of the finals' seeds comes this far behind the seed of the heats."""

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
        self.seed, self.seeds = options.seed, options.seeds
        self.watch, self.trainer = watch, trainer
        self.runner = Recorded(trainer, ledger)
        self.entrants: list[Entrant] = []

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
        for family in self.options.field:
            for hypers in points(family.space, self.options.points_each, self.seed):
                self._enter(family, hypers)
        self.watch(
            events.Started(
                self.task.name,
                len(self.entrants),
                self.task.metric.name,
                self.task.target,
                self.ledger.path.parent,
            )
        )
        if self.task.target is None:
            self._find_target()
        self.ledger.set(target=self.task.target)
        heats = self._heats()
        self._search(heats)
        for contender in heats.contenders:
            self.trainer.forget(contender.entrant, self.seed)
        leaders = heats.leaders(FINALISTS)
        if leaders:
            cap = CAP * heats.best
            self._finals(leaders, cap)
            self._run_baseline()
            self._time(leaders)
        self.ledger.set(finished=True, interrupted=False, elapsed=time.perf_counter() - start)

    def _enter(self, family: Family, hypers: dict[str, float]) -> Entrant:
        entrant = Entrant(len(self.entrants), family, hypers)
        self.entrants.append(entrant)
        parameters = "model.parameters()"
        if self.task.parameter_groups is not None:
            parameters = "task.parameters(model)"
        self.ledger.enter(entrant, Lane.of(self.task, entrant).batch, parameters)
        return entrant

    def _heats(self) -> Heats:
        entrants = list(self.entrants)
        heats = Heats(
            self.task, entrants, self.runner, self.seed,
            report=lambda s: self._record(s, self.seed, Stage.HEAT),
        )  # fmt: skip
        heats.run()
        if all(s.status == Status.FAILED for s in heats.contenders):
            reason = heats.contenders[0].history.reason
            raise InputError(f"every entrant failed; the first with {reason}")
        return heats

    def _find_target(self) -> None:
        """What the best tuned entrant reaches and holds within the cap: the median of three seeds.

        At most what it reached in the heats, or these would have nobody to send to the finals.
        """
        self.watch(events.Told("looking for a target: what the best reaches within the cap"))
        heats = self._heats()
        sign = -1 if self.task.higher_is_better else 1
        held = [(sign * s.history.held(self.task), i) for i, s in enumerate(heats.contenders)]
        held = [(h, i) for h, i in held if not math.isnan(h)]
        if not held:
            raise InputError(
                f"no target was found: nobody held a value of {self.task.metric.name} over "
                f"{HOLD + 1} evaluations; raise max_steps, lower eval_every, or give a target"
            )
        best = heats.contenders[min(held)[1]]
        runs = [(best, self.seed + i) for i in range(3)]
        found = [t.held(self.task) for t in self._train(runs, self.task.max_steps, Stage.HEAT)]
        self.task = copy.copy(self.task)
        middle = statistics.median(found)
        worse = min if self.task.higher_is_better else max
        self.task.target = worse(middle, found[0])
        self.trainer.task = self.task
        text = f"target found: {self.task.metric.name} {self.task.target:.4g}"
        self.ledger.note(f"{text}, the median of what {best.entrant.label} reached on three seeds")
        self.watch(events.Told(text))

    def _search(self, heats: Heats) -> None:
        """Look closer around the leaders, and say where that leaves a range."""
        for label in sorted(heats.search(self._enter, FINALISTS)):
            text = f"the best {label} lay at the edge of its range; extended"
            self.ledger.note(text)
            self.watch(events.Told(text))

    def _finals(self, leaders: Sequence[Contender], cap: float) -> None:
        """The leaders on fresh seeds, until intervals decide or the seeds are used up."""
        self.watch(events.Told("finals: " + ", ".join(s.entrant.label for s in leaders)))
        needs: dict[int, list[float | None]] = {s.entrant.number: [] for s in leaders}
        racing, done = list(leaders), 0
        for share, level in LOOKS:
            seeds = range(done, share * self.seeds)
            runs = [(s, self.seed + FRESH + i) for i in seeds for s in racing]
            self.watch(events.Planned(len(runs)))
            histories = self._train(runs, min(cap, self.task.max_steps), Stage.FINAL)
            for (s, _), history in zip(runs, histories, strict=True):
                crossing = history.crossing(self.task)
                needs[s.entrant.number].append(s.lane.work(crossing) if crossing else None)
            done = share * self.seeds
            self.watch(events.Told(f"{done} seeds of {len(racing)} finalists run"))
            best = min(racing, key=lambda s: typical(needs[s.entrant.number]))
            fast = needs[best.entrant.number]
            racing = [
                s
                for s in racing
                if s is best or ratio(needs[s.entrant.number], fast, level=level).low <= 1
            ]
            if len(racing) == 1:
                break

    def _run_baseline(self) -> None:
        """The user's current choice on three of the finals' seeds."""
        if self.options.usual is None:
            return
        entrant = self._enter(self.options.usual, {})
        contender = Contender(entrant, Lane.of(self.task, entrant))
        runs = [(contender, self.seed + FRESH + i) for i in range(3)]
        self._train(runs, self.task.max_steps, Stage.BASELINE)

    def _time(self, leaders: Sequence[Contender]) -> None:
        """Seconds of an update of each finalist, taking turns, alone on the machine."""
        if not self.trainer.real or self.ledger.meta.get("timed"):
            return
        self.watch(events.Told("the clock: updates of the finalists, taking turns"))
        try:
            rounds, noisy = stopwatch(self.task, [s.entrant for s in leaders], self.seed)
        except Exception as error:  # all of them in memory at once may be more than there is
            self.ledger.note(f"no updates were timed: {told(error)}")
            return
        self.ledger.time([s.entrant.number for s in leaders], rounds)
        if noisy:
            self.ledger.note(noisy)
        self.ledger.set(timed=True)

    def _train(
        self, runs: Sequence[tuple[Contender, int]], work: float, stage: Stage
    ) -> list[History]:
        """Train entrants on seeds up to this work, side by side where there are workers."""
        requests = [Request(s.entrant, seed, s.lane.until(work), s.lane.every) for s, seed in runs]
        lanes = {s.entrant.number: s.lane for s, _ in runs}
        found = {}
        for request, history in self.runner.advance(requests):
            entrant, seed = request.entrant, request.seed
            status = history.ended or (
                Status.REACHED if history.crossing(self.task) else Status.NOT_REACHED
            )
            contender = Contender(entrant, lanes[entrant.number], history, status)
            self._record(contender, seed, stage)
            found[entrant.number, seed] = history
        return [found[s.entrant.number, seed] for s, seed in runs]

    def _record(self, contender: Contender, seed: int, stage: Stage) -> None:
        history, entrant = contender.history, contender.entrant
        crossing = history.crossing(self.task)
        self.ledger.record(entrant, seed, stage, contender.status, history, crossing)
        if contender.status == Status.FAILED:
            self.ledger.note(f"{entrant.label} failed: {history.reason}")
        # those that were dropped may be asked for again
        if contender.status not in (Status.RUNNING, Status.DROPPED):
            self.trainer.forget(entrant, seed)
        last = history.evaluations[-1] if history.evaluations else None
        self.watch(
            events.Moved(
                entrant.label, seed, stage, contender.status, history.step,
                last.metric if last else math.nan,
                crossing.step if crossing else None, crossing.seconds if crossing else None,
            )
        )  # fmt: skip


def hired(task: Task, workers: int, engine: str, address: str | None) -> Runner:
    """Who trains.

    Raises :class:`InputError` for what cannot be had here.
    """
    check_number("workers", workers, 1)
    if engine == "ray":
        from slalom.racing.ray import RayCrew

        return RayCrew(task, workers, address)
    if engine != "processes":
        raise InputError(f"there is no engine {engine!r}; there are processes and ray")
    if address is not None:
        raise InputError("an address is of a Ray cluster; it goes with engine='ray'")
    return Processes(task, workers) if workers > 1 else Trainer(task)
