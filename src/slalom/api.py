"""What users call: a race from a task to its result, and the result with its page."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from slalom.errors import InputError
from slalom.interrupts import interrupted_once
from slalom.racing import events, together, weights
from slalom.racing.entrants import FIELD
from slalom.racing.limit import Limit, OutOfTimeError
from slalom.racing.options import USUAL, Options
from slalom.racing.race import Race, Watch
from slalom.racing.recorded import how, opened
from slalom.racing.result import Result
from slalom.racing.runner import Runner
from slalom.racing.workers import hired
from slalom.report import notebook, page
from slalom.report.live import Live
from slalom.report.logs import Log, services
from slalom.report.plots import Plots
from slalom.report.table import as_text
from slalom.tasks import loaded
from slalom.train import Task, atomic
from slalom.train.compiled import refusal
from slalom.train.loop import Loop
from slalom.train.watching import watchers


class RaceResult(Result):
    """A :class:`Result` that shows itself, in a terminal and a notebook, and draws its page."""

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return notebook.as_html(self)

    @property
    def plot(self) -> Plots:
        """Its charts as figures: ``result.plot.curves()``, ``.learning_rates()``, ``.finals()``."""
        return Plots(self)

    @property
    def weights(self) -> Path | None:
        """The file of the winner's weights, if it was asked for; see ``keep_weights``."""
        path = self.path / weights.FILE
        return path if path.is_file() else None

    def report(self, path: Path | str | None = None) -> Path:
        """Write the race's page, one HTML file that needs nothing else; returns its path.

        By default to ``report.html`` beside the ledger. Raises :class:`slalom.errors.InputError`
        if nothing can be written there.
        """
        target = Path(path) if path else self.path / "report.html"
        atomic.refuse_no_file(target)
        return atomic.write(page.page(self).encode(), target)


def race(
    task: Task | str,
    *,
    entrants: Any = None,
    points_each: int | None = None,
    search: Collection[str] = ("lr",),
    batch_sizes: tuple[int, int] | None = None,
    space: Mapping[str, Any] | None = None,
    sampler: Literal["tpe"] | None = None,
    seeds: int | None = None,
    seed: int = 0,
    baseline: Any = USUAL,
    about: Literal["settings", "rules"] = "settings",
    full: bool = False,
    budget: str | None = None,
    lanes: int | None = None,
    workers: int = 1,
    engine: str = "processes",
    address: str | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    within: str | float | None = None,
    keep_weights: bool = False,
    progress: bool = True,
    log: str | Collection[str] = (),
    watch: Watch | list[Watch] | tuple[Watch, ...] = (),
    runner: Runner | None = None,
) -> RaceResult:
    """Find out which optimizer with which settings reaches the task's target soonest.

    Args:
        task: a :class:`slalom.Task`, or what ``slalom race`` takes: a built-in task's name, or
            ``FILE.py[:NAME]``.
        entrants: who races; see :func:`slalom.racing.entrants.families`. By default the classic
            methods: BGD, SGD, Momentum, Nesterov, AdaGrad, RMSProp and Adam; or what the task's
            file calls ``entrants``, whose names may be given too.
        points_each: settings tried of each at first, from 1 on; by default 4 for each
            hyper-parameter that is searched. More are added where the best lies.
        search: which of the hyper-parameters that the rules declare ranges for are searched, as in
            ``("lr", "momentum", "betas")``; or ``"all"``. The learning rate alone by default:
            it matters most, and few points in many dimensions find nothing. ``"weight_decay"``,
            ``"warmup"`` (a share of the run), ``"clip_norm"`` and ``"clip_value"`` have ranges for
            all that take them (:data:`slalom.racing.space.COMMON`).
        batch_sizes: the smallest and the largest batch that may be tried, powers of two between;
            by default the task's own is used. Work is counted in samples then.
        space: ranges, choices and fixed values in place of the rules' own, for all entrants that
            take them, ``{"lr": (1e-4, 1e-1), "momentum": 0.9}``, or under an entrant's name for it
            alone, ``{"SGD": {"nesterov": [True, False]}}``; written as
            :func:`slalom.racing.space.sorted_out` says.
        sampler: ``"tpe"`` to let Optuna's sampler say which settings of each rule are tried beside
            the first ones, by what is known of those; None for learning rates halfway to the
            neighbours of the best.
        seeds: of the finals, from 3 on, at most: they end as soon as it is known who wins, or that
            it will not be known. By default 50; 10 if ``full``.
        seed: from 0 on; of the points, the initial weights and the order of the samples. Races of
            different seeds have none of these in common.
        baseline: the user's current choice, against which the bill is made: an optimizer class or
            a callable ``params -> optimizer``; by default Adam at a learning rate of 1e-3; None
            for none.
        about: ``"settings"`` judges the best setting of each rule that one search has found;
            ``"rules"`` searches anew for every seed of the finals, and judges rules with their
            tuning.
        full: run the best setting of every rule on all seeds, to the target or to ``max_steps``,
            instead of ending what is decided.
        budget: ask who is best at the end of it, in place of who is at the task's target soonest:
            ``"10 epochs"``, ``"2000 steps"`` (of the task's batches), ``"1e6 samples"``, or
            ``"90 seconds"``, of updates alone, as they are timed here before the race.
        lanes: 1 trains by torch, one run after the other; 16 or 32 so many side by side, in one
            pass through a stacked model. By default the race decides: rows of linear layers and
            the like on a CPU are gone through by machine code (:mod:`slalom.train.compiled`), all
            else by torch, one by one. Other ways than torch's equal it up to rounding, and not to
            the bit; so the ledger keeps which it was, and a resumed race goes on in the same. What
            cannot be stacked is raced one by one, and the notes of the result say why.
        workers: processes that train, with one torch thread each. Changes no result.
        engine: where they are: ``"processes"`` of this machine, or ``"ray"`` (extra
            ``slalom[ray]``) for actors of a Ray cluster.
        address: of the Ray cluster, ``"auto"`` for the one this machine belongs to; by default one
            is started for the race.
        out: the folder for ``ledger.sqlite``, by default ``races/<task>-<date>-<time>``;
            :meth:`RaceResult.report` puts the page there too.
        resume: go on with the race in ``out``, which must have been of the same task and options.
        within: the time that the race may take, from this call on: ``"90s"``, ``"10m"``,
            ``"1.5h"``, or a number of seconds. When it is over, the race ends at the next
            evaluation, and its result says what is known so far; ``resume`` goes on with it, with
            as much time again as is asked for then. By default there is no limit.
        keep_weights: write the winner's weights, where its metric was best in the finals, into
            ``weights.safetensors`` beside the ledger. That run is made once more for it, however
            long it takes, once the race has finished.
        progress: tell how the race goes: a table on a terminal and in a notebook, a line now and
            then elsewhere.
        log: where the curves are written to as well: ``"tensorboard"`` (a folder beside the
            ledger), ``"mlflow"``, ``"wandb"``, or several.
        watch: called with each event of :mod:`slalom.racing.events`; a
            :class:`slalom.racing.events.Callback`, or any function; or several.
        runner: who trains; for replays.

    Raises :class:`InputError` for what cannot be raced, before anything is trained. A
    KeyboardInterrupt leaves the ledger whole, to be resumed.
    """
    limit = Limit(within)
    spec = task if isinstance(task, str) else None
    found = loaded(task)
    task = found.task
    if isinstance(entrants, str | type):
        entrants = [entrants]
    elif isinstance(entrants, Iterable) and not isinstance(entrants, Mapping):
        entrants = list(entrants)  # it may be read once only
    asked, entrants = entrants, found.named(entrants)
    if isinstance(task, Loop) and entrants is None:  # which makes its batches itself
        entrants = [label for label, family in FIELD.items() if family.batch_size is None]
    options = Options(
        entrants=entrants, points_each=points_each, search=search, batch_sizes=batch_sizes,
        seeds=seeds, seed=seed, baseline=baseline, about=about, full=full, budget=budget,
        space=space, sampler=sampler, lanes=lanes, asked=asked,
    )  # fmt: skip
    if budget is not None:
        task = task.lasting(budget)
    before = options.remembered(task)
    task.check()
    options.refuse_memory(task, before)
    options.check(task)
    logs = list(map(Log, services(log)))
    told: list[Watch] = [*watchers(watch), *logs]
    beside = [f"lanes={lanes} goes with {name}" for name, differs in (
        ("workers=1", workers != 1), ("engine='processes'", engine != "processes"),
        ("no runner", runner is not None),
    ) if (lanes or 1) > 1 and differs]  # fmt: skip
    if beside:
        raise InputError(f"{beside[0]}: one process trains them all")
    families = [*options.field, *([options.usual] if options.usual else [])]
    why = together.refusal(task, families, seed) if (lanes or 1) > 1 else None
    if why is not None:
        options = replace(options, lanes=1)
    told_by = None
    if lanes is None and runner is None:
        task, options, told_by = _decided(task, options, out if resume else None)
    trainer = runner or hired(task, workers, engine, address, options.lanes or 1)
    trainer.limit = limit
    if task.budget is not None and task.budget.unit == "seconds" and not trainer.real:
        raise InputError(
            "a budget in seconds is timed on the machine that trains; give it in epochs, steps or "
            "samples"
        )
    with contextlib.ExitStack() as left:
        left.enter_context(interrupted_once())
        left.enter_context(contextlib.closing(trainer))
        told.append(left.enter_context(_progress(progress)))
        for one in logs:
            left.enter_context(one)
        ledger = opened(task, options, spec, out, resume)
        with contextlib.closing(ledger):
            race = Race(task, options, ledger, trainer, partial(_tell, told))
            if told_by is not None:
                race.tell(told_by)
            if why is not None:
                race.tell(f"runs are trained one by one, and not in lanes: {why}", note=True)
            try:
                race.run()
            except OutOfTimeError:
                _tell(told, events.Told("the time is up"))
        result = RaceResult(ledger.path.parent, race.entrants)
        if keep_weights and result.meta["finished"]:
            weights.keep(result, race.task, race.entrants)
        _tell(told, events.Finished(result))
    return result


COMPILED = (
    "runs go through the model by machine code, and are those of torch to rounding; lanes=1 has "
    "torch's own"
)


def _decided(
    task: Task, options: Options, before: Path | str | None
) -> tuple[Task, Options, str | None]:
    """Whether machine code goes through the models, and what to say of it: as it was ``before``,
    where a race is gone on with, or else by a trial."""
    known, why = None if before is None else how(Path(before)), None
    if known is None:
        why = together.left_to_torch(task, options.seed)
    elif known and (why := refusal(task, options.seed)) is not None:
        raise InputError(
            f"{before} is a race by machine code, which cannot be had here ({why}); resume it "
            "where it was begun"
        )
    if known is False or why is not None:
        return task, options, why and f"torch goes through the model: {why}"
    task = copy.copy(task)
    task.compiled = True
    return task, replace(options, compiled=True), COMPILED


def _progress(wanted: bool) -> contextlib.AbstractContextManager[Watch]:
    """Who shows how the race goes."""
    if wanted and notebook.in_notebook():
        return contextlib.nullcontext(notebook.Progress())
    return Live(quiet=not wanted)


def _tell(watchers: list[Watch], event: events.Event) -> None:
    for watch in watchers:
        watch(event)
