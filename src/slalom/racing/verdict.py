"""How sure one can be: ratios of what two entrants needed on the same seeds, with intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4000

LOOKS = ((1, 0.998), (2, 0.995), (5, 0.97))
"""When the finals may end: at these multiples of their seeds, if intervals of that level decide.

Whoever looks early and often finds a difference sooner or later, where there is none. So the early
looks ask for more, and the last for somewhat more than 95%: then equals are told apart in fewer
than 5% of races, all looks together. ``benchmarks/race_verdict.py`` counts them.
"""

Needs = Sequence[float | None]
"""What an entrant needed on each seed; None where it never reached the target."""


@dataclass(frozen=True)
class Ratio:
    """How many times more one entrant needs than another.

    Attributes:
        value: above 1 where the other needs less.
        low, high: of the interval; infinite where runs that never arrived leave it open.
        seeds: pairs that it rests on.
        method: how the interval was made, in words.
    """

    value: float
    low: float
    high: float
    seeds: int
    method: str

    @property
    def decided(self) -> bool:
        """Whether the interval excludes 1."""
        return self.low > 1 or self.high < 1

    def __str__(self) -> str:
        return f"{_number(self.value)} ({_number(self.low)} to {_number(self.high)})"


def ratio(slow: Needs, fast: Needs, *, level: float = LOOKS[-1][1], seed: int = 0) -> Ratio:
    """``slow`` over ``fast``, paired by seed, with an interval by paired bootstrap.

    Where every run arrived: the geometric mean of the ratios, with a studentised (bootstrap-t)
    interval of its logarithm (Efron & Tibshirani 1993, sec. 12.5), which keeps its level with few
    seeds. A run that did not arrive is censored: the pair counts as an infinite ratio in favour
    of the one that did, and the median and its percentile interval are taken, which do not ask how
    large it is; a pair of which neither arrived says nothing and is left out.
    """
    logs = np.array([_log(s, f) for s, f in zip(slow, fast, strict=True) if s or f])
    n = len(logs)
    if n < 3:
        middle = math.exp(float(np.median(logs))) if n else 1.0
        return Ratio(middle, 0.0, math.inf, n, "too few seeds for an interval")
    draws = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    tail = (1 - level) / 2
    if np.isfinite(logs).all():
        mean, error = logs.mean(), logs.std(ddof=1) / math.sqrt(n)
        if error <= 1e-12:  # the same on every seed
            same = math.exp(mean)
            return Ratio(same, same, same, n, "the same on every seed")
        resampled = logs[draws]
        errors = np.maximum(resampled.std(1, ddof=1) / math.sqrt(n), 1e-3 * error)
        t = (resampled.mean(1) - mean) / errors
        low, high = mean - error * np.quantile(t, [1 - tail, tail])
        method = f"bootstrap-t over {n} seeds, paired"
        return Ratio(math.exp(mean), _exp(low), _exp(high), n, method)
    medians = np.sort(logs[draws], axis=1)[:, [(n - 1) // 2, n // 2]]
    with np.errstate(invalid="ignore"):
        medians = np.sort(np.nan_to_num(medians.mean(1), nan=0.0, posinf=np.inf, neginf=-np.inf))
    low, high = (medians[round(q * (RESAMPLES - 1))] for q in (tail, 1 - tail))
    method = f"percentile bootstrap of the median over {n} seeds, paired, some runs censored"
    return Ratio(_exp(float(np.median(logs))), _exp(low), _exp(high), n, method)


def typical(needs: Needs) -> float:
    """The geometric mean where all arrived, else the median with those that did not as infinite."""
    known = [float(v) for v in needs if v is not None]
    if len(known) == len(needs):
        return statistics.geometric_mean(known) if known else math.inf
    return statistics.median([*known, *[math.inf] * (len(needs) - len(known))])


def _log(slow: float | None, fast: float | None) -> float:
    if slow is None:
        return math.inf
    return -math.inf if fast is None else math.log(slow / fast)


def _exp(x: float) -> float:
    return math.exp(min(float(x), 700.0)) if x != math.inf else math.inf


def _number(x: float) -> str:
    return "∞" if x == math.inf else f"{x:.2f}"
