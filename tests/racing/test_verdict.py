"""Ratios and their intervals: what they are by hand, and that they keep their level."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slalom.racing.verdict import ratio, typical


def test_the_ratio_is_the_geometric_mean_of_the_pairs():
    found = ratio([20, 40, 90, 80], [10, 10, 30, 40])
    assert found.value == pytest.approx((2 * 4 * 3 * 2) ** 0.25)
    assert found.low < found.value < found.high
    assert found.seeds == 4
    assert "bootstrap-t" in found.method


def test_the_same_on_every_seed_needs_no_interval():
    found = ratio([20, 40, 60], [10, 20, 30])
    assert (found.value, found.low, found.high) == (
        pytest.approx(2),
        pytest.approx(2),
        pytest.approx(2),
    )
    assert found.decided
    assert not ratio([5, 5, 5], [5, 5, 5]).decided


def test_who_never_arrives_is_not_counted_as_the_cap():
    """Censored runs lie beyond every ratio; the median does not ask how far."""
    slow, fast = [None, None, 30, None, 24, None, 26], [10] * 7
    found = ratio(slow, fast)
    assert found.value == math.inf
    assert found.low > 2
    assert found.decided
    assert "censored" in found.method
    mirrored = ratio(fast, slow)
    assert mirrored.value == 0
    assert mirrored.high < 0.5
    some = ratio([20, None, 30, 22, 24, 28, 26], [10] * 7)
    assert some.value == pytest.approx(2.6)


def test_a_pair_of_which_neither_arrives_says_nothing():
    assert ratio([None, 20, 30, 40], [None, 10, 10, 10]).seeds == 3
    nothing = ratio([None, None], [None, None])
    assert (nothing.value, nothing.decided) == (1.0, False)


def test_few_seeds_decide_nothing():
    assert not ratio([100, 100], [1, 1]).decided


@pytest.mark.parametrize("n", [10, 30])
def test_equal_entrants_are_told_apart_in_one_of_twenty(n):
    """The level of the interval, by simulation: two entrants of the same spread."""
    generator = np.random.default_rng(0)
    wrong = sum(
        ratio(*np.exp(generator.normal(5, 0.3, (2, n))), seed=i).decided for i in range(400)
    )
    assert wrong <= 400 * 0.05 + 3 * (400 * 0.05 * 0.95) ** 0.5


def test_a_difference_of_a_third_is_found():
    generator = np.random.default_rng(1)
    found = 0
    for i in range(100):
        fast = np.exp(generator.normal(5, 0.2, 30))
        slow = 1.3 * np.exp(generator.normal(5, 0.2, 30))
        found += ratio(slow, fast, seed=i).low > 1
    assert found >= 90


def test_what_is_typical_counts_those_that_never_arrived():
    assert typical([10, 40]) == pytest.approx(20)
    assert typical([1, 2, None]) == 2
    assert typical([1, None, None]) == math.inf
    assert typical([]) == math.inf
