"""``slalom.ensemble``: one task trained from many seeds, side by side where that can be."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from slalom.errors import InputError
from slalom.fitting import events
from slalom.fitting.course import TURN, Course, TrainingError
from slalom.fitting.folder import opened, record_of
from slalom.fitting.members import Ensemble
from slalom.fitting.progress import Seeds
from slalom.fitting.result import Fit
from slalom.fitting.stopping import Stop, asked
from slalom.fitting.through import COMPILED, begun, torchs
from slalom.fitting.wanted import Wanted, wanted
from slalom.racing.abreast import side_by_side
from slalom.racing.together import refused
from slalom.train import Run, Task
from slalom.train.compiled import CompiledGuardedRun
from slalom.train.given import whole_number
from slalom.train.guarded import GuardedRun
from slalom.train.lanes import Way, alone
from slalom.train.ranks import Ranks

SIDE_BY_SIDE = "side by side"

LANES = 16
"""Runs that train side by side, at most: with more, weights and states leave the caches."""

OF_ONE = {"seconds", "compile", "machine_code", "graph", "tune", "shard", "log", "watch"}
"""What :func:`slalom.fit` takes, and an ensemble does not."""

TRIED = 3
"""Runs by which it is tried whether they can."""


def ensemble(
    task: Task | str,
    optimizer: Any,
    *,
    seeds: int = 32,
    seed: int = 0,
    epochs: float | None = None,
    steps: int | None = None,
    until_target: bool = False,
    batch_size: int | Literal["all"] | None = None,
    eval_every: int | None = None,
    on_nonfinite: Literal["stop", "skip", "back"] = "stop",
    out: Path | str | None = None,
    save_every: int | None = None,
    keep: int = 2,
    progress: bool = True,
    **settings: Any,
) -> Ensemble:
    """Train a task from many seeds: a deep ensemble (Lakshminarayanan et al. 2017), or a study of
    how much hangs on the seed.

    Rows of linear layers and the like are gone through by machine code
    (:mod:`slalom.train.compiled`), run after run; where another model can be stacked, the runs go
    through it side by side, on one thread. Each then equals that of :func:`slalom.fit` with its
    seed to rounding. Of what can do neither a line says why, and they are trained one after the
    other, to the bit as by :func:`slalom.fit`.

    Args:
        task, optimizer, settings: as for :func:`slalom.fit`; and so are ``epochs``, ``steps``,
            ``until_target``, ``batch_size``, ``eval_every``, ``on_nonfinite``, ``save_every``,
            ``keep``.
        seeds: runs, at least 2.
        seed: of the first one; the others have those that follow.
        out: a folder to write all to, with a folder for each seed, ``seed-0``, as
            :func:`slalom.fit` writes it. Where they are there already, they go on where they were;
            with more ``seeds``, others are added. None writes nothing.
        progress: tell how it goes: a bar on a terminal, a line now and then elsewhere.

    Raises :class:`InputError` for what cannot be trained, before anything is. A run that goes wrong
    is left out, and named; :class:`TrainingError` where all do. Ctrl-C and SIGTERM end it as they
    end :func:`slalom.fit`.
    """
    if theirs := sorted(OF_ONE & settings.keys()):
        raise InputError(
            f"{theirs[0]} is of one run, and an ensemble has several; leave it out, or train from "
            "each seed by slalom.fit"
        )
    seeds = whole_number("seeds", seeds)
    if seeds < 2:
        raise InputError("seeds is 1, and an ensemble has two runs at least; slalom.fit trains one")
    asked_for = wanted(
        task, optimizer, settings, epochs=epochs, steps=steps, seconds=None,
        until_target=until_target, batch_size=batch_size, seed=seed, eval_every=eval_every,
        on_nonfinite=on_nonfinite, out=out, save_every=save_every, keep=keep,
    )  # fmt: skip
    seed = asked_for.seed
    if seed + seeds > 2**63:
        raise InputError(f"seed is {seed}, and the last of {seeds} would not be below 2**63")
    if asked_for.length.updates is None:
        raise InputError(
            "the task's budget is in seconds, and runs side by side share those; give epochs or "
            "steps"
        )
    if Ranks.here().size > 1:
        raise InputError("an ensemble trains in one process; leave torchrun out")
    path = None if out is None else Path(out)
    return _Study(asked_for, path, keep, save_every, until_target, on_nonfinite).train(
        seed, seeds, progress
    )


@dataclass
class _Study:
    """The runs of one ensemble, and where they are."""

    wanted: Wanted
    path: Path | None
    keep: int
    save_every: int | None
    until_target: bool
    on_nonfinite: str

    def __post_init__(self) -> None:
        self._begun: list[Course] = []
        self._how = SIDE_BY_SIDE

    def train(self, seed: int, seeds: int, progress: bool) -> Ensemble:
        """Train from so many seeds, of which this is the first."""
        task, using, length = self.wanted.task, self.wanted.using, self.wanted.length
        self._how = self._way_of_training(seed)
        lanes = min(seeds, LANES) if self._how == SIDE_BY_SIDE else 1
        numbers = range(seed, seed + seeds)
        with contextlib.ExitStack() as left:
            record = {**self._record(seed), "training": self._how}
            folder = left.enter_context(opened(self.path, record, self.keep))
            shown = left.enter_context(Seeds(task, seeds, length.updates, quiet=not progress))
            stop = left.enter_context(asked())
            for text in folder.changed if folder is not None else ():
                shown.say(text)
            if folder is not None and seeds < folder.known.get("seeds", 0):
                folder = None  # there are more, of which it tells
            if folder is not None:
                folder.note("begun", folder.known["step"], seeds=seeds)
            shown.say(
                f"{task.name} with {using.label}, {seeds} seeds from {seed}, {length.told}, "
                f"{self._how}"
            )
            ways = [self._way(n, partial(shown.tell, n), stop, TURN / lanes) for n in numbers]
            found = self._gone(ways, lanes, stop)
            fits = [one for one in found if isinstance(one, Fit)]
            lost = {n: e for n, e in zip(numbers, found, strict=True) if isinstance(e, Exception)}
            if not fits:
                raise lost[seed]
            texts = {n: str(error) for n, error in lost.items()}
            result = Ensemble(task, using.label, fits, texts, self._how, self.path)
            if folder is not None:
                folder.note("finished", sum(f.last.step for f in fits), result.mean)
        return result

    def _gone(self, ways: list[Way[Any]], lanes: int, stop: Stop) -> list[Any]:
        """What all ways come to. Where they are asked to end, all write where they are."""
        try:
            if lanes == 1:
                return [alone(way) for way in ways]
            instead = "train from each seed by slalom.fit"
            return list(side_by_side(ways, lanes, self.wanted.task.device, instead))
        except BaseException:
            if stop.ended:  # between two updates
                for course in self._begun:
                    if course.unsaved:
                        course.put_down()
            raise
        finally:
            for way in ways:
                way.close()

    def _way(
        self, seed: int, tell: Callable[[events.Event], None], stop: Stop, turn: float
    ) -> Way[Fit | TrainingError]:
        """The way of the run of one seed, from the beginning or where it was."""
        task, using, length = self.wanted.task, self.wanted.using, self.wanted.length
        path = None if self.path is None else self.path / f"seed-{seed}"
        with opened(path, self._record(seed) if path else {}, self.keep) as folder:
            kind = CompiledGuardedRun if self._how == COMPILED else GuardedRun
            run = kind(task, using.make, seed, batch_size=using.batch_size, updates=length.updates)
            course = Course(
                task, run, length, folder, self.save_every, self.until_target, self.on_nonfinite,
                tell, stop, Ranks(), turn,
            )  # fmt: skip
            course.restore()
            course.begin()
            self._begun.append(course)
            try:
                yield from course.way()
                result = course.end(using.label)
            except TrainingError as error:
                return error
            finally:
                run.clear()
                self._begun.remove(course)
        tell(events.Finished(result))
        return result

    def _record(self, seed: int) -> dict[str, Any]:
        """What the run of one seed is: where it is trained by itself, that of :func:`fit`."""
        more = {
            "until the target": self.until_target, "on_nonfinite": self.on_nonfinite,
            "compile": False,
        }  # fmt: skip
        if self._how in (SIDE_BY_SIDE, COMPILED):
            more["training"] = self._how
        return record_of(self.wanted.task, self.wanted.using, self.wanted.length, seed, more)

    def _way_of_training(self, seed: int) -> str:
        """As it was begun; else by a trial, whose answer does not hang on the clock."""
        task, using = self.wanted.task, self.wanted.using
        how = (begun(self.path) or {}).get("training")
        if isinstance(how, str) and how != COMPILED:
            return how
        if torchs(task, seed, using.batch_size, self.path) is None:
            return COMPILED

        def at_its_start(seed: int) -> Run:
            return Run(
                task, using.make, seed, batch_size=using.batch_size,
                updates=self.wanted.length.updates,
            )  # fmt: skip

        why = refused(task, [(using.label, at_its_start)] * TRIED, seed)
        return SIDE_BY_SIDE if why is None else f"one after the other: {why}"
