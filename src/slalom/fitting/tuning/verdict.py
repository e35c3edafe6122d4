"""What measurements of levers say: which help, and what they do to the numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from slalom.fitting.tuning.levers import LEVERS

LEVEL = 0.95
"""Of intervals, at least."""

NEAR = 1e-4
"""What a first gradient differs by at most, relatively in norm, where it is by rounding. bfloat16
differs by 1e-3 and more; of later ones and of weights rounding makes any difference in time."""

SAME, ROUNDING, OTHER = "same to the bit", "rounding", "other arithmetic"


@dataclass(frozen=True)
class Measured:
    """What was seen of a task with levers.

    Attributes:
        levers: their names.
        seconds: of an update, in each turn; in the order of everybody's turns.
        loss, gradient: of the first update; of the latter some numbers.
        digest: of all weights after some.
        peak: bytes that its process has held at most.
        once: seconds of the very first update.
        size: samples in an update, where that is not the task's own.
    """

    levers: tuple[str, ...]
    seconds: Sequence[float]
    loss: float = 0.0
    gradient: Sequence[float] = ()
    digest: str = ""
    peak: int = 0
    once: float = 0.0
    size: int | None = None

    @property
    def name(self) -> str:
        """The levers, in words."""
        return " + ".join(self.levers) or "as it is"

    @property
    def update(self) -> float:
        """Seconds of an update, in the median."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Verdict:
    """What a measurement says beside that of the task as it is.

    Attributes:
        gain, low, high: how many times as fast: the median of the turns, and its interval.
        noise: how many times as fast the task as it is was as itself, or slower: what chance does.
        numbers: :data:`SAME`, :data:`ROUNDING`, :data:`OTHER`.
        paid: updates after which the seconds of its first one are made good; None if never.
    """

    measured: Measured
    gain: float
    low: float
    high: float
    noise: float
    numbers: str
    paid: float | None

    @property
    def helps(self) -> bool:
        """Whether it is faster, as far as can be told from chance."""
        return self.low > self.noise


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Of the median of what these are drawn from, whatever its distribution: order statistics.

    From six values on it holds with :data:`LEVEL` at least; with fewer it is infinite.
    """
    n, ordered = len(values), sorted(values)
    beyond, kept = 0.0, 0
    while kept < n // 2:
        beyond += 2 * math.comb(n, kept) / 2**n
        if beyond > 1 - LEVEL:
            break
        kept += 1
    return (ordered[kept - 1], ordered[n - kept]) if kept else (-math.inf, math.inf)


def verdict(usual: Measured, again: Measured, other: Measured) -> Verdict:
    """Of ``other``, beside the task as it is, which was measured twice."""
    ratios = [u / o for u, o in zip(usual.seconds, other.seconds, strict=True)]
    low, high = interval(ratios)
    chance = statistics.median(u / a for u, a in zip(usual.seconds, again.seconds, strict=True))
    saved = usual.update - other.update
    extra = max(0.0, other.once - usual.once)
    return Verdict(
        other, statistics.median(ratios), low, high, max(chance, 1 / chance),
        _numbers(usual, again, other),
        extra / saved if saved > 0 else None,
    )  # fmt: skip


def _numbers(usual: Measured, again: Measured, other: Measured) -> str:
    if usual.digest == again.digest == other.digest:
        return SAME  # and where it differs from itself, nothing is
    if len(usual.gradient) != len(other.gradient):  # it was used up in the backward pass
        return OTHER
    pairs = list(zip(usual.gradient, other.gradient, strict=True))
    apart = math.sqrt(sum((a - b) ** 2 for a, b in pairs))
    near = apart <= NEAR * math.sqrt(sum(a * a for a, _ in pairs))
    return ROUNDING if near and math.isclose(usual.loss, other.loss, rel_tol=NEAR) else OTHER


def chosen(verdicts: Sequence[Verdict], *, exact: bool) -> tuple[str, ...]:
    """Levers that help, the fastest of those that exclude one another; with ``exact``, of those
    that change no bit alone."""
    found: dict[str, Verdict] = {}
    for one in verdicts:
        (name,) = one.measured.levers
        if one.helps and (one.numbers == SAME or not exact):
            group = LEVERS[name].group or name
            if group not in found or one.gain > found[group].gain:
                found[group] = one
    return tuple(v.measured.levers[0] for v in found.values())


def tried_again(verdicts: Sequence[Verdict]) -> list[tuple[str, ...]]:
    """The sets of levers that are measured once more: those that help together, and the fastest
    of them alone; among those that change no bit, and among all."""
    found: list[tuple[str, ...]] = []
    for exact in (True, False):
        together = chosen(verdicts, exact=exact)
        gains = {v.measured.levers[0]: v.gain for v in verdicts}
        found += [together, tuple(sorted(together, key=gains.__getitem__)[-1:])]
    return sorted({s for s in found if s}, key=len)
