"""On how many threads a step goes: on one or on all that torch has, whichever took less of late.

No bit of a result hangs on it, so that it may be chosen by the clock, anew in every step.
"""

from __future__ import annotations

from collections import deque

LEAST = 32768
"""Elements below which one thread does a step: to wake another takes as long."""

ONE, ALL = False, True

_SHARE = 20
"""A way is tried again when the steps since took so many times what that costs beyond them."""

_STEPS = 5
"""Of each way the last so many steps say what it takes, the slowest of them left out."""


class Threads:
    """Chooses between one thread and all by the seconds that steps took.

    What else runs on the machine changes, and a step on all threads waits for the last of them,
    milliseconds where other programs hold the cores. So the other way is tried again from time to
    time, and so seldom that it costs a twentieth of the time of the steps.
    """

    def __init__(self) -> None:
        self._last = {way: deque[float](maxlen=_STEPS) for way in (ONE, ALL)}
        self._seconds = {ONE: 0.0, ALL: 0.0}  # of each way what a step is held to take
        self._since = 0.0  # seconds that steps took since the other way was tried

    def choose(self) -> bool:
        """:data:`ONE` or :data:`ALL`, for the next step."""
        known = self._seconds
        if len(self._last[ALL]) < 2:  # the first of them may have started the threads
            return ALL if self._last[ONE] else ONE
        better = known[ALL] < known[ONE]
        other = not better
        if self._since <= _SHARE * (known[other] - known[better]) + 8 * known[better]:
            return better
        self._since = 0.0
        return other

    def tell(self, way: bool, seconds: float) -> None:
        """Take down how long a step took that went this way."""
        self._since += min(seconds, self._seconds[not way] or seconds)  # no trial pays for another
        last = self._last[way]
        last.append(seconds)
        # One slow step says nothing of the next; where two of five are slow, it is no accident.
        alone = len(last) == 1
        self._seconds[way] = seconds if alone else (sum(last) - max(last)) / (len(last) - 1)
