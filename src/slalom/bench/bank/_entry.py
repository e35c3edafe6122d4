"""How a task enters the bank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from slalom.train import Task


@dataclass(frozen=True)
class Entry:
    """A task of the bank: the kind that it stands for, and what makes it."""

    kind: str
    make: Callable[[], Task]


entries: dict[str, Entry] = {}
"""Name -> task, of the modules that were read so far."""


def banked(kind: str) -> Callable[[Callable[[str], Task]], Callable[[str], Task]]:
    """Enter a function (name) -> task into the bank, under its own name, with dashes."""

    def enter(make: Callable[[str], Task]) -> Callable[[str], Task]:
        given: Any = make
        name = given.__name__.replace("_", "-")
        assert name not in entries, f"two tasks are called {name}"
        entries[name] = Entry(kind, partial(make, name))
        return make

    return enter
