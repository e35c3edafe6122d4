"""Ctrl-C, once: who presses it again does not disturb the answer to the first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from sys import exception
from typing import Any


@contextlib.contextmanager
def interrupted_once() -> Iterator[None]:
    """Within this, a Ctrl-C while another one is on its way out changes nothing.

    So workers are ended, the ledger is closed, and what is known is told. Where the first was
    caught and forgotten, as the user's own code may do, the next is a first one again. Leaves
    alone what is no plain Ctrl-C: handlers of others, and threads beside the main one.
    """
    plain = signal.default_int_handler
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not plain
    ):
        yield
        return
    signal.signal(signal.SIGINT, _unless_on_its_way)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, plain)


def _unless_on_its_way(number: int, frame: Any) -> None:
    error = exception()
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return
        error = error.__context__
    signal.default_int_handler(number, frame)
