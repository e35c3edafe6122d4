"""Races that remember: what the ledger knows is not trained again."""

from __future__ import annotations

import contextlib
import itertools
import platform
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from slalom.errors import InputError
from slalom.plain import plain
from slalom.racing.ledger import Ledger
from slalom.racing.machine import processor
from slalom.racing.options import Options
from slalom.racing.runner import History, Request, Runner
from slalom.racing.trainer import one_thread
from slalom.train import Evaluation, Task
from slalom.train.loop import begun
from slalom.version import __version__

CHECKPOINT = re.compile(r"\.?\d+-\d+\.pt(-[0-9a-f]{8})?")
"""The names of checkpoints, and of those that were being written."""


class Recorded(Runner):
    """A runner that remembers: what the ledger knows is not trained again.

    So a race that is resumed makes the decisions it made before, from the evaluations it made
    them from, and trains only from where it was.
    """

    def __init__(self, runner: Runner, ledger: Ledger):
        super().__init__(runner.task)
        self._runner, self._ledger = runner, ledger

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, History]]:
        missing = []
        for request in requests:
            known = self._ledger.history(request.entrant.number, request.seed)
            if known.step < request.known.step:  # it was not recorded yet
                known = request.known
            if known.ended or known.step >= request.until or self._through(known):
                yield request, _until(known, request.until)
            else:
                missing.append(replace(request, known=known))
        yield from self._runner.advance(missing)

    def _through(self, history: History) -> bool:
        return history.crossing(self._runner.task) is not None


def _until(history: History, step: int) -> History:
    """What was known of a run when it stood at this step."""
    known = tuple(e for e in history.evaluations if e.step <= step)
    if history.step < step:
        return history
    return History(known)


def opened(
    task: Task, options: Options, spec: str | None, out: Path | str | None, resume: bool
) -> Ledger:
    """The ledger of a race, made, or gone on with if it is of the same task and options.

    Where it cannot be made, nothing is left behind; where it differs, nothing is written.
    """
    if out is not None and not isinstance(out, str | Path):
        raise InputError(f"out is {out!r}; it must be the path of a folder")
    if resume:
        if out is None:
            raise InputError("resume needs out (--out), the folder of the race to go on with")
        return _gone_on_with(Path(out), task, options)
    untrained = _untrained(task, options.seed)
    if task.reached(untrained.metric):
        raise InputError(
            f"the untrained model has {task.metric.name} {untrained.metric:.4g} on the validation "
            f"data, and the target is {task.target:.4g}; choose one that takes training"
        )
    ours = _identity(task, options, untrained)
    now = datetime.now().astimezone()
    versions = {
        "slalom": __version__, "torch": torch.__version__, "python": platform.python_version(),
        "machine": f"{processor()} ({platform.machine()}), {torch.get_num_threads()} threads",
    }  # fmt: skip
    theirs = {
        "id": secrets.token_hex(8), "target": task.target, "finished": False, "elapsed": None,
        "versions": versions, "created": now.isoformat(timespec="seconds"),
        "spec": spec and plain(spec), "again": plain(options.again(spec)),
    }  # fmt: skip
    name = re.sub(r"[^\w.-]+", "-", task.name)[:NAME].strip(".-") or "task"
    with _folder(Path(out) if out else None, f"{name}-{now:%Y%m%d-%H%M%S}") as folder:
        return Ledger(folder / "ledger.sqlite", create=ours | theirs)


NAME = 60
"""Characters of a task's name that its folder is called by, at most."""


@contextlib.contextmanager
def _folder(out: Path | None, name: str) -> Iterator[Path]:
    """A folder for a race: ``out``, or one in ``races`` by this name that nobody else has.

    What was made of it is removed again where the block raises.
    """
    chosen = [out] if out else (Path("races", name + more) for more in _more())
    made: list[Path] = []
    try:
        for folder in chosen:
            made = [f for f in (folder, *folder.parents) if not f.exists()]
            try:
                folder.mkdir(parents=True, exist_ok=out is not None)
            except FileExistsError:
                if out is not None:
                    raise
            else:
                yield folder
                return
    except BaseException as error:
        with contextlib.suppress(OSError):  # one is not there, or others put something into it
            for made_here in made:
                made_here.rmdir()
        if isinstance(error, OSError):
            raise InputError(
                f"the folder {out or Path('races', name)} cannot be made: {error.strerror}"
            ) from error
        raise


def _more() -> Iterator[str]:
    """What is put behind a name that is taken: two races may begin in one second."""
    yield ""
    yield from (f"-{i}" for i in itertools.count(2))


def _identity(task: Task, options: Options, untrained: Evaluation) -> dict[str, Any]:
    """What a race is; the first losses tell a task from another of the same name and sizes."""
    losses = [f"{loss:.3g}" for loss in (untrained.train_loss, untrained.valid_loss)]
    return options.record(task) | {"first_losses": losses}


def how(folder: Path) -> bool:
    """Whether machine code goes through the models of the race in a folder."""
    with contextlib.closing(Ledger(folder / "ledger.sqlite", read_only=True)) as ledger:
        return bool(ledger.meta.get("compiled"))


def _gone_on_with(folder: Path, task: Task, options: Options) -> Ledger:
    with contextlib.closing(Ledger(folder / "ledger.sqlite", read_only=True)) as ledger:
        before: dict[str, Any] = {"lanes": 1, "compiled": False} | ledger.meta
    ours = _identity(task, options, _untrained(task, options.seed))
    theirs_of, ours_of = before["fingerprints"], ours.pop("fingerprints")
    for name, value in ours.items():
        if before[name] != value:
            raise InputError(
                f"{folder} is a race with {name} {before[name]!r}, and this one has {value!r}; "
                "resume it as it was begun"
            )
    for part in sorted(theirs_of.keys() | ours_of.keys()):
        if theirs_of.get(part) != ours_of.get(part):
            raise InputError(
                f"{folder} differs from this race in its {part}, whatever that is called; "
                "resume it as it was begun"
            )
    return Ledger(folder / "ledger.sqlite")


@contextlib.contextmanager
def checkpoints(ledger: Ledger) -> Iterator[Path]:
    """A folder beside the ledger until the race is over, which no other takes for its own.

    Nothing but checkpoints is removed from it, and through no link.
    """
    folder = ledger.path.parent.absolute() / f"checkpoints-{ledger.meta['id']}"
    if folder.is_symlink():
        raise InputError(f"{folder} is a link, and checkpoints belong into a folder; remove it")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be made: {error.strerror}") from error
    try:
        yield folder
        with contextlib.suppress(OSError):  # somebody was there before
            for file in folder.iterdir():
                if CHECKPOINT.fullmatch(file.name):
                    file.unlink(missing_ok=True)
    finally:
        with contextlib.suppress(OSError):  # there are some, or it is gone
            folder.rmdir()


def _untrained(task: Task, seed: int) -> Evaluation:
    """The untrained model, after a first batch at a learning rate of zero."""
    with one_thread():
        run = begun(task, lambda parameters: torch.optim.SGD(parameters, lr=0.0), seed)
        run.advance(run.least)
        return run.evaluate()
