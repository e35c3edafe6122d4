"""The folder of a run: what it is, its checkpoints and its weights, and nobody else's."""

from __future__ import annotations

import contextlib
import json
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slalom.errors import InputError
from slalom.fitting.checkpoints import Checkpoints
from slalom.fitting.chosen import Chosen
from slalom.fitting.length import Length
from slalom.plain import plain
from slalom.racing.fingerprint import fingerprint, fingerprint_of
from slalom.racing.lock import Lock
from slalom.racing.machine import processor
from slalom.train import Evaluation, Task, atomic
from slalom.train.ranks import Ranks
from slalom.version import __version__

FORM = 1
"""Of what ``run.json`` holds."""

NEEDED = {"form": int, "run": dict, "versions": dict, "created": str, "status": str, "step": int}
"""What is in every ``run.json``, and of which kind."""


def record_of(
    task: Task, chosen: Chosen, length: Length, seed: int, more: dict[str, Any]
) -> dict[str, Any]:
    """What a run is: all that another must have in common with it to go on with it."""
    made = type(task.model) if isinstance(task.model, nn.Module) else task.model
    parts = {
        "loss": task.objective, "metric": task.metric, "optimizer": chosen.made_by,
        "parameter groups": task.parameter_groups, "way of training": task.training,
        "model": (made, task.make_model(seed)),
    }  # fmt: skip
    found = {name: fingerprint(part) for name, part in parts.items()}
    found["training data"] = fingerprint_of(task.train)
    found["validation data"] = fingerprint_of(task.valid)
    return {
        "task": task.name, "optimizer": chosen.label, "seed": seed, "length": length.told,
        "batch size": length.batch, "evaluations every": length.every,
        "metric": task.metric.name, "target": task.target, "device": task.device.type,
        "replacement": task.replacement, **more, "fingerprints": found,
    }  # fmt: skip


COMMON = ("training data", "validation data", "initial weights")
"""What processes that train together must have in common, beside words: their code may differ, as
where it asks for the rank."""


def agree(record: dict[str, Any], weights: Any, ranks: Ranks) -> None:
    """Raise :class:`InputError` where processes that train together are given different runs."""
    found = {**record["fingerprints"], "initial weights": fingerprint(weights)}
    record = {**record, "fingerprints": {name: found[name] for name in COMMON}}
    for rank, other in enumerate(ranks.all(record)):
        for name, values in _differences(other, record):
            told = f"{values[0]} and not {values[1]}" if values else "another one"
            raise InputError(
                f"of the processes that train together number {rank} has {told} as its {name}; "
                "give all of them the same"
            )


def _differences(
    theirs: dict[str, Any], ours: dict[str, Any]
) -> Iterator[tuple[str, tuple[Any, Any] | None]]:
    """What of two runs is not equal: its name, and both values where they have words."""
    for name in {**ours, **theirs}:
        if name != "fingerprints" and theirs.get(name) != ours.get(name):
            yield name, (theirs.get(name), ours.get(name))
    prints = theirs.get("fingerprints")
    for name, value in ours["fingerprints"].items():
        if not isinstance(prints, dict) or prints.get(name) != value:
            yield name, None


class Folder:
    """The folder of a run, from the first look at it to the end.

    Args:
        path: which is made, its parents too, if it is not there.
        record: of the run that is to be in it.
        keep: checkpoints that are kept.

    Attributes:
        checkpoints: of the run.
        known: what ``run.json`` says.
        changed: what it was begun with and is otherwise now, as sentences.

    Raises :class:`InputError`, before anything is written, if the folder holds another run or
    something else, if somebody is writing to it, or if nothing can be written there.
    """

    def __init__(self, path: Path, record: dict[str, Any], keep: int):
        self.path, self._record = path, record
        self._file = path / "run.json"
        self.changed: list[str] = []
        try:
            if path.is_dir() and any(path.iterdir()) and not self._file.is_file():
                raise InputError(f"{path} holds something else than a run; give another folder")
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{path} cannot be made: {error.strerror}") from error
        self._lock = Lock(self._file, "written")
        try:
            self.known = told(path) if self._file.is_file() else self._fresh()
            self._compare()
        except BaseException:
            self.close()
            raise
        self.checkpoints = Checkpoints(path / "checkpoints", keep)

    def close(self) -> None:
        """Let others write to it."""
        self._lock.release()

    def stand(self) -> bool:
        """Whether it is still there; if it was removed, it is made anew, with nothing in it.

        Raises :class:`InputError` if that cannot be, or if another run has come to be there.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path} cannot be made: {error.strerror}") from error
        stood = self._lock.hold()
        if not stood and self._file.is_file():
            found = told(self.path)
            if any(found[name] != self.known[name] for name in ("created", "run")):
                self._lock.release()  # so that it is looked at again
                raise InputError(f"another run was begun in {self.path} meanwhile")
        return stood

    def _fresh(self) -> dict[str, Any]:
        return {
            "form": FORM, "run": self._record, "versions": versions(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": shlex.join(["slalom", *sys.argv[1:]]) if _is_command() else None,
            "status": "begun", "step": 0,
        }  # fmt: skip

    def _compare(self) -> None:
        """Refuse to go on with another run."""
        theirs, ours = self.known["run"], json.loads(json.dumps(self._record))
        for name, values in _differences(theirs, ours):
            if values is None:
                raise InputError(
                    f"the {name} has changed since the run in {self.path} was begun; give another "
                    "folder, or go on with what it was"
                )
            raise InputError(
                f"the run in {self.path} has {values[0]} as its {name}, and here it is "
                f"{values[1]}; give another folder, or go on with the same"
            )
        then = self.known["versions"]
        for name, value in versions().items():
            if then.get(name) != value:
                self.changed.append(
                    f"{name} was {then.get(name)}, and is {value} since this run was begun; its "
                    "numbers may differ"
                )

    @property
    def status(self) -> str:
        """What is written of the run: begun, finished, reached, diverged."""
        return self.known["status"]

    def note(self, status: str, step: int, last: Evaluation | None = None, **facts: Any) -> None:
        """Write down where the run is. Raises :class:`InputError` if that cannot be written."""
        values = None if last is None else {"loss": last.valid_loss, "metric": last.metric}
        self.known |= {"status": status, "step": step, "last": values, **facts}
        text = json.dumps(self.known, indent=1)
        atomic.write(f"{text}\n".encode(), self._file)

    def refuse_no_room(self, checkpoint: Path) -> None:
        """Raise :class:`InputError` if the disk has no room for all checkpoints that are kept."""
        size = checkpoint.stat().st_size
        needed, free = self.checkpoints.keep * size, shutil.disk_usage(self.path).free
        if free < needed:
            raise InputError(
                f"{self.path} has {free / 1e6:,.0f} MB left, and the checkpoints of this run need "
                f"{needed / 1e6:,.0f}; make room, keep fewer, or give another folder"
            )

    def write_weights(
        self, name: str, weights: dict[str, torch.Tensor], facts: dict[str, Any]
    ) -> Path:
        """Write weights as safetensors, with what is known of them; the path."""
        from safetensors.torch import save

        plain = torch.contiguous_format
        apart = {n: t.clone(memory_format=plain) for n, t in weights.items()}  # tied ones too
        content = save(apart, {n: str(v) for n, v in facts.items()})
        return atomic.write(content, self.path / f"{name}.safetensors")


@contextlib.contextmanager
def opened(path: Path | None, record: dict[str, Any], keep: int) -> Iterator[Folder | None]:
    """The folder of a run; None for a run that is not to be written."""
    if path is None:
        yield None
        return
    folder = Folder(path, record, keep)
    try:
        yield folder
    finally:
        folder.close()


def told(path: Path) -> dict[str, Any]:
    """What ``run.json`` of a folder says. Raises :class:`InputError` if it is none."""
    file = path / "run.json"
    if not file.is_file():
        raise InputError(f"there is no file {file}")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    if not isinstance(found, dict) or found.get("form") != FORM:
        raise InputError(f"{file} is not of a run that this version of Slalom knows")
    for name, kind in NEEDED.items():
        if not isinstance(found.get(name), kind):
            raise InputError(f"{file} says nothing of {name}; it is not as it was written")
    return found


def versions() -> dict[str, str]:
    """What a run is made with, and may differ to the bit without."""
    return {
        "slalom": __version__, "torch": torch.__version__, "python": platform.python_version(),
        "processor": plain(processor()), "threads": str(torch.get_num_threads()),
        "processes": str(Ranks.here().size),
    }  # fmt: skip


def _is_command() -> bool:
    return Path(sys.argv[0]).name in ("slalom", "slalom.exe", "__main__.py") if sys.argv else False
