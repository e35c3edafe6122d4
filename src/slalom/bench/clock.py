"""Timing side by side: contenders take turns, and the median of many turns is reported."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

WARM = 8
"""Calls before each timed turn: what ran before has left the caches and threads to another."""


def interleaved(
    contenders: Mapping[str, Callable[[], object]], *, rounds: int, turn: float
) -> dict[str, float]:
    """Median seconds of one call of each contender.

    In each of ``rounds`` rounds every contender has one turn: a few calls to warm up, then calls
    for about ``turn`` seconds. So a change of the machine's mood falls on all of them alike.
    """
    calls = {name: _calls_for(call, turn) for name, call in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            n = calls[name]
            for _ in range(min(WARM, n)):
                call()
            start = time.perf_counter()
            for _ in range(n):
                call()
            times[name].append((time.perf_counter() - start) / n)
    return {name: statistics.median(values) for name, values in times.items()}


def _calls_for(call: Callable[[], object], turn: float) -> int:
    call()
    start = time.perf_counter()
    call()
    once = time.perf_counter() - start
    return max(1, min(200, round(turn / max(once, 1e-7))))


def readable(seconds: float) -> str:
    """A time in ms, or in us where it is shorter than one."""
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"
