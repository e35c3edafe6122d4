"""Races that remember: what the ledger knows is not trained again."""

from __future__ import annotations

import contextlib
import platform
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from slalom.errors import InputError
from slalom.racing.ledger import Ledger
from slalom.racing.options import Options
from slalom.racing.runner import History, Request, Runner
from slalom.racing.trainer import one_thread
from slalom.train import Run, Task
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

    Where it cannot be made, nothing is left behind.
    """
    ours = options.record(task, spec)
    ours["first_losses"] = _first_losses(task, options.seed)
    if resume:
        if out is None:
            raise InputError("resume needs out (--out), the folder of the race to go on with")
        return _gone_on_with(Path(out), ours)
    now = datetime.now().astimezone()
    name = re.sub(r"[^\w.-]+", "-", task.name).strip(".-") or "task"
    folder = Path(out) if out else Path("races") / f"{name}-{now:%Y%m%d-%H%M%S}"
    made = [f for f in (folder, *folder.parents) if not f.exists()]
    versions = {
        "slalom": __version__, "torch": torch.__version__, "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }  # fmt: skip
    theirs = {
        "id": secrets.token_hex(8), "target": task.target, "finished": False, "elapsed": None,
        "versions": versions, "created": now.isoformat(timespec="seconds"),
        "again": options.again(spec), "validates_on_train": task.judged_on == "the training data",
    }  # fmt: skip
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the folder {folder} cannot be made: {error.strerror}") from error
        return Ledger(folder / "ledger.sqlite", create=ours | theirs)
    except BaseException:
        with contextlib.suppress(OSError):  # one is not there, or others put something into it
            for made_here in made:
                made_here.rmdir()
        raise


def _gone_on_with(folder: Path, ours: Mapping[str, Any]) -> Ledger:
    with contextlib.closing(Ledger(folder / "ledger.sqlite", read_only=True)) as ledger:
        before = ledger.meta
    for name, value in ours.items():
        if before[name] != value:
            raise InputError(
                f"{folder} is a race with {name} {before[name]!r}, and this one has {value!r}; "
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


def _first_losses(task: Task, seed: int) -> list[str]:
    """The untrained model's on the first batch and the validation set, to three digits.

    They tell a task from another of the same name and sizes.
    """
    with one_thread():
        run = Run(task, lambda parameters: torch.optim.SGD(parameters, lr=0.0), seed)
        run.advance(1)
        evaluation = run.evaluate()
    return [f"{loss:.3g}" for loss in (evaluation.train_loss, evaluation.valid_loss)]
