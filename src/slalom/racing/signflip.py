"""The signed rank test by sign flips, looked at after every pair: exact, ties and all.

Under the hypothesis that two entrants need the same, what each of them needs on a seed could as
well be what the other does: given the sizes of the differences, their signs are fair coins. So the
signed rank (Wilcoxon 1945) has a known distribution, whatever the noise, and so has its whole path
from the first pair to the last. The chance of ever crossing is spent over the looks (Lan & DeMets
1983) on that very path: at each look the limit is the lowest that lets the paths which cross it,
or crossed before, be no more than may have been spent by then.

Paths are counted, not approximated: all of them while no more than ``EXACT`` pairs differ, and
``FLIPS`` drawn once and for all beyond.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EXACT = 14
"""Pairs up to which every choice of signs is counted."""

FLIPS = 2 ** (EXACT - 1)
"""Paths that are counted; their mirror images cross where they do, and need no counting."""

EARLY = 0.8
"""The power of the share of looks made by which the error is spent: below 1, sooner than evenly."""

AHEAD = 10
"""Looks for which paths are reckoned at once."""

SMALL = 0.9
"""A score below this share of what a single look would ask for decides nothing, and no paths are
counted for it. With few pairs the most that there can be lies a little below the normal limit."""


def ranks(sizes: Array) -> Array:
    """Twice the rank of each size among those up to each look, ties in the middle.

    Args:
        sizes: (pairs,), of differences, at least 0 and possibly infinite; 0 or NaN for a pair that
            tells nothing, which has rank 0.

    Returns:
        (looks, pairs), as many looks as pairs: in row k the ranks among the first k + 1 pairs, and
        0 for later ones. Doubled, they are whole numbers.
    """
    told = sizes > 0
    below = (sizes[:, None] > sizes) & told
    level = (sizes[:, None] == sizes) & told
    found = np.cumsum(2 * below + level, axis=1).T + 1
    return np.where(np.tri(len(sizes), dtype=bool) & told, found, 0).astype(float)


def scores(differences: Array) -> Array:
    """The signed rank at each look, over its standard deviation under fair signs; 0 where all tie.

    Args:
        differences: (pairs,), infinite where one never arrived, 0 or NaN where nothing is told.
    """
    r = ranks(np.abs(differences))
    spread = np.sqrt((r * r).sum(1))
    return r @ np.nan_to_num(np.sign(differences)) / np.where(spread > 0, spread, 1)


def limits(differences: Array, level: float, looks: int, first: int = 1) -> Iterator[float]:
    """How large twice the signed rank must be at each look to be told from chance.

    Args:
        differences: (pairs,); only their sizes matter, and those of later pairs not at all.
        level: the chance that the size of the signed rank ever comes to its limit, under fair
            signs, both directions and all looks together.
        looks: over how many the level is spent.
        first: the look before which nothing is spent; ``looks`` for a test at the end alone.

    Yields:
        for each look, infinite where no signed rank would do yet.
    """
    telling = np.abs(differences) > 0
    columns = ranks(np.abs(differences))[:, telling].astype(np.float32)
    signs = _signs(64 * (len(differences) // 64 + 1))[: columns.shape[1]]
    crossed, spent = np.zeros(FLIPS, bool), 0
    for look in range(len(columns)):
        if look % AHEAD == 0:
            # not by BLAS, whose threads take turns waiting where other processes hold the cores
            reached = np.abs(np.einsum("lp,pf->lf", columns[look : look + AHEAD], signs))
        here = reached[look % AHEAD]
        here[crossed] = 0
        share = min(1.0, (look + 1) / looks) ** EARLY if look + 1 >= first else 0.0
        may = int(level * share * FLIPS + 1e-9) - spent
        if may < 1:
            yield math.inf
            continue
        # strictly beyond the first that may not cross; signed ranks are whole numbers
        stay = FLIPS - may - 1
        limit = 1.0 + (float(np.partition(here, stay)[stay]) if stay >= 0 else 0.0)
        crossed |= here >= limit
        spent = int(crossed.sum())
        yield limit


def decided(differences: Array, level: float, looks: int, first: int = 1) -> tuple[int, int]:
    """(pairs, sign): how many pairs had been seen when the test decided, and for which sign.

    (0, 0) while it has not decided.
    """
    z = scores(differences)
    large = np.abs(z) > SMALL * NormalDist().inv_cdf(1 - level / 2)
    if not large.any():
        return 0, 0
    signed = ranks(np.abs(differences)) @ np.nan_to_num(np.sign(differences))
    for look, limit in enumerate(limits(differences, level, looks, first)):
        if abs(signed[look]) >= limit and large[look]:
            return look + 1, int(np.sign(signed[look]))
    return 0, 0


def chance(differences: Array, looks: int, first: int = 1, *, finest: float = 1e-4) -> float:
    """The p-value after all looks: the lowest level at which the test would have decided by now.

    At least ``finest``; 1 where no level would do. Valid whenever one stops: under fair signs it
    comes below any p with a chance of p at most, however often one looks.
    """
    low, high = math.log(finest), 0.0
    for _ in range(10):  # to 1%
        middle = (low + high) / 2
        if decided(differences, math.exp(middle), looks, first)[0]:
            high = middle
        else:
            low = middle
    return math.exp(high)


@lru_cache(maxsize=8)
def _signs(pairs: int) -> NDArray[np.float32]:
    """(pairs, FLIPS): every choice of 1 and -1 for the first ``EXACT`` pairs, drawn for more.

    The first is always 1, since a mirrored path comes as far.
    """
    exact = np.roll(np.arange(FLIPS) >> np.arange(EXACT)[:, None] & 1, 1, axis=0)
    drawn = np.random.default_rng(EXACT).integers(0, 2, (pairs - EXACT, FLIPS))
    return (1 - 2 * np.concatenate([exact, drawn])).astype(np.float32)
