"""How likely an equal looks so far behind: what runs of this race show, and the bank's while they
are few."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, roots_genlaguerre, roots_jacobi

from slalom.racing.needs import Run
from slalom.racing.signflip import Array

SPREAD, SPREAD_RUNS = 0.2, 3.0
"""The standard deviation of the logarithm of what runs need, and how many degrees of freedom that
counts as: about what the settings that win on the tasks of ``benchmarks/bank`` show."""

MISSED, ARRIVED = 0.5, 1.5
"""Runs that did not arrive, and did, that are counted before there are any."""

LEAST = 0.1
"""Of the standard deviation of a difference; evaluations are not so near as to show less."""

CELLS = 10
"""Into which the differences from none to a far one are divided."""

BEYOND = 1.5
"""Standard errors of the mean of the differences, within which no chance is reckoned."""


def as_far(differences: Array, far: float, runs: Sequence[Sequence[Run]]) -> float:
    """The chance that an equal of the leader has such differences, or larger in the sum.

    As if the logarithms of what equals need were normal, and each run arrived or not by itself. Of
    the spread and of the share that arrives only the runs tell, and before them an expectation; so
    the chance is the mean over what these may be (a posterior predictive p-value; Rubin 1984): the
    precision has a Gamma distribution, as in the moderated t (Smyth 2004), the share a Beta.
    Both means are sums over Gauss nodes, and the sum of the differences is convolved on a grid.

    Args:
        differences: (seeds,), logarithms of ratios, none NaN; beyond ``far`` all count alike.
        far: above 0.
        runs: of the leader and of those near it, each rule's by itself.

    Returns:
        1 where the differences are plainly nothing.
    """
    n, clipped = len(differences), np.clip(differences, -far, far)
    works = [np.log([r.work for r in own if r.arrived]) for own in runs]
    freedom = SPREAD_RUNS + sum(max(0, len(w) - 1) for w in works)
    squares = SPREAD_RUNS * SPREAD**2 + sum(float(np.var(w)) * len(w) for w in works if len(w))
    spread = max(LEAST, math.sqrt(2 * squares / freedom))
    if n == 0 or clipped.mean() * math.sqrt(n) < BEYOND * spread:
        return 1.0
    arrived = sum(map(len, works))
    missed = sum(map(len, runs)) - arrived
    precision, weight = _gamma(freedom)
    misses, share = _beta(MISSED + missed, ARRIVED + arrived)
    edges = np.arange(-CELLS + 0.5, CELLS) / CELLS * far
    below = ndtr(edges * np.sqrt(precision)[:, None] / spread)
    ends = np.zeros((len(precision), 1)), np.ones((len(precision), 1))
    cells = np.diff(np.concatenate([ends[0], below, ends[1]], axis=1))
    # of a pair of which one arrived at least, the chance that the first alone did
    alone = (misses / (1 + misses))[:, None, None]
    chances = (1 - 2 * alone) * cells
    chances[..., [0, -1]] += alone
    length = 1 << (2 * CELLS * n + 1).bit_length()
    sums = np.fft.irfft(np.fft.rfft(chances, length) ** n, length)
    # rounded down: never less likely than it is
    first = math.floor(float(clipped.sum()) / far * CELLS + 1e-6) + CELLS * n
    tails = sums[..., first : 2 * CELLS * n + 1].sum(-1)
    return float(np.clip(share @ tails @ weight, 0.0, 1.0))


@lru_cache(maxsize=1024)
def _gamma(freedom: float) -> tuple[Array, Array]:
    """Nodes and weights of a Gamma distribution of so many degrees of freedom and mean 1."""
    nodes, weights = roots_genlaguerre(4, freedom / 2 - 1)
    return nodes * 2 / freedom, weights / weights.sum()


@lru_cache(maxsize=1024)
def _beta(a: float, b: float) -> tuple[Array, Array]:
    """Nodes and weights of a Beta distribution."""
    nodes, weights = roots_jacobi(3, b - 1, a - 1)
    return (1 + nodes) / 2, weights / weights.sum()
