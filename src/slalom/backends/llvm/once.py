"""One lock around all that makes machine code, which a fork waits for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache, wraps
from typing import TypeVar

LOCK = threading.RLock()
"""Held while machine code is made, and while the process forks.

LLVM, llvmlite and what is made once must not be copied into a child half-way: the thread that
was at it is missing there, and what it had locked would stay locked for ever. There is one lock,
not one for each, since a fork would have to take them all in the order in which they nest.
"""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release
    )

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
