"""A task trained otherwise: with another warm-up, precision, or bounds of its gradients."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from slalom.train.given import above_zero, dtype_of
from slalom.train.task import Task


def varied(task: Task, **options: Any) -> Task:
    """The task with these of ``warmup``, ``clip_norm``, ``clip_value``, ``precision`` in place of
    its own; a bound of 0 or None is none, and ``"float32"`` is no autocast.

    Raises :class:`InputError` for what they cannot be.
    """
    _ = task.reduction  # found out once, for all that are made of it
    found = copy.copy(task)
    if "warmup" in options:
        found.schedule = replace(task.schedule, warmup=options["warmup"])
    for name in ("clip_norm", "clip_value"):
        if name in options:
            setattr(found, name, above_zero(name, options[name] or None))
    if "precision" in options:
        found.precision = dtype_of(options["precision"])
    return found
