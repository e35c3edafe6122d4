"""On how many threads a step goes: on one or on all that torch has, whichever took less of late.

No bit of a result hangs on it, so that it may be chosen by the clock, anew in every step.
"""

from __future__ import annotations

LEAST = 32768
"""Elements below which one thread does a step: to wake another takes as long."""

ONE, ALL = False, True

_SHARE = 20
"""A way is tried again when the steps since took so many times what that costs beyond them."""

_WEIGHT = 0.3
"""The weight of a step in what is held to be the time of one."""


class Threads:
    """Chooses between one thread and all by the seconds that steps took.

    What else runs on the machine changes, and a step on all threads waits for the last of them,
    milliseconds where other programs hold the cores. So the other way is tried again from time to
    time, and so seldom that it costs a twentieth of the time of the steps.
    """

    def __init__(self) -> None:
        self._seconds: dict[bool, float] = {}  # of each way the time of a step
        self._tried = {ONE: 0, ALL: 0}
        self._since = 0.0  # seconds that steps took since the other way was tried

    def choose(self) -> bool:
        """:data:`ONE` or :data:`ALL`, for the next step."""
        known = self._seconds
        if len(known) < 2:
            return ALL if ONE in known else ONE
        better = known[ALL] < known[ONE]
        other = not better
        if self._since <= _SHARE * (known[other] - known[better]) + 8 * known[better]:
            return better
        self._since = 0.0
        return other

    def tell(self, way: bool, seconds: float) -> None:
        """Take down how long a step took that went this way."""
        self._since += seconds
        self._tried[way] += 1
        before = self._seconds.get(way, seconds)
        # The first on all threads may have started them, and counts no more from the second on.
        weight = 1.0 if self._tried[way] == 2 else _WEIGHT
        self._seconds[way] = before + weight * (seconds - before)
