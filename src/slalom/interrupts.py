"""Ctrl-C, once: it is neither lost, nor does who presses it again disturb the answer to it."""

from __future__ import annotations

import _thread
import contextlib
import signal
import sys
import threading
from sys import exception
from typing import Any

AGAIN = 0.02
"""Seconds after which a Ctrl-C that Python lost is tried once more."""


class Once:
    """A handler of Ctrl-C that lets one through at a time, and none get lost."""

    def __init__(self) -> None:
        self._told = sys.unraisablehook
        self._waiting: threading.Timer | None = None

    def __call__(self, number: int, frame: Any) -> None:
        if self._waiting is not None:  # it comes in a moment, as this one
            return
        error = exception()
        while error is not None:
            if isinstance(error, KeyboardInterrupt):
                return
            error = error.__context__
        signal.default_int_handler(number, frame)

    def dropped(self, what: sys.UnraisableHookArgs) -> None:
        """Python has dropped an exception: if it is one of ours, it is tried again."""
        if not issubclass(what.exc_type, KeyboardInterrupt):
            self._told(what)
        elif self._waiting is None:
            self._waiting = threading.Timer(AGAIN, self._again)
            self._waiting.start()

    def _again(self) -> None:
        self._waiting = None
        _thread.interrupt_main()

    def __enter__(self) -> None:
        signal.signal(signal.SIGINT, self)
        sys.unraisablehook = self.dropped

    def __exit__(self, *_: object) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        sys.unraisablehook = self._told
        if signal.getsignal(signal.SIGINT) is self:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def interrupted_once() -> contextlib.AbstractContextManager[None]:
    """Within this, a Ctrl-C while another one is on its way out changes nothing.

    So workers are ended, the ledger is closed, and what is known is told. Where the first was
    caught and forgotten, as the user's own code may do, the next is a first one again. One that
    comes while an object is being finalised, whose exceptions Python prints and drops, comes again
    a moment later. Leaves alone what is no plain Ctrl-C: handlers of others, and threads beside the
    main one.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        return contextlib.nullcontext()
    return Once()


def is_plain(handler: object) -> bool:
    """Whether a handler of Ctrl-C only interrupts, so that who can do better may take its place."""
    return handler is signal.default_int_handler or isinstance(handler, Once)
