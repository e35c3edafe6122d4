"""Ctrl-C and SIGTERM: a run ends after the update that is under way, and is written down."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from slalom.interrupts import is_plain

TERMINATED = 143
"""The exit code of a run that SIGTERM has ended: 128 and the signal's number, as shells have it."""


class Stop:
    """Whether a run was asked to end; ``signal`` is the number by which, None before; and whether
    it has ``ended``, between two updates."""

    signal: int | None = None
    ended = False

    def __init__(self) -> None:
        self._process = os.getpid()

    def __call__(self, number: int, frame: Any) -> None:
        if os.getpid() != self._process:  # a loader's worker, forked with the handler: it just ends
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt  # twice: at once
        self.signal = number

    def end(self) -> None:
        """Raise what ends the process as it was asked to."""
        self.ended = True
        if self.signal == signal.SIGTERM:
            raise SystemExit(TERMINATED)
        raise KeyboardInterrupt


@contextlib.contextmanager
def asked() -> Iterator[Stop]:
    """Within this, Ctrl-C and SIGTERM are asked for by the :class:`Stop`.

    Handlers of others stay, and so it is in threads beside the main one.
    """
    stop = Stop()
    ours = {}
    if threading.current_thread() is threading.main_thread():
        if is_plain(handler := signal.getsignal(signal.SIGINT)):
            ours[signal.SIGINT] = handler
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            ours[signal.SIGTERM] = signal.SIG_DFL
    for number in ours:
        signal.signal(number, stop)
    try:
        yield stop
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
