"""What a claim is: a sentence of the field, an experiment, what it found, with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from inspect import getdoc

import numpy as np
from scipy import stats

LEVEL = 0.95
"""Of every interval, that of a comparison of speed among others."""


class Call(StrEnum):
    """What becomes of a claim."""

    HOLDS = "holds"
    ONLY_WHEN = "holds only when"
    FAILS = "does not hold"


@dataclass(frozen=True)
class Figure:
    """A number with its interval.

    Attributes:
        what: it is of.
        value: it.
        low, high: the ends of the interval of :data:`LEVEL`; equal to the value where it is a
            count or an exact result.
    """

    what: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return shown(self.value)
        return f"{shown(self.value)} ({shown(self.low)} to {shown(self.high)})"


@dataclass(frozen=True)
class Finding:
    """What an experiment found.

    Attributes:
        call: whether the claim holds.
        says: when it does and when not, in a sentence or two.
        figures: what that rests on.
    """

    call: Call
    says: str
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Claim:
    """A claim and its experiment.

    Attributes:
        name: of the function that measures it, with dashes.
        text: the claim, as the field says it.
        experiment: what is done, and what would count as holding.
        measure: what does it; quickly and roughly if asked to.
    """

    name: str
    text: str
    experiment: str
    measure: Callable[[bool], Finding]


claims: dict[str, Claim] = {}
"""Name -> claim, of the modules that were imported so far."""


def claim(text: str) -> Callable[[Callable[[bool], Finding]], Callable[[bool], Finding]]:
    """Mark a function ``quick -> Finding`` as the experiment of a claim; its docstring tells it."""

    def marked(measure: Callable[[bool], Finding]) -> Callable[[bool], Finding]:
        name = measure.__name__.replace("_", "-")
        claims[name] = Claim(name, text, " ".join((getdoc(measure) or "").split()), measure)
        return measure

    return marked


def when(holds: bool, otherwise: Call = Call.FAILS) -> Call:
    """The call of a claim whose condition was met, or was not."""
    return Call.HOLDS if holds else otherwise


def mean(what: str, values: Sequence[float]) -> Figure:
    """The mean of independent values, by Student's t; the value alone where there is but one."""
    middle = float(np.mean(values))
    half = _half(values)
    return Figure(what, middle, middle - half, middle + half)


def times(what: str, more: Sequence[float], less: Sequence[float]) -> Figure:
    """How many times the one is the other, pair by pair: the geometric mean, by Student's t."""
    logs = [math.log(a / b) for a, b in zip(more, less, strict=True)]
    middle, half = float(np.mean(logs)), _half(logs)
    return Figure(what, *(math.exp(v) for v in (middle, middle - half, middle + half)))


def share(what: str, hits: int, of: int) -> Figure:
    """A share of independent trials, by Clopper and Pearson."""
    ends = stats.binomtest(hits, of).proportion_ci(LEVEL)
    return Figure(what, hits / of, float(ends.low), float(ends.high))


def exact(what: str, value: float) -> Figure:
    """A number that chance has no part in."""
    return Figure(what, float(value), float(value), float(value))


def exponent(what: str, x: Sequence[float], rows: Sequence[Sequence[float]]) -> Figure:
    """p where each row goes as ``x**p``, by least squares in logarithms; a row is a trial."""
    slopes = [float(np.polyfit(np.log(x), np.log(row), 1)[0]) for row in rows]
    return mean(what, slopes)


def shown(value: float) -> str:
    """A number as people read it: three digits, no powers of ten where it can do without."""
    if not math.isfinite(value):
        return "never" if value > 0 else str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:.1e}"


def _half(values: Sequence[float]) -> float:
    n = len(values)
    if n < 2:
        return 0.0
    return float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
