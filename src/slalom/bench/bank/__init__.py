"""Tasks of many kinds on which the search of a race is judged; users see those of slalom.tasks.

Each function here that is marked by ``banked`` is a task, called like the function, with dashes. To
add one, write it into the module of its kind, or into a new module: they are all read. All of them
are small, so that every setting of every classic rule can be recorded on several seeds. A task's
``max_steps`` is some four times what its best setting needs, and the horizon of the recording.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from slalom.bench.bank._entry import Entry, entries
from slalom.errors import InputError
from slalom.tasks import TASKS
from slalom.train import Task

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

BANK: dict[str, Entry] = {name: entries[name] for name in sorted(entries)}
"""Name of a task -> its kind, and what makes it."""


def load(name: str) -> Task:
    """The task of this name: one of :data:`BANK`, or a built-in one of :mod:`slalom.tasks`.

    Raises :class:`InputError` where there is none.
    """
    if name in BANK:
        return BANK[name].make()
    if name in TASKS:
        return TASKS[name]()
    raise InputError(f"there is no task {name!r}; it is one of {', '.join([*TASKS, *BANK])}")


def kind(name: str) -> str:
    """What a task stands for in the bank."""
    return BANK[name].kind if name in BANK else "built in"
