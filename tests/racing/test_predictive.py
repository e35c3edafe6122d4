"""How likely an equal looks so far behind: against drawing equals, and at its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slalom.racing.needs import Run
from slalom.racing.predictive import ARRIVED, MISSED, SPREAD, SPREAD_RUNS, as_far

FAR = math.log(1.5)


def drawn(differences: np.ndarray, runs: list[list[Run]], draws: int = 200_000) -> float:
    """The same by drawing spread and share from what they may be, and equals by these."""
    rng = np.random.default_rng(0)
    logs = [np.log([r.work for r in own if r.arrived]) for own in runs]
    freedom = SPREAD_RUNS + sum(len(w) - 1 for w in logs)
    squares = SPREAD_RUNS * SPREAD**2 + sum(float(((w - w.mean()) ** 2).sum()) for w in logs)
    spread = np.sqrt(squares / rng.chisquare(freedom, draws))
    arrived = sum(map(len, logs))
    missed = sum(map(len, runs)) - arrived
    miss = rng.beta(MISSED + missed, ARRIVED + arrived, draws)
    total = np.zeros(draws)
    for _ in differences:
        apart = spread * rng.standard_normal((2, draws)) * [[1], [-1]]
        apart = np.clip(apart.sum(0), -FAR, FAR)
        kind, alone = rng.random(draws), miss / (1 + miss)
        apart = np.where(kind < alone, FAR, np.where(kind > 1 - alone, -FAR, apart))
        total += apart
    return float((total >= np.clip(differences, -FAR, FAR).sum() - 1e-9).mean())


@pytest.mark.parametrize(
    ("differences", "near", "missed"),
    [
        ([math.inf] * 3, [[100, 110, 90]], 0),
        ([math.inf] * 3, [[100, 130, 90], [120, 80, 110]], 0),
        ([0.3, 0.25, 0.35, 0.2, 0.28], [[100, 105, 98, 102, 95]], 0),
        ([math.inf, 0.2, math.inf, 0.1], [[100, 105, 98, 102]], 1),
    ],
)
def test_the_chance_is_that_of_drawn_equals(differences, near, missed):
    """Never much less: the grid rounds down what is to be reached."""
    runs = [[*map(Run, works), *[Run(50.0, False)] * missed] for works in near]
    expected = drawn(np.array(differences), runs)
    assert 0.85 * expected - 1e-4 <= as_far(np.array(differences), FAR, runs) <= 1.6 * expected


def test_more_seeds_or_less_noise_make_it_less_likely():
    calm, loud = ([[Run(100.0 * f) for f in fs]] for fs in ((1, 1.02, 0.98), (1, 1.5, 0.7)))
    far = [as_far(np.full(n, math.inf), FAR, calm) for n in (3, 4, 6)]
    assert far[0] > far[1] > far[2] > 0
    assert as_far(np.full(4, math.inf), FAR, loud) > far[1]
    assert as_far(np.full(4, 0.3), FAR, calm) > far[1]


def test_what_is_near_or_the_other_way_is_no_sign_of_it():
    runs = [[Run(100.0)] * 3]
    for differences in ([], [0.0] * 3, [-math.inf] * 3, [0.05, -0.05, 0.02]):
        assert as_far(np.array(differences, float), FAR, runs) == 1


def test_runs_that_miss_make_it_likelier():
    sure, now_and_then = [[Run(100.0)] * 6], [[Run(100.0)] * 3 + [Run(150.0, False)] * 3]
    never = np.full(4, math.inf)
    assert as_far(never, FAR, now_and_then) > 5 * as_far(never, FAR, sure)


def test_without_a_run_that_arrived_the_expectation_alone_tells():
    assert 0 < as_far(np.full(3, math.inf), FAR, [[]]) < 0.1
