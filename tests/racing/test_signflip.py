"""The sequential signed rank: exact by counting, whatever the noise, ties and all."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from slalom.racing.signflip import EARLY, EXACT, chance, decided, limits, ranks, scores

SIZES = st.lists(
    st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0, 3.0, math.inf, math.nan]), min_size=1, max_size=10
)
DIFFERENCES = st.lists(
    st.sampled_from([-math.inf, -1.0, -0.3, 0.0, 0.2, 0.3, 1.0, math.inf, math.nan])
    | st.floats(-3, 3),
    min_size=1,
    max_size=25,
)


@given(SIZES)
def test_ranks_are_those_of_scipy_with_ties_in_the_middle(sizes):
    found = ranks(np.array(sizes))
    for look in range(len(sizes)):
        first = np.array(sizes[: look + 1])
        told = first > 0
        expected = np.zeros(len(sizes))
        if told.any():
            expected[: look + 1][told] = 2 * stats.rankdata(first[told])
        assert (found[look] == expected).all()


@settings(max_examples=40, deadline=None)
@given(SIZES, st.sampled_from([0.04, 0.2, 0.7]), st.sampled_from([5, 10, 50]))
def test_of_all_choices_of_signs_no_more_cross_than_may(sizes, level, looks):
    """Every path is walked here, one by one; the share that ever crosses is spent, and no more."""
    sizes = np.array(sizes)
    limit = np.array(list(limits(sizes, level, looks)))
    signs = np.array(list(itertools.product([-1, 1], repeat=len(sizes))))
    paths = np.abs(signs @ ranks(sizes).T)
    crossed = np.logical_or.accumulate(paths >= limit, axis=1).mean(axis=0)
    shares = np.minimum(1, np.arange(1, len(sizes) + 1) / looks)
    assert (crossed <= level * shares**EARLY + 1e-9).all()


def test_the_limits_are_as_low_as_they_may_be():
    """Where all sizes differ, nearly all of the error is spent, and eight alike decide."""
    sizes = np.arange(1.0, 13)
    signs = np.array(list(itertools.product([-1, 1], repeat=len(sizes))))
    limit = np.array(list(limits(sizes, 0.2, 12)))
    crossed = (np.abs(signs @ ranks(sizes).T) >= limit).any(axis=1).mean()
    assert 0.19 < crossed <= 0.2
    assert decided(np.arange(1.0, 13), 0.04, 50) == (8, 1)
    assert decided(-np.arange(1.0, 13), 0.04, 50) == (8, -1)
    assert decided(np.arange(1.0, 8), 0.04, 50) == (0, 0)


@pytest.mark.parametrize("ties", [False, True])
def test_beyond_what_is_counted_the_error_is_still_spent(ties):
    """Fifty pairs, whose paths are drawn: of others than those drawn, as many cross."""
    generator = np.random.default_rng(1)
    sizes = np.abs(generator.standard_t(2, 50))
    if ties:
        sizes = np.where(sizes > 1, np.inf, np.ceil(sizes * 4) / 4)
        sizes[generator.random(50) < 0.3] = 0
    limit = np.array(list(limits(sizes, 0.05, 50)))
    signs = generator.integers(0, 2, (20_000, 50)) * 2 - 1
    crossed = (np.abs(signs @ ranks(sizes).T) >= limit).any(axis=1).mean()
    assert 0.035 < crossed <= 0.05 + 3 * (0.05 * 0.95 / 8192) ** 0.5


@settings(max_examples=50, deadline=None)
@given(DIFFERENCES, st.integers(1, 25))
def test_what_comes_later_changes_nothing_before(differences, first):
    values = np.array(differences)
    early = list(limits(values[:first], 0.1, 50))
    assert list(limits(values, 0.1, 50))[: len(early)] == early
    when, sign = decided(values[:first], 0.1, 50)
    if when:
        assert decided(values, 0.1, 50) == (when, sign)


def test_the_paths_that_are_drawn_stay_the_same_when_there_are_more():
    values = np.random.default_rng(0).standard_normal(80)
    assert list(limits(values[:30], 0.04, 50)) == list(limits(values, 0.04, 50))[:30]


@settings(max_examples=50, deadline=None)
@given(DIFFERENCES)
def test_names_may_be_swapped_and_differences_stretched(differences):
    values = np.array(differences)
    when, sign = decided(values, 0.3, 20)
    assert decided(-values, 0.3, 20) == (when, -sign)
    stretched = np.sign(values) * np.expm1(np.abs(values))
    assert decided(stretched, 0.3, 20) == (when, sign)
    assert scores(-values) == pytest.approx(-scores(values))
    assert np.isfinite(scores(values)).all()
    assert 0 < chance(values, 20) <= 1


@settings(max_examples=50, deadline=None)
@given(DIFFERENCES, st.floats(0.01, 0.4), st.floats(1.0, 2.0))
def test_a_higher_level_decides_no_later(differences, level, more):
    when, _ = decided(np.array(differences), level, 25)
    sooner, _ = decided(np.array(differences), level * more, 25)
    assert not when or 0 < sooner <= when


def test_the_p_value_is_where_the_test_decides():
    values = np.arange(1.0, 13)
    p = chance(values, 50)
    assert decided(values, p * 1.001, 50)[0]
    assert not decided(values, p * 0.98, 50)[0]
    assert chance(np.array([1.0, -1.0, 1.0]), 50) > 0.5


@pytest.mark.parametrize("level", [0.01, 0.04, 0.2])
def test_a_look_at_the_end_alone_is_the_test_of_wilcoxon(level):
    """All of the error is left for it: it decides where the p-value of a single look does."""
    generator = np.random.default_rng(3)
    outcomes = set()
    for n in (6, 10, 12) * 20:
        values = generator.standard_normal(n) + generator.choice([0.0, 0.5, 1.0])
        p = stats.wilcoxon(values, method="exact").pvalue
        found = decided(values, level, n, n)
        assert (found[0] > 0) == (p <= level + 1e-9)
        assert found[0] in (0, n)
        assert not found[0] or chance(values, n, n) == pytest.approx(max(p, 1e-4), rel=0.03)
        outcomes.add(found)
    assert len(outcomes) > 2


def test_as_many_pairs_as_can_be_counted_are():
    """All alike for as many pairs as are counted: the chance of that is known, 2^(1 - EXACT)."""
    alike = np.ones(EXACT)
    rare = 2.0 ** (1 - EXACT)
    assert np.isfinite(list(limits(alike, rare * 1.01, EXACT))[-1])
    assert list(limits(alike, rare * 0.99, EXACT))[-1] == math.inf
