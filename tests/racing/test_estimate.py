"""Ratios to be told: what they are by hand, never NaN, and true when one has stopped early."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slalom.racing.design import Call
from slalom.racing.estimate import Estimate, estimate, estimates
from slalom.racing.needs import Run, runs
from slalom.racing.sequential import judge

RUN = st.builds(Run, st.integers(1, 99) | st.floats(1e-3, 99)) | st.just(Run(100, False))
RUN |= st.builds(Run, st.floats(1e-3, 99), st.just(False), ended=st.booleans())
PAIRS = st.lists(st.tuples(RUN, RUN), min_size=1, max_size=20)


def of(*needs: float | None, cap: float = 100.0) -> dict[int, Run]:
    return runs(dict(enumerate(needs)), cap)


def told(slow: dict[int, Run], fast: dict[int, Run], level: float = 0.04) -> Estimate:
    return estimate(slow, fast, level, 50)


def test_the_value_is_the_median_of_all_means():
    """Logs base 2: 0, 1, 3. Their means: 0, .5, 1, 1.5, 2, 3, of which the median is 1.25."""
    found = told(of(10, 20, 80), of(10, 10, 10))
    assert found.value == pytest.approx(2**1.25)
    assert (found.low, found.high, found.level) == (0, math.inf, 0.96)
    assert found.seen == (pytest.approx(1), pytest.approx(8))
    assert str(found) == "2.38 (1.00 to 8.00 seen)"
    assert found.method == "3 seeds are too few for an interval"


def test_eight_alike_are_the_first_to_have_an_interval_of_the_test():
    """Eight that agree decide at 0.04; so the interval is the range of what was seen."""
    slow = [20, 22, 24, 26, 28, 30, 32, 34]
    found = told(of(*slow), of(*[10] * 8))
    assert (found.low, found.high) == (pytest.approx(2), pytest.approx(3.4))
    assert found.level == 0.96
    assert found.bound == ""
    seven = told(of(*slow[:7]), of(*[10] * 7))
    assert (seven.low, seven.high, seven.seen) == (
        0,
        math.inf,
        (pytest.approx(2), pytest.approx(3.2)),
    )


def test_one_look_at_all_seeds_leaves_the_whole_error_for_it():
    """Ten pairs, one look at 0.04: what Wilcoxon's test does not reject, by its tables (8th and
    48th of the 55 means), and so narrower than after ten looks of fifty."""
    logs = np.random.default_rng(0).normal(0.2, 0.3, 10)
    means = np.sort([(x + y) / 2 for i, x in enumerate(logs) for y in logs[i:]])
    slow, fast = of(*10 * np.exp(logs)), of(*[10] * 10)
    found = estimate(slow, fast, 0.04, 10, 10)
    assert np.log([found.low, found.high]) == pytest.approx([means[7], means[47]])
    assert found.method == "signed rank over 10 seeds, paired"
    sooner = told(slow, fast)
    assert sooner.low < found.low < found.high < sooner.high


def test_more_pairs_make_it_narrower():
    generator = np.random.default_rng(0)
    ratios = 1.3 * np.exp(generator.normal(0, 0.3, 40))
    found = told(of(*10 * ratios), of(*[10] * 40))
    assert ratios.min() < 1 < found.low < 1.3 < found.high < 1.6 < ratios.max()


def test_who_was_found_slower_is_not_told_to_be_perhaps_faster():
    """Stopped runs are known to be slower, and not by how much: the test asks for no more."""
    slow = {s: Run(20, False) if s < 14 else Run(20) for s in range(16)}
    fast = of(*[20] * 14, 25, 25)
    assert told(slow, fast).low < 1
    assert judge({"slow": slow, "fast": fast}).winner == "fast"
    assert estimate(slow, fast, 0.04, 50, call=Call.SLOWER).low == 1


def test_the_same_on_every_seed_is_told_as_it_is():
    found = told(of(*[40] * 10), of(*[20] * 10))
    assert str(found) == "2.00 (2.00 to 2.00)"
    same = told(of(*[40] * 10), of(*[40] * 10))
    assert str(same) == "1.00 (1.00 to 1.00)"


def test_stopped_runs_bound_the_value_and_leave_the_interval_open():
    found = told(of(*[None] * 10), of(*[20] * 10))
    assert (found.value, found.bound, found.stopped) == (pytest.approx(5), "at least", 10)
    assert (found.low, found.high) == (pytest.approx(5), math.inf)
    assert str(found) == "at least 5.00 (5.00 or more)"
    turned = told(of(*[20] * 10), of(*[None] * 10))
    assert (turned.value, turned.bound) == (pytest.approx(0.2), "at most")
    assert (turned.low, turned.high) == (0, pytest.approx(0.2))


def test_a_run_that_ended_by_itself_needs_at_least_as_much():
    """After 5 where the other took 20 it had needed no less; after 50, at least 2.5 times."""
    early, late = ({s: Run(w, False, ended=True) for s in range(10)} for w in (5, 50))
    fast = of(*[20] * 10)
    assert str(told(early, fast)) == "at least 1.00 (1.00 or more)"
    assert str(told(fast, early)) == "at most 1.00 (1.00 or less)"
    assert str(told(late, fast)) == "at least 2.50 (2.50 or more)"
    assert told(early, fast).stopped == 10


def test_few_stopped_runs_do_not_change_the_value():
    """One of nine lies beyond all others anyway, and the median does not ask how far."""
    found = told(of(*[20] * 8, None), of(*[10] * 9))
    assert (found.value, found.bound, found.stopped) == (pytest.approx(2), "", 1)


def test_one_arrives_where_the_other_does_not():
    """Each on five seeds, never on the same one: nothing is known of their ratio but that."""
    found = told(of(*[None, 10] * 5), of(*[10, None] * 5))
    assert (found.value, found.bound) == (pytest.approx(1), "about")
    assert (found.low, found.high) == (0, math.inf)


def test_pairs_of_which_nobody_arrived_are_left_out():
    found = told(of(None, 20, 30, 40), of(None, 10, 10, 10))
    assert found.seeds == 3
    nothing = told(of(None, None), of(None, None))
    assert (nothing.value, nothing.seeds) == (1, 0)
    assert "no pair" in nothing.method


def test_pairs_are_matched_by_seed():
    slow = {7: Run(70), 3: Run(30), 5: Run(50), 9: Run(1)}
    fast = {3: Run(15), 5: Run(25), 7: Run(35), 8: Run(1000)}
    found = told(slow, fast)
    assert (found.value, found.seeds) == (pytest.approx(2), 3)
    with pytest.raises(ValueError, match="no seed in common"):
        told({1: Run(1)}, {2: Run(1)})


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.randoms())
def test_an_estimate_is_a_number_and_turns_round_with_its_names(pairs, random):
    slow, fast = (dict(enumerate(runs)) for runs in zip(*pairs, strict=True))
    one, other = told(slow, fast, 0.2), told(fast, slow, 0.2)
    assert 0 < one.value < math.inf
    assert one.low <= one.value * (1 + 1e-9)
    assert one.value <= one.high * (1 + 1e-9)
    assert not math.isnan(one.low + one.high)
    assert one.value == pytest.approx(1 / other.value)
    assert one.low == pytest.approx(1 / other.high if other.high else math.inf)
    mixed = list(slow.items())
    random.shuffle(mixed)
    assert told(dict(mixed), fast, 0.2) == one


@settings(max_examples=40, deadline=None)
@given(PAIRS, st.floats(0.01, 100))
def test_another_unit_of_work_changes_nothing(pairs, unit):
    def scaled(all_of: dict[int, Run]) -> dict[int, Run]:
        return {s: replace(r, work=r.work * unit) for s, r in all_of.items()}

    slow, fast = (dict(enumerate(runs)) for runs in zip(*pairs, strict=True))
    one, other = told(slow, fast, 0.2), told(scaled(slow), scaled(fast), 0.2)
    assert one.value == pytest.approx(other.value)
    assert (one.low, one.high) == (pytest.approx(other.low), pytest.approx(other.high))


def drawn(seed: int, ratio: float, sd: float) -> dict[str, dict[int, Run]]:
    generator = np.random.default_rng(seed)
    works = 200 * np.exp(generator.normal(0, sd / math.sqrt(2), (2, 50)))
    return {"fast": of(*works[0], cap=1e9), "slow": of(*works[1] * ratio, cap=1e9)}


def test_the_interval_holds_the_truth_when_one_stops_early():
    """At 96%, where the finals stop by themselves; and winners are not overstated by much."""
    missed, values = 0, []
    for i in range(150):
        finals = drawn(i, 1.3, 0.35)
        judgement = judge(finals)
        found = estimates(finals, judgement)
        if judgement.leader == "fast":
            missed += not found["slow"].low <= 1.3 <= found["slow"].high
        if judgement.winner == "fast":
            values.append(math.log(found["slow"].value))
    assert len(values) > 130
    assert missed <= 150 * 0.04 + 3 * (150 * 0.04 * 0.96) ** 0.5
    assert 1.27 < math.exp(np.mean(values)) < 1.33


def test_who_was_found_early_is_drawn_towards_1_and_told_so():
    slow, fast = of(*[20, 22, 40, 60, 20, 22, 30, 90]), of(*[10] * 8)
    plain = told(slow, fast)
    shrunk = estimate(slow, fast, 0.04, 50, call=Call.SLOWER)
    logs = np.log([r.work / 10 for r in slow.values()])
    t = math.log(plain.value) / (logs.std(ddof=1) / math.sqrt(8))
    assert math.log(shrunk.value) == pytest.approx(math.log(plain.value) * (1 - 1 / t**2))
    assert "drawn towards equal" in shrunk.method
    assert "drawn" not in plain.method
    assert shrunk.low >= 1


def test_estimates_rest_on_the_seeds_that_were_judged():
    finals = drawn(3, 2.0, 0.2)
    judgement = judge(finals)
    found = estimates(finals, judgement)
    assert found["slow"].seeds == judgement.findings["slow"].seeds == judgement.seeds < 10
    assert judgement.leader == "fast"


def test_who_is_far_behind_is_told_as_it_was_seen():
    """It was found by how often, not by how much; so nothing is drawn towards 1."""
    slow, fast = of(*[22, 26, 30, 21, 25]), of(*[10] * 5)
    judgement = judge({"slow": slow, "fast": fast})
    assert judgement.findings["slow"].call == Call.BEHIND
    found = estimates({"slow": slow, "fast": fast}, judgement)["slow"]
    seen = {s: slow[s] for s in range(judgement.seeds)}
    plain = told(seen, fast)
    assert (found.low, found.high, found.level) == (1, math.inf, 0.95)
    assert replace(found, low=0.0, level=0.96) == plain
    assert "drawn" not in found.method
