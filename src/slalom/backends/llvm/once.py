"""One lock around all that makes machine code, which a fork waits for."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, wraps
from typing import Any, TypeVar

LOCK = threading.RLock()
"""Held while machine code is made, and while the process forks.

LLVM and what is made once must not be copied into a child half-way: the thread that was at it is
missing there, and what it had locked would stay locked for ever. There is one lock, not one for
each, since a fork would have to take them all in the order in which they nest.
"""

_held: list[AbstractContextManager[Any]] = []


def _hold() -> None:
    LOCK.acquire()
    # llvmlite's own, which whoever lets an object of LLVM's go takes too, in any thread
    ffi = sys.modules.get("llvmlite.binding.ffi")
    theirs = getattr(getattr(ffi, "lib", None), "_lock", None) or nullcontext()
    theirs.__enter__()
    _held.append(theirs)


def _release() -> None:
    _held.pop().__exit__(None, None, None)
    LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_release)

T = TypeVar("T")


def once(make: Callable[[], T]) -> Callable[[], T]:
    """As :func:`functools.cache`, but what several threads ask for at once is made only once."""
    made = cache(make)

    @wraps(make)
    def get() -> T:
        with LOCK:
            return made()

    get.cache_clear = made.cache_clear  # type: ignore[attr-defined]
    return get
