"""By whom runs go through the model: torch or machine code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slalom.errors import InputError
from slalom.fitting.folder import told
from slalom.racing.together import left_to_torch
from slalom.train import Task
from slalom.train.compiled import refusal

COMPILED = "by machine code"
"""How records of runs say it; those by torch say nothing."""


def begun(path: Path | None) -> dict[str, Any] | None:
    """What the run in a folder is; None where there is none."""
    return told(path)["run"] if path is not None and (path / "run.json").is_file() else None


def torchs(task: Task, seed: int, batch_size: Any, path: Path | None) -> str | None:
    """Why torch goes through the model of a run, or None where machine code does: as it was begun
    in its folder; else by a trial, whose answer does not hang on the clock."""
    known = begun(path)
    if known is None:
        task.check()  # before its runs are taken for what they seem to be
        return left_to_torch(task, seed, batch_size)
    if known.get("training") != COMPILED:
        return f"so was the run in {path} begun"
    if (why := refusal(task, seed)) is not None:
        raise InputError(
            f"{path} was trained by machine code, which cannot be had here ({why}); go on where it "
            "was begun"
        )
    return None
