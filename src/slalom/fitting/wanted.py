"""What is asked for by a call of ``slalom.fit`` or ``slalom.ensemble``, looked through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slalom.errors import InputError
from slalom.fitting.chosen import Chosen, chosen
from slalom.fitting.length import Length, length_of
from slalom.tasks import load
from slalom.train import Task
from slalom.train.given import integer, whole_number
from slalom.train.loop import Loop

ON_NONFINITE = ("stop", "skip", "back")


@dataclass(frozen=True)
class Wanted:
    """What is trained, with what, and how long."""

    task: Task
    using: Chosen
    length: Length
    seed: int


def wanted(
    task: Task | str, optimizer: Any, settings: Mapping[str, Any], *, epochs: float | None,
    steps: int | None, seconds: float | None, until_target: bool, batch_size: Any, seed: int,
    eval_every: int | None, on_nonfinite: str, out: Any, save_every: int | None, keep: int,
) -> Wanted:  # fmt: skip
    """The arguments of :func:`slalom.fit` by its names. :class:`InputError` for what they cannot
    be."""
    task = load(task)
    if isinstance(task, Loop):
        raise InputError("a loop of your own is its own training; run it, or give fit a Task")
    if not isinstance(task, Task):
        raise InputError(f"task is a {type(task).__name__}; it must be a slalom.Task, or a name")
    if on_nonfinite not in ON_NONFINITE:
        raise InputError(
            f"on_nonfinite is {on_nonfinite!r}; it must be one of {', '.join(ON_NONFINITE)}"
        )
    if until_target and task.target is None:
        raise InputError("the task has no target to train until; give it one, or epochs or steps")
    number = integer(seed)
    if number is None or not 0 <= number < 2**63:
        raise InputError(f"seed is {seed!r}; it must be a whole number from 0 on, below 2**63")
    if not isinstance(out, Path | str | None) or "\0" in str(out):
        raise InputError(f"out is {out!r}; it must be the path of a folder")
    whole_number("keep", keep)
    if save_every is not None:
        whole_number("save_every", save_every)
    if not (batch_size is None or batch_size == "all"):
        batch_size = whole_number("batch_size", batch_size)
    using = chosen(optimizer, settings, batch_size, task)
    task = using.of(task)
    length = length_of(task, using, epochs, steps, seconds, eval_every)
    using.check(task)
    return Wanted(task, using, length, number)
