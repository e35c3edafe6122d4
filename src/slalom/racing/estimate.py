"""How many times more one entrant needs than another, or how much worse it ends, told so that
stopping early is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from slalom.racing.design import OUT, STANDARD, AtTheEnd, Call, Design, Results
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
        low, high: of the interval. 0 or infinite for a side that stopped runs, or too few, leave
            open. 1 lies below it, or at its end, if and only if the other was found to need less.
        seeds: pairs that it rests on; those of which nobody arrived tell nothing and are left out.
        stopped: of these, where one of the two never arrived.
        bound: "at least" or "at most", where stopped runs let no more be said of the value.
        level: the chance that the interval holds the true ratio, all looks together.
        method: how it was made, in words.
        seen: the least and the largest ratio on a seed, where these are too few for the test to
            tell of any; None where they are not.
    """

    value: float
    low: float
    high: float
    seeds: int
    stopped: int
    bound: str
    level: float
    method: str
    seen: tuple[float, float] | None = None

    def __str__(self) -> str:
        return f"{self.bound} {self._number(self.value)} ({self._range})".strip()

    @property
    def _range(self) -> str:
        """The interval in words, or what was seen."""
        low, high = self.seen or (self.low, self.high)
        told = self._interval(low, high)
        return f"{told} seen" if self.seen and told != "no bound" else told

    @staticmethod
    def _number(value: float) -> str:
        return f"{value:.2f}"

    @staticmethod
    def _interval(low: float, high: float) -> str:
        return _ends(low if low > 0 else -math.inf, high, Estimate._number)


@dataclass(frozen=True)
class Difference(Estimate):
    """How much worse one entrant is at the end of a budget than another, in the metric's unit.

    ``value``, ``low`` and ``high`` as of an :class:`Estimate`, but that 0 is no difference, and a
    side that lost runs leave open is infinite.
    """

    @staticmethod
    def _number(value: float) -> str:
        return f"{value:.3g}"

    @staticmethod
    def _interval(low: float, high: float) -> str:
        return _ends(low, high, Difference._number)


def _ends(low: float, high: float, told: Callable[[float], str]) -> str:
    """An interval in words, which may be open on either side."""
    if low == -math.inf:
        return "no bound" if high == math.inf else f"{told(high)} or less"
    return f"{told(low)} or more" if high == math.inf else f"{told(low)} to {told(high)}"


def estimates(
    finalists: Mapping[str, Results], judgement: Judgement, design: Design = STANDARD
) -> dict[str, Estimate]:
    """Every other finalist beside the one that it was judged by, on the seeds of that judgement.

    Test and interval are of one pair, one error and one set of seeds, and what the test has found
    is what the interval leaves out: who is out needs no less than the other, and of whom it is not
    so the interval holds the equal.
    """
    make = difference if isinstance(design, AtTheEnd) else estimate
    found: dict[str, Estimate] = {}
    for name, finding in judgement.findings.items():
        fast, slow = finalists[finding.against], finalists[name]
        judged = sorted(slow.keys() & fast.keys())[: finding.seeds]
        slow = {seed: slow[seed] for seed in judged}
        own = make(slow, fast, finding.level, *design.looks, call=finding.call)
        luck = design.luck if finding.call == Call.BEHIND else 0.0
        found[name] = replace(own, level=own.level - luck)
    return found


def estimate(
    slow: Runs, fast: Runs, level: float, looks: int, first: int = 1, *,
    call: Call | None = None,
) -> Estimate:  # fmt: skip
    """``slow`` over ``fast``, on the seeds that both have.

    The value is the median of the means of all two logarithms (Hodges & Lehmann 1963), which
    belongs to the signed rank. Where the test has found ``slow`` to be slower, it is drawn towards
    1 by the share 1 / t^2 (after James & Stein 1961), since who is found early is found on lucky
    seeds. ``benchmarks/race_verdict.py`` shows what is told of which true ratio.

    The interval holds what the sequential test does not reject, at its last look that could have
    rejected anything (a repeated confidence interval; Jennison & Turnbull 1989). So it keeps its
    level however often one looks and whenever one stops. With too few pairs for that it is open on
    both sides, and ``seen`` tells from which to which ratio they reach. It ends at 1 where
    ``slow`` is out, and reaches to 1 where it is not: the test has weighed ties by none, and the
    interval by the least rank, so that by themselves they differ now and then.

    A run that never arrived counts as one that needs more than it had taken when it was stopped.

    Args:
        slow, fast: seed -> run.
        level: the chance that the interval misses: a finding's ``level``.
        looks, first: over which that is spent: the design's ``looks``.
        call: what was found of ``slow``; None where the interval is not to agree with any test.

    Raises :class:`ValueError` if the two share no seed.
    """
    pairs = _pairs(slow, fast)
    logs = np.array([log_ratio(*pair) for pair in pairs])
    # as if stopped runs had arrived when they were stopped
    seen = np.array([math.log(s.work / f.work) for s, f in pairs])
    seen = np.where(np.isinf(logs), np.copysign(np.maximum(seen * np.sign(logs), 0), logs), seen)
    found = _paired(logs, seen, level, (looks, first), call)
    if found is None:
        return Estimate(1.0, 0.0, math.inf, 0, 0, "", 1.0, "no pair of which a run arrived")
    range_seen = found.seen and (math.exp(found.seen[0]), math.exp(found.seen[1]))
    value, low, high = map(math.exp, (found.value, found.low, found.high))
    return Estimate(**vars(found) | {"value": value, "low": low, "high": high, "seen": range_seen})


def difference(
    worse: Mapping[int, Score], better: Mapping[int, Score], level: float, looks: int,
    first: int = 1, *, call: Call | None = None,
) -> Difference:  # fmt: skip
    """How much worse ``worse`` ends than ``better``, on the seeds that both have; told as
    :func:`estimate` tells ratios. A run that came to no end counts as one that is at least as bad.

    Raises :class:`ValueError` if the two share no seed.
    """
    gaps = np.array([apart(*pair) for pair in _pairs(worse, better)])
    found = _paired(gaps, np.zeros(len(gaps)), level, (looks, first), call)
    if found is None:
        return Difference(0.0, -math.inf, math.inf, 0, 0, "", 1.0, "no pair that came to its end")
    return found


def by_the_clock(work: Estimate, slow: Sequence[float], fast: Sequence[float]) -> Estimate | None:
    """The ratio in seconds, where that in work is known and seconds for a unit of it were timed.

    The interval is that of the work, widened by the least and the largest ratio of a round: within
    these the true one is with a chance of 1 - 2^(1 - rounds) (the sign test's).

    Args:
        work: the ratio in work.
        slow, fast: seconds of a unit of work, round by round, as the two took turns; None is
            returned where either has none.
    """
    rounds = [s / f for s, f in zip(slow, fast, strict=False) if s > 0 < f]
    if not rounds:
        return None
    factor = median(slow) / median(fast)
    least, most = min(factor, *rounds), max(factor, *rounds)
    seen = work.seen and (work.seen[0] * least, work.seen[1] * most)
    return replace(
        work, value=work.value * factor, low=work.low * least, high=work.high * most, seen=seen,
        level=max(0.0, work.level - 2.0 ** (1 - len(rounds))),
    )  # fmt: skip


def _pairs(slow: Mapping[int, Any], fast: Mapping[int, Any]) -> list[tuple[Any, Any]]:
    shared = sorted(slow.keys() & fast.keys())
    if not shared:
        raise ValueError("the two have no seed in common; run both on the same seeds")
    return [(slow[s], fast[s]) for s in shared]


def _paired(
    logs: Array, seen: Array, level: float, looks: tuple[int, int], call: Call | None
) -> Difference | None:
    """What is told of the pairs; None of none.

    ``seen`` is what is to be said of those where one never arrived, at the least.
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
    if call in (Call.SLOWER, Call.WORSE) and value and not bound:
        error = float(seen[told].std()) / math.sqrt(n - 1)
        value *= max(0.0, 1 - (error / value) ** 2)
        method += "; drawn towards equal, since it was stopped for being large"
    found, ends = _interval(logs, below, above, level, looks), None
    if found is None:
        found, ends = (-math.inf, math.inf), (float(below[told].min()), float(above[told].max()))
        method = f"{n} {'seed is' if n == 1 else 'seeds are'} too few for an interval"
    low, high = found
    if call is not None:
        low, high = (max if call in OUT else min)(low, 0.0), max(high, 0.0)
    value = min(max(value, low), high)
    return Difference(value, low, high, n, stopped, bound, 1 - level, method, ends)


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
