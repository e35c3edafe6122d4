"""How many times more one entrant needs than another, or how much worse it ends, told so that
stopping early is allowed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from slalom.racing.design import STANDARD, AtTheEnd, Design, Results
from slalom.racing.needs import Runs, log_ratio
from slalom.racing.scores import Score
from slalom.racing.scores import difference as apart
from slalom.racing.sequential import Judgement
from slalom.racing.signflip import Array, limits


@dataclass(frozen=True)
class Estimate:
    """How many times more one entrant needs than another.

    Attributes:
        value: above 1 where the other needs less; never infinite or NaN.
        low, high: of the interval. 0 or infinite for a side that stopped runs leave open.
        seeds: pairs that it rests on; those of which nobody arrived tell nothing and are left out.
        stopped: of these, where one of the two never arrived.
        bound: "at least" or "at most", where stopped runs let no more be said of the value.
        level: the chance that the interval holds the true ratio, all looks together.
        method: how it was made, in words.
    """

    value: float
    low: float
    high: float
    seeds: int
    stopped: int
    bound: str
    level: float
    method: str

    def __str__(self) -> str:
        return f"{self.bound} {self.value:.2f} ({interval(self.low, self.high)})".strip()


@dataclass(frozen=True)
class Difference(Estimate):
    """How much worse one entrant is at the end of a budget than another, in the metric's unit.

    ``value``, ``low`` and ``high`` as of an :class:`Estimate`, but that 0 is no difference, and a
    side that lost runs leave open is infinite.
    """

    def __str__(self) -> str:
        ends = {(False, False): f"{number(self.low)} to {number(self.high)}",
                (True, False): f"{number(self.high)} or less",
                (False, True): f"{number(self.low)} or more"}  # fmt: skip
        told = ends.get((self.low == -math.inf, self.high == math.inf), "no bound")
        return f"{self.bound} {number(self.value)} ({told})".strip()


def number(value: float) -> str:
    """A difference of a metric, to three digits."""
    return f"{value:.3g}"


def interval(low: float, high: float) -> str:
    """An interval of ratios in words, which stopped runs may leave open on either side."""
    if low <= 0 and high == math.inf:
        return "no bound"
    if high == math.inf:
        return f"{low:.2f} or more"
    return f"{low:.2f} to {high:.2f}" if low > 0 else f"{high:.2f} or less"


def estimates(
    finalists: Mapping[str, Results], judgement: Judgement, design: Design = STANDARD
) -> dict[str, Estimate]:
    """Every other finalist beside the leader, on the seeds by which they were judged."""
    make = difference if isinstance(design, AtTheEnd) else estimate
    found: dict[str, Estimate] = {}
    for name, finding in judgement.findings.items():
        fast, slow = finalists[judgement.leader or name], finalists[name]
        judged = sorted(slow.keys() & fast.keys())[: finding.seeds]
        slow = {seed: slow[seed] for seed in judged}
        slower = finding.call == design.lost and finding.against == judgement.leader
        found[name] = make(slow, fast, finding.level, *design.looks, slower=slower)
    return found


def estimate(
    slow: Runs, fast: Runs, level: float, looks: int, first: int = 1, *, slower: bool = False
) -> Estimate:
    """``slow`` over ``fast``, on the seeds that both have.

    The value is the median of the means of all two logarithms (Hodges & Lehmann 1963), which
    belongs to the signed rank. Where the test has found ``slower``, it is drawn towards 1 by the
    share 1 / t^2 (after James & Stein 1961), since who is found early is found on lucky seeds.
    ``benchmarks/race_verdict.py`` shows what is told of which true ratio.

    The interval holds what the sequential test does not reject, at its last look that could have
    rejected anything (a repeated confidence interval; Jennison & Turnbull 1989). So it keeps its
    level however often one looks and whenever one stops. With too few pairs for that it reaches
    from the least to the largest ratio seen, and ``level`` is the one which that has at one look.

    A run that never arrived counts as one that needs more than it had taken when it was stopped.

    Args:
        slow, fast: seed -> run.
        level: the chance that the interval misses: a finding's ``level``.
        looks, first: over which that is spent: the design's ``looks``.
        slower: whether the test found ``slow`` to be so; the interval then ends at 1.

    Raises :class:`ValueError` if the two share no seed.
    """
    pairs = _pairs(slow, fast)
    logs = np.array([log_ratio(*pair) for pair in pairs])
    # as if stopped runs had arrived when they were stopped
    seen = np.array([math.log(s.work / f.work) for s, f in pairs])
    seen = np.where(np.isinf(logs), np.copysign(np.maximum(seen * np.sign(logs), 0), logs), seen)
    found = _paired(logs, seen, level, (looks, first), slower)
    if found is None:
        return Estimate(1.0, 0.0, math.inf, 0, 0, "", 1.0, "no pair of which a run arrived")
    (value, low, high), n, stopped, bound, level, method = found
    return Estimate(
        math.exp(value), math.exp(low), math.exp(high), n, stopped, bound, 1 - level, method
    )


def difference(
    worse: Mapping[int, Score], better: Mapping[int, Score], level: float, looks: int,
    first: int = 1, *, slower: bool = False,
) -> Difference:  # fmt: skip
    """How much worse ``worse`` ends than ``better``, on the seeds that both have; told as
    :func:`estimate` tells ratios. A run that came to no end counts as one that is at least as bad.

    Raises :class:`ValueError` if the two share no seed.
    """
    gaps = np.array([apart(*pair) for pair in _pairs(worse, better)])
    found = _paired(gaps, np.zeros(len(gaps)), level, (looks, first), slower)
    if found is None:
        return Difference(0.0, -math.inf, math.inf, 0, 0, "", 1.0, "no pair that came to its end")
    (value, low, high), n, stopped, bound, level, method = found
    return Difference(value, low, high, n, stopped, bound, 1 - level, method)


def _pairs(slow: Mapping[int, Any], fast: Mapping[int, Any]) -> list[tuple[Any, Any]]:
    shared = sorted(slow.keys() & fast.keys())
    if not shared:
        raise ValueError("the two have no seed in common; run both on the same seeds")
    return [(slow[s], fast[s]) for s in shared]


def _paired(
    logs: Array, seen: Array, level: float, looks: tuple[int, int], slower: bool
) -> tuple[tuple[float, float, float], int, int, str, float, str] | None:
    """((value, low, high), pairs, those where one never arrived, bound, level, method).

    ``seen`` is what is to be said of those where one never arrived, at the least; None of none.
    """
    told = ~np.isnan(logs)
    n, stopped = int(told.sum()), int(np.isinf(logs).sum())
    if not n:
        return None
    seen = np.where(np.isfinite(logs), logs, seen)
    below, above = np.where(logs == -np.inf, logs, seen), np.where(logs == np.inf, logs, seen)
    value = _median(seen[told])
    bound = _BOUNDS[_median(above[told]) > value, _median(below[told]) < value]
    all_looks = ", all looks together" if looks[1] < looks[0] else ""
    method = f"signed rank over {n} seeds, paired{all_looks}"
    if slower and value and not bound:
        error = float(seen[told].std()) / math.sqrt(n - 1)
        value *= max(0.0, 1 - (error / value) ** 2)
        method += "; drawn towards equal, since it was stopped for being large"
    found = _interval(logs, below, above, level, looks)
    if found is None:
        method = f"the range over {n} seeds, too few for more"
        level = 2.0 ** (1 - n)
        found = float(below[told].min()), float(above[told].max())
    low = max(found[0], 0.0) if slower else found[0]
    high = max(found[1], low)
    return (min(max(value, low), high), low, high), n, stopped, bound, level, method


_BOUNDS = {
    (False, False): "",
    (True, False): "at least",
    (False, True): "at most",
    (True, True): "about",
}
"""What may be said of a value that stopped runs could raise, and could lower."""


def _interval(
    logs: Array, below: Array, above: Array, level: float, looks: tuple[int, int]
) -> tuple[float, float] | None:
    """The shifts that are not rejected, at the last look that could have; None if none could."""
    told = ~np.isnan(logs)
    # a tie is none once it is shifted, so it has a rank here: the least
    sizes = np.where(told, np.maximum(np.abs(logs), np.finfo(float).tiny), np.nan)
    needed = np.array(list(limits(sizes, level, *looks)))
    pairs = np.cumsum(told)
    could = np.flatnonzero(needed <= pairs * (pairs + 1))
    if not len(could):
        return None
    look = could[-1]
    first = told & (np.arange(len(logs)) <= look)
    # means above a shift, that many or more of which reject it
    count = math.ceil((pairs[look] * (pairs[look] + 1) / 2 + needed[look] / 2) / 2)
    return float(_means(below[first])[-count]), float(_means(above[first])[count - 1])


def _means(values: Array) -> Array:
    """The means of all two values, and each by itself, sorted (Walsh averages)."""
    i, j = np.triu_indices(len(values))
    return np.sort((values[i] + values[j]) / 2)


def _median(values: Array) -> float:
    return float(np.median(_means(values)))
