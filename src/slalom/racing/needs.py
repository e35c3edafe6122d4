"""What runs needed to reach the target, and what can be said of that without comparing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

EVALUATIONS = 20
"""How many the winner's run should hold until the target, for a difference to be seen in it."""


@dataclass(frozen=True)
class Run:
    """One run on one seed.

    Attributes:
        work: until it reached the target, or until it was stopped without.
        arrived: whether it reached the target.
        stride: the work between two of its evaluations; what it needed lies within one of
            ``work``. 0 where it is known exactly.
        ended: whether it ended by itself, so that it would never have arrived: it diverged, say.

    Raises :class:`ValueError` if ``work`` is no finite number above 0.
    """

    work: float
    arrived: bool = True
    stride: float = 0.0
    ended: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.work < math.inf:
            raise ValueError(f"the work of a run is {self.work}; it must be finite and above 0")

    @property
    def told(self) -> bool:
        """Whether it says how much is needed."""
        return self.arrived


Runs = Mapping[int, Run]
"""Seed -> the run on it: all of one entrant's. Pairs are matched by seed, in ascending order."""


def runs(needs: Mapping[int, float | None], cap: float, stride: float = 0.0) -> dict[int, Run]:
    """Runs by seed, of what each needed; None for one that was stopped at ``cap``."""
    return {
        seed: Run(cap, False, stride) if need is None else Run(need, True, stride)
        for seed, need in needs.items()
    }


def log_ratio(slow: Run, fast: Run) -> float:
    """The logarithm of how many times more one run needed than another.

    0 for a tie, which is where both needs can be one and the same, as far as the evaluations tell;
    infinite where one never arrived, and had been at it for as long as the other took or had ended;
    NaN where neither arrived, or one was stopped before the other arrived, so that it is not known.
    """
    if slow.arrived and fast.arrived:
        apart = slow.work - fast.work
        if abs(apart) < (slow if apart > 0 else fast).stride or not apart:
            return 0.0
        more, less = max(slow.work, fast.work), min(slow.work, fast.work)
        # equal ratios are to have equal logarithms, whoever is the slower and whatever the unit
        return math.copysign(round(math.log(more / less), 12), apart)
    if fast.arrived and (slow.ended or slow.work >= fast.work):
        return math.inf
    if slow.arrived and (fast.ended or fast.work >= slow.work):
        return -math.inf
    return math.nan


@dataclass(frozen=True)
class Chance:
    """How likely a run is to arrive: ``arrived`` of ``seeds`` did, and Wilson's interval."""

    arrived: int
    seeds: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share that arrived; 0 of no run."""
        return self.arrived / self.seeds if self.seeds else 0.0

    def __str__(self) -> str:
        return f"{self.arrived} of {self.seeds} ({self.low:.0%} to {self.high:.0%})"


def chance_to_arrive(of: Runs, level: float = 0.95) -> Chance:
    """The share of runs that arrived, with its interval (Wilson 1927); 0 to 1 of no run."""
    n, k = len(of), sum(r.arrived for r in of.values())
    if not n:
        return Chance(0, 0, 0.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, weight = k / n, z * z / n
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    low = 0.0 if k == 0 else max(0.0, middle - half)
    return Chance(k, n, low, 1.0 if k == n else min(1.0, middle + half))


def with_restarts(of: Runs) -> float:
    """The expected work to arrive when a run that does not is given up and begun again.

    All the work of all runs over the number that arrived: the expected running time (ERT) of
    black-box benchmarking (Hansen et al. 2009; Auger & Hansen 2005). Infinite if none arrived.
    """
    arrived = sum(r.arrived for r in of.values())
    return sum(r.work for r in of.values()) / arrived if arrived else math.inf


def typical(of: Runs) -> float:
    """The geometric mean of the work where all arrived; else the median, with others as infinite.

    The mean of the two in the middle, where both are known.
    """
    works = [r.work if r.arrived else math.inf for r in of.values()]
    if works and math.isfinite(max(works)):
        return statistics.geometric_mean(works)
    return statistics.median(works) if works else math.inf


# What the spacing of the evaluations can tell apart.


def at_the_first(of: Runs) -> bool:
    """Whether most runs that arrived did so at their first evaluation, if not before."""
    there = [r.work <= r.stride for r in of.values() if r.arrived]
    return 2 * sum(there) > len(there) > 0


def one_evaluation_apart(of: Iterable[Runs]) -> bool:
    """Whether on most seeds that all share, all arrived within one evaluation of each other.

    False where there is nobody to compare, or no seed that all arrived on.
    """
    all_of = list(of)
    shared = set.intersection(*(set(r) for r in all_of)) if len(all_of) > 1 else set()
    rows = [[r[seed] for r in all_of] for seed in shared]
    near = [
        max(r.work for r in row) - min(r.work for r in row) <= max(r.stride for r in row)
        for row in rows
        if all(r.arrived for r in row)
    ]
    return 2 * sum(near) > len(rows) > 0
