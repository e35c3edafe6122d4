"""What runs have come to at the end of a budget: the counterpart of what they need to a target."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, variance

import numpy as np
from scipy.special import bdtrc, stdtr


@dataclass(frozen=True)
class Score:
    """A run on one seed at the end of a budget.

    Attributes:
        value: the metric there, with the sign by which less is better; NaN if there is none.
        work: that was done until then.
    """

    value: float
    work: float

    arrived = False
    """No run is stopped because another has arrived."""

    @property
    def told(self) -> bool:
        """Whether the run got to its end with a metric that is a number."""
        return math.isfinite(self.value)


def difference(worse: Score, better: Score) -> float:
    """How much worse the metric of one run is than that of another.

    Infinite where one has none, since it diverged or failed; NaN where neither has one.
    """
    if worse.told and better.told:
        # equal differences are to be equal, whoever is the better
        return round(worse.value - better.value, 12)
    if worse.told or better.told:
        return math.inf if better.told else -math.inf
    return math.nan


def luck(differences: np.ndarray, leader: Iterable[Score]) -> float:
    """The chance that an equal of the leader looks as far behind it as this one does.

    By Student's t of the pairs in which both came to an end, as if their differences were normal
    numbers that were rounded to multiples of the least step between them: an accuracy over few
    samples has equal differences by chance. And by how often one comes to none, at the rate at
    which the leader does. The lower of the two, doubled.

    Args:
        differences: (seeds,), of which none is NaN.
        leader: its runs.
    """
    both = differences[np.isfinite(differences)]
    chances = [1.0]
    if len(both) == len(differences) > 1 and both.mean() > 0:
        step = float(np.diff(np.unique([0.0, *both])).min())
        error = math.sqrt((variance(both) + step**2 / 6) / len(both))  # of two rounded values each
        chances.append(float(stdtr(len(both) - 1, -fmean(both) / error)))
    runs = list(leader)
    missed = sum(not r.told for r in runs)
    chance = (missed + 1.0) / (len(runs) + 1.5)  # a miss that was not seen, as of those who arrive
    lost = int((differences == math.inf).sum())
    if lost:
        chances.append(float(bdtrc(lost - 1, len(differences), min(1.0, chance))))
    return min(1.0, 2 * min(chances))
