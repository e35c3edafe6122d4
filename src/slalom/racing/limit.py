"""A limit on the time that a race takes: an interrupt by the clock."""

from __future__ import annotations

import math
import re
import threading
import time
from typing import Any

from slalom.errors import InputError

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
"""What a time may be given in, and the seconds of it."""

TIME = re.compile(r"\s*(?P<number>\d+(\.\d*)?|\.\d+)\s*(?P<unit>[smh]?)\s*")


class OutOfTimeError(KeyboardInterrupt):
    """The time of a race is up. It ends as at Ctrl-C: no handler of errors takes it for one."""


class Limit:
    """So much time from now on, by the clock on the wall.

    Args:
        within: as in ``"90s"``, ``"10m"`` and ``"1.5h"``, or a number of seconds; None for no
            limit.

    Raises :class:`InputError` for what is no time above zero.
    """

    def __init__(self, within: str | float | None = None):
        self._end = math.inf if within is None else time.monotonic() + seconds(within)

    @property
    def left(self) -> float:
        """Seconds until it is over, as many as one may wait for at most; 0 from then on."""
        if self._end == math.inf:
            return threading.TIMEOUT_MAX
        return min(max(0.0, self._end - time.monotonic()), threading.TIMEOUT_MAX)

    def check(self) -> None:
        """Raise :class:`OutOfTimeError` if it is over."""
        if not self.left:
            raise OutOfTimeError


def seconds(within: Any) -> float:
    """The seconds of a time that is given as :class:`Limit` takes it."""
    found = math.nan
    if isinstance(within, str):
        if match := TIME.fullmatch(within):
            found = float(match["number"]) * UNITS[match["unit"]]
    elif isinstance(within, int | float) and not isinstance(within, bool):
        found = float(within)
    if not 0 < found < math.inf:
        raise InputError(
            f"within is {within!r}; it must be a time above zero, as in 90s, 10m or 1.5h, or a "
            "number of seconds"
        )
    return found
