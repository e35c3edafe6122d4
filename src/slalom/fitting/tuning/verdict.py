"""What measurements of levers say: which help, and what they do to the numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from slalom.fitting.tuning.levers import LEVERS
from slalom.fitting.tuning.worker import Turn

LEVEL = 0.95
"""Of intervals, at least."""

LEAST = 6
"""Turns from which on there is an interval."""

NEAR = 1e-4
"""What a first gradient differs by at most, relatively in norm, where it is by rounding. bfloat16
differs by 1e-3 and more; of later ones and of weights rounding makes any difference in time."""

SAME, ROUNDING, OTHER = "same to the bit", "rounding", "other arithmetic"


def seconds_of(turns: Sequence[Turn]) -> float:
    """Seconds of an update, in the median of the turns."""
    return statistics.median(t.seconds for t in turns)


@dataclass(frozen=True)
class Verdict:
    """What was seen of levers, in turns beside those of the task as it is.

    Attributes:
        levers: their names.
        pairs: of each round: (as it is, with the levers).
    """

    levers: tuple[str, ...]
    pairs: Sequence[tuple[Turn, Turn]]

    @property
    def name(self) -> str:
        """The levers, in words."""
        return " + ".join(self.levers)

    @property
    def turns(self) -> list[Turn]:
        """Those with the levers."""
        return [own for _, own in self.pairs]

    @property
    def ratios(self) -> list[float]:
        """How many times as fast, in each round."""
        return [usual.seconds / own.seconds for usual, own in self.pairs]

    @property
    def gain(self) -> float:
        """How many times as fast, in the median."""
        return statistics.median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        """That of the gain; infinite where it was measured less than :data:`LEAST` times."""
        return interval(self.ratios)

    @property
    def helps(self) -> bool:
        """Whether it is faster, as far as can be told from chance."""
        return self.interval[0] > 1

    @property
    def paid(self) -> float | None:
        """Updates after which the seconds of its first one are made good; None if never."""
        usual = [one for one, _ in self.pairs]
        saved = seconds_of(usual) - seconds_of(self.turns)
        extra = max(0.0, self.turns[0].once - statistics.median(t.once for t in usual))
        return extra / saved if saved > 0 else None

    @property
    def numbers(self) -> str:
        """What it does to them: :data:`SAME`, :data:`ROUNDING`, :data:`OTHER`."""
        usual, own = self.pairs[0]
        digests = {(t.steps, t.digest) for pair in self.pairs for t in pair if t.digest}
        if own.digest and len(digests) == 1:
            return SAME  # and where the task differs from itself, nothing is
        pairs = list(zip(usual.gradient, own.gradient, strict=False))  # none where it was spent
        apart = math.sqrt(sum((a - b) ** 2 for a, b in pairs))
        near = apart <= NEAR * math.sqrt(sum(a * a for a, _ in pairs))
        losses = zip(usual.losses, own.losses, strict=True)
        alike = all(math.isclose(a, b, rel_tol=NEAR) for a, b in losses)
        return ROUNDING if near and alike else OTHER


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Of the median of what these are drawn from, whatever its distribution: order statistics.

    From :data:`LEAST` values on it holds with :data:`LEVEL` at least; with fewer it is infinite.
    """
    n, ordered = len(values), sorted(values)
    beyond, kept = 0.0, 0
    while kept < n // 2:
        beyond += 2 * math.comb(n, kept) / 2**n
        if beyond > 1 - LEVEL:
            break
        kept += 1
    return (ordered[kept - 1], ordered[n - kept]) if kept else (-math.inf, math.inf)


def hopeless(ratios: Sequence[float], most: int) -> bool:
    """Whether the interval of ``most`` of them will hold 1, whatever comes."""
    return sum(ratio <= 1 for ratio in ratios) > interval(range(most))[0]


def chosen(verdicts: Sequence[Verdict], *, exact: bool) -> tuple[str, ...]:
    """Levers that help, the fastest of those that exclude one another; with ``exact``, of those
    that change no bit alone."""
    found: dict[str, Verdict] = {}
    for one in verdicts:
        (name,) = one.levers
        if one.helps and (one.numbers == SAME or not exact):
            group = LEVERS[name].group or name
            if group not in found or one.gain > found[group].gain:
                found[group] = one
    return tuple(v.levers[0] for v in found.values())


def tried_again(verdicts: Sequence[Verdict]) -> list[tuple[str, ...]]:
    """The sets of levers that are measured once more: those that help together, and the fastest
    of them alone; among those that change no bit, and among all."""
    found: list[tuple[str, ...]] = []
    for exact in (True, False):
        together = chosen(verdicts, exact=exact)
        gains = {v.levers[0]: v.gain for v in verdicts}
        found += [together, tuple(sorted(together, key=gains.__getitem__)[-1:])]
    return sorted({s for s in found if s}, key=len)
