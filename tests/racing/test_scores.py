"""The judge at the end of a budget: differences of the metric, by the same test as ratios."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from slalom.racing.design import AtTheEnd, Call, judged_by
from slalom.racing.estimate import difference as told
from slalom.racing.estimate import estimates
from slalom.racing.scores import Score, difference, luck
from slalom.racing.sequential import judge
from slalom.racing.signflip import decided

NONE = Score(math.nan, 1)


def scores(*values: float) -> dict[int, Score]:
    return {seed: Score(value, 100) for seed, value in enumerate(values)}


def test_who_has_no_metric_is_worse_than_everybody_who_has() -> None:
    assert difference(Score(0.5, 1), Score(0.2, 1)) == pytest.approx(0.3)
    assert difference(Score(0.2, 1), Score(0.5, 1)) == pytest.approx(-0.3)
    assert difference(NONE, Score(9.0, 1)) == math.inf
    assert difference(Score(9.0, 1), NONE) == -math.inf
    assert math.isnan(difference(NONE, NONE))


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=12))
def test_being_far_behind_is_students_test(gaps: list[float]) -> None:
    gaps = [round(g, 3) for g in gaps]
    found = luck(np.array(gaps), scores(*range(len(gaps))).values())
    if np.mean(gaps) > 0:
        step = min(abs(a - b) for a in [0.0, *gaps] for b in gaps if a != b)
        spread = math.sqrt((np.var(gaps, ddof=1) + step**2 / 6) / len(gaps))
        p = stats.t.sf(np.mean(gaps) / spread, len(gaps) - 1)
        assert found == pytest.approx(min(1, 2 * p), rel=1e-6)
        if np.std(gaps) > 10 * step:  # as if nothing had been rounded
            bare = stats.ttest_1samp(gaps, 0, alternative="greater").pvalue
            assert found == pytest.approx(min(1, 2 * bare), rel=0.05)
    elif np.mean(gaps) <= 0:
        assert found == 1


def test_the_test_of_a_pair_is_the_sign_flip_test_of_its_differences() -> None:
    rng = np.random.default_rng(0)
    better, worse = rng.normal(0, 1, 30), rng.normal(0.9, 1, 30)
    finals = {"a": scores(*better), "b": scores(*worse)}
    design = AtTheEnd(seeds=30, luck=1e-9, hope=1e-9)
    found = judge(finals, design)
    when, sign = decided(np.round(worse - better, 12), design.error, design.seeds)
    assert sign == 1
    assert (found.leader, found.winner, found.seeds) == ("a", "a", when)
    assert found.findings["b"].call == Call.WORSE


@settings(max_examples=20)
@given(st.floats(-100, 100), st.integers(1, 1000))
def test_the_judge_knows_no_zero(shift: float, seed: int) -> None:
    """Where the metric's zero lies does not matter; its unit does not either."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal([[0], [0.5], [1]], 1, (3, 8)), 3)
    names = "abc"
    one = judge(dict(zip(names, (scores(*v) for v in values), strict=True)), AtTheEnd())
    moved = np.round(4 * values + round(shift), 3)
    two = judge(dict(zip(names, (scores(*v) for v in moved), strict=True)), AtTheEnd())
    assert (one.leader, one.seeds, one.running) == (two.leader, two.seeds, two.running)
    assert {n: f.call for n, f in one.findings.items()} == {
        n: f.call for n, f in two.findings.items()
    }


def test_gross_differences_take_three_seeds_and_lost_runs_four() -> None:
    first = scores(-0.95, -0.96, -0.94, -0.95, -0.95)
    behind = scores(-0.5, -0.52, -0.49, -0.5, -0.51)
    found = judge({"a": first, "b": behind}, AtTheEnd())
    assert (found.seeds, found.winner, found.findings["b"].call) == (3, "a", Call.BEHIND)
    lost = dict.fromkeys(range(5), NONE)
    found = judge({"a": first, "b": lost}, AtTheEnd())
    assert (found.winner, found.findings["b"].call) == ("a", Call.BEHIND)
    assert found.seeds <= 5
    assert judge({"a": lost, "b": dict(lost)}, AtTheEnd(patience=2)).leader is None


def test_equal_differences_of_a_coarse_metric_are_no_proof() -> None:
    """Three equal differences have no spread, and say little; nine of them say enough."""
    better, worse = [0.5] * 9, [0.6] * 9
    for seeds, call in ((3, Call.UNDECIDED), (9, Call.BEHIND)):
        finals = {"a": scores(*better[:seeds]), "b": scores(*worse[:seeds])}
        assert judge(finals, AtTheEnd(error=1e-9)).findings["b"].call == call


def test_rivals_share_what_luck_there_is() -> None:
    gaps = np.array([1.0, 1.1, 0.9, 1.05, 0.97])
    leader = scores(*[0.0] * 5)
    level = luck(gaps, leader.values()) / (6 / (math.pi * 3) ** 2)  # at the third look
    for rivals, call in ((1, Call.BEHIND), (2, Call.UNDECIDED)):
        finals = {"a": leader} | {f"b{i}": scores(*gaps) for i in range(rivals)}
        found = judge(finals, AtTheEnd(error=1e-9, luck=1.5 * level))
        assert {f.call for f in found.findings.values()} == {call}


def test_equals_are_seldom_told_apart() -> None:
    """Both ways to be out together, in 150 finals of three equals: five in a hundred are meant."""
    rng = np.random.default_rng(1)
    design = AtTheEnd(seeds=12)
    wrong = 0
    for _ in range(150):
        finals = {n: scores(*rng.normal(0, 1, 12)) for n in "abc"}
        found = judge(finals, design)
        wrong += any(f.call in (Call.WORSE, Call.BEHIND) for f in found.findings.values())
    assert wrong <= 150 * 0.05 + 2.6 * math.sqrt(150 * 0.05)


def test_the_interval_holds_the_true_difference() -> None:
    """Of 200, of skewed noise, at a level of 4%."""
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        better, worse = rng.exponential(1, 12), 0.7 + rng.exponential(1, 12)
        found = told(scores(*worse), scores(*better), 0.04, 12)
        assert found.low <= found.value <= found.high
        assert np.median(worse - better) == pytest.approx(found.value, abs=1.0)
        held += found.low <= 0.7 <= found.high
    assert held >= 200 * 0.96 - 2.6 * math.sqrt(200 * 0.04)


def test_what_lost_runs_leave_open_is_said_so() -> None:
    better = scores(*[0.1] * 9)
    worse = {**scores(*[0.3] * 9), 0: NONE}
    found = told(worse, better, 0.04, 50)
    assert (found.stopped, found.seeds) == (1, 9)
    assert found.high >= 0.2
    found = told(dict.fromkeys(range(9), NONE), better, 0.04, 50)
    assert found.high == math.inf
    assert str(found) == "at least 0 (0 or more)"
    with pytest.raises(ValueError, match="no seed in common"):
        told(worse, {99: NONE}, 0.04, 50)


def test_which_judge_a_race_has() -> None:
    assert not isinstance(judged_by(5, None, full=False), AtTheEnd)
    design = judged_by(5, "10 epochs", full=False)
    assert isinstance(design, AtTheEnd)
    assert design.seeds == 5
    finals = {"a": scores(0.0, 0.1, 0.2), "b": scores(0.5, 0.4, 0.9)}
    found = estimates(finals, judge(finals, design), design)["b"]
    assert str(found) == "0.5 (0.3 to 0.7 seen)"
