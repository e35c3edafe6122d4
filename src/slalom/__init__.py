"""Slalom: update rules at the speed of memory, and a race that finds the right one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from slalom import optim, rules
from slalom.errors import InputError
from slalom.optim.classes import optimizer
from slalom.optim.explain import explain
from slalom.optim.release import release
from slalom.rules.definition import rule
from slalom.version import __version__

if TYPE_CHECKING:
    from slalom.api import race
    from slalom.fitting import fit
    from slalom.fitting.tuning import tune
    from slalom.train import Task
    from slalom.train.kept_memory import keep_memory
    from slalom.train.loop import trial

_LAZY = {
    "Task": "slalom.train", "fit": "slalom.fitting", "race": "slalom.api",
    "keep_memory": "slalom.train.kept_memory", "trial": "slalom.train.loop",
    "tune": "slalom.fitting.tuning",
}  # fmt: skip
"""Public names whose modules cost time to import and are loaded where first used."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'slalom' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "InputError", "Task", "__version__", "explain", "fit", "keep_memory", "optim", "optimizer",
    "race", "release", "rule", "rules", "trial", "tune",
]  # fmt: skip
