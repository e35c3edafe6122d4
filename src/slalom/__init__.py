"""Slalom: update rules at the speed of memory, and a race that finds the right one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from slalom.errors import InputError
from slalom.version import __version__

if TYPE_CHECKING:
    from slalom import backends as backends
    from slalom import optim as optim
    from slalom import rules as rules
    from slalom import tasks as tasks
    from slalom import testing as testing
    from slalom import train as train
    from slalom.api import race
    from slalom.fitting import ensemble, fit
    from slalom.fitting.tuning import tune
    from slalom.optim.classes import optimizer
    from slalom.optim.explain import explain
    from slalom.optim.release import release
    from slalom.rules.definition import rule
    from slalom.train import Task
    from slalom.train.kept_memory import keep_memory
    from slalom.train.loop import trial

_LAZY = {
    "Task": "slalom.train", "ensemble": "slalom.fitting", "explain": "slalom.optim.explain",
    "fit": "slalom.fitting", "keep_memory": "slalom.train.kept_memory",
    "optimizer": "slalom.optim.classes", "race": "slalom.api", "release": "slalom.optim.release",
    "rule": "slalom.rules.definition", "trial": "slalom.train.loop",
    "tune": "slalom.fitting.tuning",
}  # fmt: skip
"""Public names whose modules cost time to import and are loaded where first used: torch above all,
which a command imports when it is ready to be interrupted."""


_MODULES = ("backends", "optim", "rules", "tasks", "testing", "train")
"""Parts that are called by their own names, as ``slalom.testing.conformance``."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"slalom.{name}")
    raise AttributeError(f"module 'slalom' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is meant to be used, and not what it is made with."""
    return sorted({*__all__, *_MODULES})


__all__ = [
    "InputError", "Task", "__version__", "ensemble", "explain", "fit", "keep_memory", "optim",
    "optimizer", "race", "release", "rule", "rules", "trial", "tune",
]  # fmt: skip
