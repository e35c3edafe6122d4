"""Races that remember: what the ledger knows is not trained again."""

from __future__ import annotations

import platform
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from slalom.errors import InputError
from slalom.racing.ledger import Ledger
from slalom.racing.runner import Request, Runner, Trace
from slalom.racing.trainer import one_thread
from slalom.train import Run, Task


class Recorded(Runner):
    """A runner that remembers: what the ledger knows is not trained again.

    So a race that is resumed makes the decisions it made before, from the evaluations it made
    them from, and trains only from where it was.
    """

    def __init__(self, runner: Runner, ledger: Ledger):
        super().__init__(runner.task)
        self._runner, self._ledger = runner, ledger

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Trace]]:
        """See :class:`slalom.racing.runner.Runner`."""
        missing = []
        for request in requests:
            known = self._ledger.trace(request.entrant.number, request.seed)
            if known.ended or known.step >= request.until or self._through(known):
                yield request, _until(known, request.until)
            else:
                missing.append(replace(request, known=known))
        yield from self._runner.advance(missing)

    def _through(self, trace: Trace) -> bool:
        return trace.crossing(self._runner.task) is not None


def _until(trace: Trace, step: int) -> Trace:
    """What was known of a run when it stood at this step."""
    known = tuple(e for e in trace.evaluations if e.step <= step)
    if trace.step < step:
        return trace
    return Trace(known)


def opened(task: Task, options: dict[str, Any], out: Path | str | None, resume: bool) -> Ledger:
    """The ledger of a race, made, or gone on with if it is of the same task and options."""
    options = options | {"first_losses": _first_losses(task, options["seed"])}
    if resume:
        if out is None:
            raise InputError("resume needs out (--out), the folder of the race to go on with")
        ledger = Ledger(Path(out) / "ledger.sqlite")
        before = ledger.meta
        for name, value in options.items():
            if before.get(name) != value:
                ledger.close()
                raise InputError(
                    f"{out} is a race with {name} {before.get(name)!r}, and this one has "
                    f"{value!r}; resume it as it was begun"
                )
        return ledger
    now = datetime.now().astimezone()
    folder = Path(out) if out else Path("races") / f"{task.name}-{now:%Y%m%d-%H%M%S}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be made: {error.strerror}") from error
    from slalom import __version__

    machine = f"{platform.machine()}, {torch.get_num_threads()} threads"
    versions = {
        "slalom": __version__, "torch": torch.__version__, "python": platform.python_version(),
        "machine": machine,
    }  # fmt: skip
    told = {
        "id": secrets.token_hex(8), "target": task.target, "finished": False, "elapsed": None,
        "versions": versions,
    }  # fmt: skip
    created = now.isoformat(timespec="seconds")
    return Ledger(folder / "ledger.sqlite", create=options | told | {"created": created})


def _first_losses(task: Task, seed: int) -> list[str]:
    """The untrained model's on the first batch and the validation set, to three digits.

    They tell a task from another of the same name and sizes.
    """
    with one_thread():
        run = Run(task, lambda parameters: torch.optim.SGD(parameters, lr=0.0), seed)
        run.advance(1)
        evaluation = run.evaluate()
    return [f"{loss:.3g}" for loss in (evaluation.train_loss, evaluation.valid_loss)]
