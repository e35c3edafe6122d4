"""A race from its start to its verdict: heats, finals on fresh seeds, and the clock at the end."""

from __future__ import annotations

import contextlib
import copy
import math
import shutil
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from slalom.errors import InputError
from slalom.racing import events
from slalom.racing.bracket import Heats, Lane, Standing
from slalom.racing.crew import Processes
from slalom.racing.entrants import Entrant, Family, families, points
from slalom.racing.ledger import Ledger
from slalom.racing.recorded import Recorded, opened
from slalom.racing.result import Result
from slalom.racing.runner import HOLD, Request, Runner, Trace
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


def race(
    task: Task | str,
    *,
    entrants: Any = None,
    points_each: int = 6,
    search: Collection[str] = ("lr",),
    batch_sizes: tuple[int, int] | None = None,
    seeds: int = 10,
    seed: int = 0,
    baseline: Any = "Adam(lr=1e-3)",
    workers: int = 1,
    engine: str = "processes",
    address: str | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    watch: Watch = lambda event: None,
    runner: Runner | None = None,
) -> Result:
    """Find out which optimizer with which settings reaches the task's target soonest.

    Args:
        task: a :class:`slalom.Task`, or what ``slalom race`` takes: a built-in task's name, or
            ``FILE.py[:NAME]``.
        entrants: who races; see :func:`slalom.racing.entrants.families`. By default the classic
            methods: BGD, SGD, Momentum, Nesterov, AdaGrad, RMSProp and Adam.
        points_each: settings tried of each, from 1 on.
        search: which of the hyper-parameters that the rules declare ranges for are searched, as in
            ``("lr", "momentum", "betas")``; or ``"all"``. The learning rate alone by default:
            it matters most, and few points in many dimensions find nothing.
        batch_sizes: the smallest and the largest batch that may be tried, powers of two between;
            by default the task's own is used. Work is counted in samples then.
        seeds: fresh seeds of the finals, from 3 on; up to five times as many while it is open
            who wins.
        seed: of the points, the initial weights and the order of the samples; the finals' come
            from it too.
        baseline: the user's current choice, against which the bill is made: an optimizer class or
            a callable ``params -> optimizer``; by default Adam at a learning rate of 1e-3; None
            for none.
        workers: processes that train, with one torch thread each. Changes no result.
        engine: where they are: ``"processes"`` of this machine, or ``"ray"`` (extra
            ``slalom[ray]``) for actors of a Ray cluster.
        address: of the Ray cluster, ``"auto"`` for the one this machine belongs to; by default one
            is started for the race.
        out: the folder to write ``ledger.sqlite`` and ``report.html`` to; by default
            ``races/<task>-<date>-<time>``.
        resume: go on with the race in ``out``, which must have been of the same task and options.
        watch: called with each event of :mod:`slalom.racing.events`.
        runner: who trains; for replays.

    Raises :class:`InputError` for what cannot be raced, before anything is trained. A
    KeyboardInterrupt leaves the ledger whole, to be resumed.
    """
    spec = task if isinstance(task, str) else None
    if isinstance(task, str):
        from slalom.tasks import load

        task = load(task)
    _check_number("points_each", points_each, 1)
    _check_number("seeds", seeds, 3)
    _check_number("workers", workers, 1)
    field = families(entrants, search, batch_sizes)
    usual = _baseline(baseline)
    _check_batch_sizes(batch_sizes, task)
    task.check()
    options = {
        "task": task.name, "spec": spec, "seed": seed, "seeds": seeds, "points_each": points_each,
        "metric": task.metric.name, "higher_is_better": task.higher_is_better,
        "batch_size": task.batch_size, "n_train": task.n_train, "n_valid": task.n_valid,
        "max_steps": task.max_steps, "entrants": [f.label for f in field],
        "search": search if search == "all" else list(search),
        "batch_sizes": batch_sizes and list(batch_sizes), "baseline": usual and usual.source,
        "parameters": sum(p.numel() for p in task.make_model(seed).parameters()),
    }  # fmt: skip
    with contextlib.closing(runner or _runner(task, workers, engine, address)) as trainer:
        ledger = opened(task, options, out, resume)
        try:
            with _checkpoints(ledger) as trainer.folder:
                _Race(task, field, ledger, trainer, options, usual, watch).run()
        except KeyboardInterrupt:
            ledger.set(interrupted=True)
            raise
        finally:
            ledger.close()
    result = Result(ledger.path.parent)
    watch(events.Finished(result))
    return result


class _Race:
    """One race in progress."""

    def __init__(
        self, task: Task, field: Sequence[Family], ledger: Ledger, trainer: Runner,
        options: dict[str, Any], baseline: Family | None, watch: Watch,
    ):  # fmt: skip
        self.task, self.field, self.ledger, self.options = task, field, ledger, options
        self.seed: int = options["seed"]
        self.seeds: int = options["seeds"]
        self.baseline, self.watch, self.trainer = baseline, watch, trainer
        self.runner = Recorded(trainer, ledger)
        self.entrants: list[Entrant] = []

    def run(self) -> None:
        """Race to the verdict."""
        start = time.perf_counter() - (self.ledger.meta.get("elapsed") or 0.0)
        for family in self.field:
            for hypers in points(family.space, self.options["points_each"], self.seed):
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
        for standing in heats.standings:
            self.trainer.forget(standing.entrant, self.seed)
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
        self.ledger.enter(entrant, Lane.of(self.task, entrant).batch)
        return entrant

    def _heats(self) -> Heats:
        entrants = list(self.entrants)
        heats = Heats(
            self.task, entrants, self.runner, self.seed,
            report=lambda s: self._record(s, self.seed, "heat"),
        )  # fmt: skip
        heats.run()
        if all(s.fate == "failed" for s in heats.standings):
            reason = heats.standings[0].trace.reason
            raise InputError(f"every entrant failed; the first with {reason}")
        return heats

    def _find_target(self) -> None:
        """What the best tuned entrant reaches and holds within the cap: the median of three seeds.

        At most what it reached in the heats, or these would have nobody to send to the finals.
        """
        self.watch(events.Told("looking for a target: what the best reaches within the cap"))
        heats = self._heats()
        sign = -1 if self.task.higher_is_better else 1
        held = [(sign * s.trace.held(self.task), i) for i, s in enumerate(heats.standings)]
        held = [(h, i) for h, i in held if not math.isnan(h)]
        if not held:
            raise InputError(
                f"no target was found: nobody held a value of {self.task.metric.name} over "
                f"{HOLD + 1} evaluations; raise max_steps, lower eval_every, or give a target"
            )
        best = heats.standings[min(held)[1]]
        runs = [(best, self.seed + i) for i in range(3)]
        found = [t.held(self.task) for t in self._train(runs, self.task.max_steps, "heat")]
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

    def _finals(self, leaders: Sequence[Standing], cap: float) -> None:
        """The leaders on fresh seeds, until intervals decide or the seeds are used up."""
        self.watch(events.Told("finals: " + ", ".join(s.entrant.label for s in leaders)))
        needs: dict[int, list[float | None]] = {s.entrant.number: [] for s in leaders}
        racing, done = list(leaders), 0
        for share, level in LOOKS:
            seeds = range(done, share * self.seeds)
            runs = [(s, self.seed + FRESH + i) for i in seeds for s in racing]
            self.watch(events.Planned(len(runs)))
            traces = self._train(runs, min(cap, self.task.max_steps), "final")
            for (s, _), trace in zip(runs, traces, strict=True):
                crossing = trace.crossing(self.task)
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
        if self.baseline is None:
            return
        entrant = self._enter(self.baseline, {})
        standing = Standing(entrant, Lane.of(self.task, entrant))
        runs = [(standing, self.seed + FRESH + i) for i in range(3)]
        self._train(runs, self.task.max_steps, "baseline")

    def _time(self, leaders: Sequence[Standing]) -> None:
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

    def _train(self, runs: Sequence[tuple[Standing, int]], work: float, stage: str) -> list[Trace]:
        """Train entrants on seeds up to this work, side by side where there are workers."""
        requests = [Request(s.entrant, seed, s.lane.until(work), s.lane.every) for s, seed in runs]
        lanes = {s.entrant.number: s.lane for s, _ in runs}
        found = {}
        for request, trace in self.runner.advance(requests):
            entrant, seed = request.entrant, request.seed
            fate = trace.ended or ("reached" if trace.crossing(self.task) else "not reached")
            standing = Standing(entrant, lanes[entrant.number], trace, fate)
            self._record(standing, seed, stage)
            found[entrant.number, seed] = trace
        return [found[s.entrant.number, seed] for s, seed in runs]

    def _record(self, standing: Standing, seed: int, stage: str) -> None:
        trace, entrant = standing.trace, standing.entrant
        crossing = trace.crossing(self.task)
        status = "running" if standing.fate == "racing" else standing.fate
        if len(trace.evaluations) >= len(self.ledger.trace(entrant.number, seed).evaluations):
            self.ledger.record(entrant, seed, stage, status, trace, crossing)
        if standing.fate == "failed":
            self.ledger.note(f"{entrant.label} failed: {trace.reason}")
        if standing.fate not in ("racing", "dropped"):  # the dropped may be asked for again
            self.trainer.forget(entrant, seed)
        last = trace.evaluations[-1] if trace.evaluations else None
        self.watch(
            events.Moved(
                entrant.label, seed, stage, status, trace.step,
                last.metric if last else math.nan,
                crossing.step if crossing else None, crossing.seconds if crossing else None,
            )
        )  # fmt: skip


def _baseline(given: Any) -> Family | None:
    if given == "Adam(lr=1e-3)":
        source = "torch.optim.Adam"
        return Family("Adam(lr=0.001)", torch.optim.Adam, {}, {"lr": 1e-3}, None, source)
    return None if given is None else families({"baseline": (given, {})})[0]


def _check_number(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} is {value!r}; it must be a whole number from {least} on")


def _check_batch_sizes(batch_sizes: Any, task: Task) -> None:
    if batch_sizes is None:
        return
    sizes = list(batch_sizes)
    if len(sizes) != 2 or not 1 <= sizes[0] < sizes[1] <= task.n_train:
        raise InputError(
            f"batch_sizes is {batch_sizes!r}; it must be the smallest and the largest to try, "
            f"between 1 and the {task.n_train} training samples"
        )


@contextlib.contextmanager
def _checkpoints(ledger: Ledger) -> Iterator[Path]:
    """A folder beside the ledger until the race is over, which no other takes for its own."""
    folder = ledger.path.parent.absolute() / f"checkpoints-{ledger.meta['id']}"
    folder.mkdir(exist_ok=True)
    try:
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        with contextlib.suppress(OSError):  # there are some, or it is gone
            folder.rmdir()


def _runner(task: Task, workers: int, engine: str, address: str | None) -> Runner:
    """Who trains."""
    if engine == "ray":
        from slalom.racing.ray import RayCrew

        return RayCrew(task, workers, address)
    if engine != "processes":
        raise InputError(f"there is no engine {engine!r}; there are processes and ray")
    if address is not None:
        raise InputError("an address is of a Ray cluster; it goes with engine='ray'")
    return Processes(task, workers) if workers > 1 else Trainer(task)
