"""What runs needed: ties, chances, restarts, and what evaluations can tell apart."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slalom.racing.needs import (
    Run,
    at_the_first,
    chance_to_arrive,
    log_ratio,
    one_evaluation_apart,
    runs,
    typical,
    with_restarts,
)


def of(*needs: float | None, cap: float = 100.0, stride: float = 0.0) -> dict[int, Run]:
    return runs(dict(enumerate(needs)), cap, stride)


def test_who_never_arrived_is_slower_than_every_arrival():
    assert log_ratio(Run(20), Run(10)) == pytest.approx(math.log(2))
    assert log_ratio(Run(100, False), Run(99.0)) == math.inf
    assert log_ratio(Run(99.0), Run(100, False)) == -math.inf
    assert math.isnan(log_ratio(Run(100, False), Run(100, False)))


def test_who_was_stopped_before_the_other_arrived_is_not_compared():
    assert math.isnan(log_ratio(Run(50, False), Run(60)))
    assert math.isnan(log_ratio(Run(60), Run(50, False)))
    assert log_ratio(Run(60, False), Run(60)) == math.inf


def test_what_lies_within_an_evaluation_is_a_tie():
    """One is evaluated every 7 steps, the other every 1: the first may have been there at 3."""
    assert log_ratio(Run(7, stride=7), Run(1, stride=1)) == 0
    assert log_ratio(Run(1, stride=1), Run(7, stride=7)) == 0
    assert log_ratio(Run(100, stride=10), Run(95, stride=1)) == 0
    assert log_ratio(Run(100, stride=10), Run(90, stride=1)) > 0
    assert log_ratio(Run(20, stride=10), Run(10, stride=10)) == pytest.approx(math.log(2))
    assert log_ratio(Run(10, stride=10), Run(10, stride=10)) == 0


def test_who_ended_by_itself_is_slower_than_every_arrival():
    """It would never have arrived, however early it ended."""
    ended = Run(5, False, ended=True)
    assert log_ratio(ended, Run(60)) == math.inf
    assert log_ratio(Run(60), ended) == -math.inf
    assert math.isnan(log_ratio(ended, Run(100, False)))
    assert math.isnan(log_ratio(Run(100, False), ended))
    assert math.isnan(log_ratio(ended, ended))


RUN = st.builds(Run, st.floats(0.1, 1e6), st.just(True), st.sampled_from([0.0, 1.0, 10.0]))
RUN |= st.builds(Run, st.floats(0.1, 1e6), st.just(False), ended=st.booleans())


@given(RUN, RUN)
def test_a_ratio_is_turned_round_with_its_names(one, other):
    a, b = log_ratio(one, other), log_ratio(other, one)
    assert a == -b or math.isnan(a + b)


@given(st.floats(0.1, 1e6), st.floats(0.1, 1e6), st.floats(0.1, 10))
def test_equal_ratios_are_equal_in_any_unit(work, other, unit):
    """To the last bit, since they are ranked."""
    one = log_ratio(Run(work), Run(other))
    assert abs(one - log_ratio(Run(work * unit), Run(other * unit))) <= 1.1e-12
    assert log_ratio(Run(30.0), Run(21.0)) == log_ratio(Run(3e5 / 7), Run(21e4 / 7))


@pytest.mark.parametrize("work", [0, -1, math.inf, math.nan])
def test_work_is_a_number_above_0(work):
    with pytest.raises(ValueError, match="finite and above 0"):
        Run(work)


def test_the_chance_to_arrive_has_wilsons_interval():
    """By hand: 8 of 10, z = 1.95996: (0.8 + 0.19207) / 1.38415 -+ 0.22667."""
    found = chance_to_arrive(of(*[10] * 8, None, None))
    assert (found.arrived, found.seeds, found.value) == (8, 10, 0.8)
    assert found.low == pytest.approx(0.4902, abs=1e-4)
    assert found.high == pytest.approx(0.9433, abs=1e-4)
    assert str(found) == "8 of 10 (49% to 94%)"


@given(st.integers(0, 60), st.integers(0, 60))
def test_a_chance_lies_within_its_interval(arrived, missed):
    found = chance_to_arrive(of(*[10] * arrived, *[None] * missed))
    assert 0 <= found.low <= found.value <= found.high <= 1
    more = chance_to_arrive(of(*[10] * (arrived + 1), *[None] * missed))
    assert more.low >= found.low
    assert (found.low == 0) == (arrived == 0)
    assert (found.high == 1) == (missed == 0)
    assert found.high - found.low < 1 or arrived + missed == 0


def test_none_of_many_leaves_the_chance_open_to_nothing():
    for n in range(1, 200):
        assert chance_to_arrive(of(*[None] * n)).low == 0
        assert chance_to_arrive(of(*[10] * n)).high == 1


def test_restarts_pay_for_the_runs_that_failed():
    assert with_restarts(of(20, None, 40, None, cap=100)) == (20 + 100 + 40 + 100) / 2
    assert with_restarts(of(20, 40)) == 30
    assert with_restarts(of(None, None)) == math.inf


def test_what_is_typical_counts_those_that_never_arrived():
    assert typical(of(10, 40)) == pytest.approx(20)
    assert typical(of(1, 2, None)) == 2
    assert typical(of(1, None, None)) == math.inf
    assert typical({}) == math.inf


def test_what_was_reached_at_the_first_evaluation_is_told():
    assert at_the_first(of(10, 10, 20, stride=10))
    assert not at_the_first(of(10, 20, 20, stride=10))
    assert not at_the_first(of(None, stride=10))


def test_finalists_within_one_evaluation_are_told():
    near = of(50, 60, 70, stride=10)
    assert one_evaluation_apart([near, of(60, 60, 200, stride=10)])
    assert not one_evaluation_apart([near, of(80, 90, 70, stride=10)])
    assert not one_evaluation_apart([near, of(None, None, 70, stride=10)])
    assert not one_evaluation_apart([of(None, None, stride=10)] * 2)
    assert not one_evaluation_apart([near, near, of(90, 90, 90, stride=10)])
    assert not one_evaluation_apart([near])
    assert not one_evaluation_apart([near, {}])
    assert one_evaluation_apart([of(50, stride=10), of(80, stride=40)])
