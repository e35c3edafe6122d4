"""The finals' judge: the same whatever the order, never fooled by easy seeds, and no dearer."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slalom.bench.characteristics import Noise, cell
from slalom.errors import InputError
from slalom.racing.design import OUT, STANDARD, Call, Design, judged_by
from slalom.racing.needs import Run, runs
from slalom.racing.sequential import Judgement, judge

SMOOTH = Noise("smooth", 0.2)
TEST = Design(evidence=STANDARD.seeds + 1)
"""By which nobody is ever found to be behind: the test of pairs decides alone."""

Finals = dict[str, dict[int, Run]]


def of(*needs: float | None, cap: float = 1e4, first: int = 0) -> dict[int, Run]:
    return runs(dict(enumerate(needs, first)), cap)


def lived(finals: Finals, design: Design = STANDARD) -> tuple[Judgement, Finals]:
    """The finals as a race has them: only who is running is run, one seed after the other."""
    known: Finals = {name: {} for name in finals}
    seeds = sorted(next(iter(finals.values())))
    while (found := judge(known, design)).running and found.seeds < len(seeds):
        for name in found.running:
            for seed in seeds[: found.seeds + 1]:
                known[name][seed] = finals[name][seed]
    return found, known


NEED = st.none() | st.sampled_from([10.0, 20.0, 30.0]) | st.floats(5, 100)


@st.composite
def finals(draw: st.DrawFn) -> Finals:
    """Two to four finalists on up to 25 seeds; some are clearly slower, some end by themselves."""
    names = "abcd"[: draw(st.integers(2, 4))]
    factors = [draw(st.sampled_from([1.0, 1.0, 1.5, 3.0])) for _ in names]
    ends = [draw(st.sampled_from([False, False, True])) for _ in names]
    rows = draw(st.lists(st.tuples(*[NEED] * len(names)), min_size=1, max_size=25))
    return {
        name: {
            seed: Run(1e4, False, ended=end) if need is None else Run(need * factor)
            for seed, need in enumerate(column)
        }
        for name, factor, end, column in zip(
            names, factors, ends, zip(*rows, strict=True), strict=True
        )
    }


@settings(max_examples=12, deadline=None)
@given(finals(), st.randoms())
def test_neither_the_order_of_runs_nor_more_of_them_change_it(finals, random):
    expected, known = lived(finals)
    assert judge(finals) == expected
    mixed = {}
    for name, runs_of in known.items():
        items = list(runs_of.items())
        random.shuffle(items)
        mixed[name] = dict(items)
    assert judge(mixed) == expected


@settings(max_examples=20, deadline=None)
@given(finals(), st.floats(0.1, 10))
def test_names_and_the_unit_of_work_do_not_matter(finals, unit):
    one = judge(finals)
    rename = dict(zip(finals, reversed(list(finals)), strict=True))
    renamed = {rename[n]: r for n, r in finals.items()}  # in the same order
    other = judge(renamed)
    assert other.leader == (None if one.leader is None else rename[one.leader])
    assert {rename[n]: f.call for n, f in one.findings.items()} == {
        n: f.call for n, f in other.findings.items()
    }
    scaled = {
        n: {s: replace(r, work=r.work * unit) for s, r in of.items()} for n, of in finals.items()
    }
    again = judge(scaled)
    assert (again.leader, again.running, again.seeds) == (one.leader, one.running, one.seeds)


@settings(max_examples=20, deadline=None)
@given(finals())
def test_what_is_told_hangs_together(finals):
    found = judge(finals)
    if found.leader is None:
        assert not found.findings
        return
    assert set(found.findings) | {found.leader} == set(finals)
    for finding in found.findings.values():
        assert finding.seeds <= found.seeds
        assert len(finding.logs) == finding.seeds
        assert 0 < finding.level <= STANDARD.error
        assert math.isfinite(finding.score)
        if finding.call == Call.SLOWER:
            assert finding.score > 0
            assert finding.p <= finding.level * 1.02
        if finding.call == Call.BEHIND:
            assert finding.logs.count(math.inf) >= STANDARD.evidence
    assert set(found.tied) == {n for n, f in found.findings.items() if f.call not in OUT}
    assert (found.winner is None) == bool(found.tied)


def test_two_equals_may_be_given_in_any_order():
    for seed in range(20):
        drawn = SMOOTH.finals((1.0, 1.0), 50, seed)
        turned = dict(reversed(drawn.items()))
        for design in (STANDARD, Design(equal=1.0001)):
            one, other = judge(drawn, design), judge(turned, design)
            assert (one.winner, one.seeds) == (other.winner, other.seeds)


def test_seeds_are_looked_at_in_their_order():
    seeds = [3 * 7**i for i in range(12)]
    drawn = SMOOTH.finals((1.0, 1.2), 12, 0)
    finals = {n: dict(zip(seeds, of.values(), strict=True)) for n, of in drawn.items()}
    backwards = {n: dict(reversed(of.items())) for n, of in finals.items()}
    expected = judge(drawn).findings
    for found in (judge(finals).findings, judge(backwards).findings):
        assert [f.logs for f in found.values()] == [f.logs for f in expected.values()]


def test_the_plainly_faster_wins_after_eight_seeds():
    found = judge({"a": of(*range(26, 38)), "b": of(*range(20, 32))})
    assert (found.winner, found.seeds, found.running) == ("b", 8, ())
    finding = found.findings["a"]
    assert (finding.call, finding.against, finding.seeds) == (Call.SLOWER, "b", 8)
    assert finding.level == pytest.approx(0.04)


def test_finals_that_run_on_all_seeds_are_judged_once_by_all_of_them():
    """What would have rested after six seeds is judged by ten, and six alone decide nothing."""
    a, b = of(*[20, 30] * 5), of(*[30, 20] * 5)
    assert judge({"a": a, "b": b}).findings["b"].seeds == 6
    design = judged_by(10, None, full=True)
    found = judge({"a": a, "b": b}, design)
    assert (found.findings["b"].seeds, found.findings["b"].call) == (10, Call.FUTILE)
    slow = {"a": of(*range(100, 110)), "b": of(*range(20, 30))}
    early = judge({name: dict(list(own.items())[:9]) for name, own in slow.items()}, design)
    assert (early.findings["a"].call, early.running) == (Call.UNDECIDED, ("a", "b"))
    assert judge(slow, design).findings["a"].call == Call.SLOWER
    assert judge(slow, replace(design, error=1e-6)).findings["a"].call == Call.BEHIND


def test_the_error_is_shared_out_among_those_who_are_left():
    """2 error / (r (m - 1)): of three 0.08 / 6; with one out, 0.08 / 4."""
    generator = np.random.default_rng(0)
    a, b = generator.uniform(10, 30, (2, 12))
    finals = {"a": of(*a[:5]), "b": of(*b[:5]), "c": of(*np.full(5, 100.0))}
    first = judge(finals, TEST)
    assert [f.level for f in first.findings.values()] == [pytest.approx(0.08 / 6)] * 2
    found = judge({"a": of(*a), "b": of(*b), "c": of(*np.full(12, 100.0))}, TEST)
    levels = {f.call: f.level for f in found.findings.values()}
    assert levels == {Call.SLOWER: pytest.approx(0.08 / 6), Call.UNDECIDED: pytest.approx(0.08 / 4)}


def test_seven_seeds_decide_nothing_and_say_who_goes_on():
    found = judge({"a": of(*range(26, 33)), "b": of(*range(20, 27))})
    assert (found.winner, found.leader, found.tied) == (None, "b", ("a",))
    assert found.running == ("a", "b")
    assert not found.over
    first = judge({"a": {}, "b": {}})
    assert (first.seeds, first.leader, first.running) == (0, None, ("a", "b"))


def test_who_is_dropped_on_easy_seeds_does_not_win():
    """Twelve easy seeds, then hard ones: who needs 1.5 times as much on every seed is slower."""
    generator = np.random.default_rng(0)
    a = np.concatenate([100 * np.exp(0.05 * generator.standard_normal(12)), np.full(38, 300.0)])
    c = a * np.exp(0.3 * generator.standard_normal(50))
    found, known = lived({"a": of(*a), "b": of(*1.5 * a), "c": of(*c)}, TEST)
    assert found.findings["b"].call == Call.SLOWER
    assert len(known["b"]) < len(known["a"])
    assert found.leader in ("a", "c")


def test_the_leader_can_change():
    """Who led on the first seeds is found slower in the end."""
    a = [10.0] * 4 + [20.0] * 46
    b = [11.0] * 4 + [10.0] * 46
    finals = {"a": of(*a), "b": of(*b)}
    early = judge({n: {s: r for s, r in of.items() if s < 4} for n, of in finals.items()})
    assert (early.leader, early.tied) == ("a", ("b",))
    assert judge(finals).winner == "b"


def test_who_agrees_on_three_pairs_of_ten_has_not_won():
    slow = of(*[None] * 7, 40, 50, None)
    fast = of(*[None] * 7, 20, 30, 20)
    assert judge({"a": slow, "b": fast}).winner is None


def test_ties_to_the_evaluation_decide_nothing():
    """A target that is met before training: each is there at its first evaluation."""
    seldom = {s: Run(12.0, True, 12.0) for s in range(50)}
    often = {s: Run(10.0, True, 10.0) for s in range(50)}
    found = judge({"a": seldom, "b": often})
    assert found.winner is None
    assert found.findings["b" if found.leader == "a" else "a"].call == Call.EQUAL


def test_where_nobody_arrives_the_finals_end_soon():
    found = judge({"a": of(*[None] * 50), "b": of(*[None] * 50)})
    assert (found.leader, found.winner, found.seeds) == (None, None, STANDARD.patience)
    assert (found.findings, found.tied, found.over) == ({}, (), True)


def test_one_who_arrives_where_the_other_never_does_wins():
    found = judge({"a": of(*[None] * 50), "b": of(*[10.0] * 50)}, TEST)
    assert (found.winner, found.seeds) == ("b", 8)
    mixed = judge({"a": of(*[None] * 50), "b": of(*[None, 10.0] * 25)}, TEST)
    assert (mixed.winner, mixed.seeds) == ("b", 16)


def test_a_finalist_alone_is_run_on_a_few_seeds():
    found = judge({"a": of(*[10.0] * 50)})
    assert (found.winner, found.seeds, found.findings) == ("a", STANDARD.patience, {})
    assert judge({"a": of(10.0)}).running == ("a",)


def test_equals_rest_while_others_go_on():
    """b is as fast as a, which is soon known; c is a little slower, which takes longer."""
    generator = np.random.default_rng(4)
    a, b = (100 * np.exp(0.02 * generator.standard_normal(50)) for _ in range(2))
    c = 112 * np.exp(0.1 * generator.standard_normal(50))
    found, known = lived({"a": of(*a), "b": of(*b), "c": of(*c)})
    rested = min(len(known["a"]), len(known["b"]))
    assert rested == STANDARD.patience < len(known["c"]) == found.seeds


def test_the_last_seed_ends_it():
    design = Design(seeds=12, hope=1e-9, equal=1.0001)
    found = judge(SMOOTH.finals((1.0, 1.05), 50, 1), design)
    assert (found.seeds, found.over, found.winner) == (12, True, None)
    few = Design(seeds=5)
    assert judge(SMOOTH.finals((1.0, 1.0), 50, 1), few).over
    assert judge({"a": of(*[10.0] * 50)}, few).over


def test_runs_may_be_stopped_at_the_far_ratio():
    """What is stopped at so many times what the other took is tested as if it had gone on."""
    far = STANDARD.far
    for seed in range(10):
        whole = Noise("skewed", 1.0).finals((1.0, 1.2), 20, seed)
        stopped: Finals = {"0": {}, "1": {}}
        for s in range(20):
            cap = far * min(runs_of[s].work for runs_of in whole.values())
            for name, runs_of in whole.items():
                run = runs_of[s]
                stopped[name][s] = Run(cap, False, run.stride) if run.work >= cap else run
        assert any(not r.arrived for r in stopped["1"].values())
        (one,), (other,) = (judge(x, TEST).findings.values() for x in (whole, stopped))
        assert (one.score, one.seeds, one.call) == (other.score, other.seeds, other.call)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"error": 0.0}, "error is 0.0; it lies between 0 and 1"),
        ({"hope": 1.0}, "hope is 1.0"),
        ({"luck": 0.0}, "luck is 0.0; it lies between 0 and 1"),
        ({"seeds": 0}, "seeds is 0; it is at least 1"),
        ({"evidence": 0}, "evidence is 0; it is at least 1"),
        ({"equal": 1.0}, "equal is 1.0; it is above 1"),
        ({"far": math.nan}, "far is nan"),
    ],
)
def test_a_design_that_cannot_be_is_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        Design(**wrong)


# far behind


def test_far_behind_on_a_few_seeds_is_out():
    """Two rivals at once, whose own runs are not taken for noise.

    Five seeds where the leader alone tells how often runs arrive, three where others do.
    """
    fast, slow = [10.0, 10.3, 9.8] * 5, [21.0, 19.0, 24.0] * 5
    one = judge({"a": of(*slow), "b": of(*fast)})
    assert (one.winner, one.seeds, one.findings["a"].call) == ("b", 5, Call.BEHIND)
    found = judge({"a": of(*slow), "b": of(*fast), "c": of(*[None] * 15)})
    assert (found.winner, found.seeds, found.tied, found.running) == ("b", 5, (), ())
    assert {f.call for f in found.findings.values()} == {Call.BEHIND}
    two = judge({"a": of(*slow[:2]), "b": of(*fast[:2])})
    assert (two.winner, two.running) == (None, ("a", "b"))


def test_who_is_behind_stays_out_while_others_go_on():
    generator = np.random.default_rng(0)
    a, b = 100 * np.exp(0.1 * generator.standard_normal((2, 50)))
    found, known = lived({"a": of(*a), "b": of(*1.1 * b), "c": of(*3 * a)})
    assert found.findings["c"].call == Call.BEHIND
    assert len(known["c"]) == STANDARD.evidence < found.seeds


def test_so_many_times_is_far_and_less_is_not():
    """Exactly 1.5 times as well: what is stopped there is judged as what arrives there."""
    at, under = (judge({"a": of(*[200.0] * 9), "b": of(*[need] * 9)}) for need in (300.0, 299.0))
    assert (at.seeds, at.findings["b"].call) == (5, Call.BEHIND)
    assert (under.seeds, under.findings["b"].call) == (8, Call.SLOWER)


def test_who_ends_by_itself_is_far_behind():
    """However early that is; one that was stopped so early is not."""
    fast = of(*[10.0] * 5)
    ended = {s: Run(1, False, ended=True) for s in range(5)}
    assert judge({"a": fast, "b": ended}).findings["b"].call == Call.BEHIND
    stopped = {s: Run(1, False) for s in range(5)}
    assert judge({"a": fast, "b": stopped}).findings["b"].call == Call.UNDECIDED


def test_noise_hides_who_is_far_behind():
    """1.6 times on every seed, of needs that differ by more: only the test of pairs sees it."""
    noise = 2 * math.log(STANDARD.far) * np.array([1, -1, 0.5, -0.5, 1, -1, 1, -1])
    found = judge({"a": of(*10 * np.exp(noise)), "b": of(*16 * np.exp(noise))})
    assert (found.seeds, found.findings["b"].call) == (8, Call.SLOWER)
    noise *= 0.05
    calm = judge({"a": of(*10 * np.exp(noise)), "b": of(*16 * np.exp(noise))})
    assert (calm.seeds, calm.findings["b"].call) == (5, Call.BEHIND)


def test_where_the_leader_misses_as_often_nobody_is_behind():
    """One never arrives, the other on every second seed: as equals would for eight seeds."""
    found = judge({"a": of(*[None] * 50), "b": of(*[None, 10.0] * 25)})
    assert (found.winner, found.seeds, found.findings["a"].call) == ("b", 16, Call.SLOWER)


def test_what_others_near_the_leader_miss_counts_too():
    fast, never = of(*[10.0] * 3), of(*[None] * 3)
    near = of(10.0, None, 10.2)
    calls = judge({"a": fast, "b": never, "c": near}).findings
    assert {n: f.call for n, f in calls.items()} == {"b": Call.UNDECIDED, "c": Call.UNDECIDED}
    calls = judge({"a": fast, "b": never, "c": fast}).findings
    assert {n: f.call for n, f in calls.items()} == {"b": Call.BEHIND, "c": Call.UNDECIDED}


SIMULATIONS = 250


@pytest.mark.parametrize(
    ("noise", "factors", "equals"),
    [
        (SMOOTH, (1.0, 1.0), 2),
        (Noise("skewed", 0.5), (1.0, 1.0), 2),
        (Noise("heavy", 0.4, 0.1), (1.0, 1.0), 2),
        (Noise("smooth", 0.3, 0.4), (1.0, 1.0), 2),
        (Noise("skewed", 1.0, 0.7), (1.0, 1.0), 2),
        (SMOOTH, (1.0, 1.0, 1.3, 1.3), 2),
        (Noise("skewed", 0.5), (1.0,) * 7, 7),
    ],
    ids=str,
)
def test_equals_are_seldom_told_apart(noise, factors, equals):
    """Whoever is among the fastest is called slower, or behind, in no more than is allowed."""
    simulations = SIMULATIONS * 2 // len(factors)
    found = cell(noise, factors, simulations, seed=1)
    error = STANDARD.error + STANDARD.luck * (equals - 1)
    assert found.wrong <= error + 2 * (error * (1 - error) / simulations) ** 0.5


@pytest.mark.parametrize(
    ("noise", "ratio", "found", "pairs"),
    [
        (SMOOTH, 1.3, 0.97, 12),
        (SMOOTH, 2.0, 0.99, 9),
        (Noise("smooth", 0.3), 1.3, 0.9, 18),
        (Noise("skewed", 0.5), 1.3, 0.8, 27),
    ],
    ids=str,
)
def test_the_faster_is_found_with_few_pairs(noise, ratio, found, pairs):
    one = cell(noise, (1.0, ratio), 100, seed=1)
    assert one.found >= found
    assert one.seeds <= pairs


def test_equals_cost_little():
    found = cell(SMOOTH, (1.0, 1.0), 100, seed=2)
    assert found.seeds <= 20
    assert found.equal > 0.7
