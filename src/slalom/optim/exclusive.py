"""One thread at a time: who steps an optimizer has it for itself."""

from __future__ import annotations

import os
from threading import RLock
from typing import Any
from weakref import WeakSet


class Exclusive:
    """Something that a thread takes for itself by ``with self.alone:``, also while it has it.

    A forked child finds it free: the thread that had it in the parent is not there to give it back.
    """

    alone: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        made.alone = RLock()
        _made.add(made)
        return made


_made: WeakSet[Exclusive] = WeakSet()


def _free() -> None:
    for one in list(_made):
        one.alone = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free)
