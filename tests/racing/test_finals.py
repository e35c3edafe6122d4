"""Finals: who runs when and how far, and that what is found does not depend on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from slalom.racing.contender import Contender, Lane
from slalom.racing.design import STANDARD, Call
from slalom.racing.entrants import Entrant, Family
from slalom.racing.finals import ARRIVALS, LATE, Finals, Leg, run_of
from slalom.racing.needs import Run
from slalom.racing.runner import HOLD, History
from slalom.racing.sequential import judge
from slalom.racing.status import Status
from slalom.train import Evaluation, Task

LONGEST = 2000

X = torch.zeros(2, 1)
TASK = Task(
    nn.Linear(1, 1), nn.MSELoss(), (X, X), (X, X), "accuracy", 0.9,
    batch_size=1, eval_every=1, max_steps=LONGEST,
)  # fmt: skip

Table = dict[str, list[int | None]]
"""Label -> what it needs on each seed; None where it never arrives, -n where it ends after n."""


def history(need: int | None, until: int, each: int = 1) -> History:
    """The last evaluations of a run up to ``until`` updates, or past the target; of so many
    samples in an update, on average."""
    ends = need is not None and need < 0
    there = math.inf if need is None or ends else need
    end = math.inf if need is None or not ends else -need
    last = int(there) + HOLD if there <= until else int(min(until, end))
    steps = [s for s in range(last - HOLD - 1, last + 1) if s > 0]
    known = tuple(Evaluation(s, s * each, 0.0, 1.0, 1.0, float(s >= there)) for s in steps)
    return History(known, Status.DIVERGED if last == end else None)


class Played(Finals):
    """Finals whose runs need what a table says; ``calls`` holds the legs that were asked for.

    Of the samples of a ``batch`` an update has ``each``, on average.
    """

    def __init__(self, table: Table, seeds: int = STANDARD.seeds, batch: int = 1, each: int = 1):
        self.each = each
        self.calls: list[list[tuple[str, int, float]]] = []
        self.table = table
        made = {n: Family(n, torch.optim.SGD, {}) for n in table}
        lane = Lane(batch, batch, 1)
        self.contenders = [
            {n: Contender(Entrant(place, f, {}), lane, TASK) for n, f in made.items()}
            for place in range(seeds)
        ]
        design = replace(STANDARD, seeds=seeds)
        super().__init__(list(table), self.contenders.__getitem__, self.played, LONGEST, design)

    def played(self, legs: Sequence[Leg]) -> list[History]:
        rows = [(s.entrant.family.label, place, work) for s, place, work in legs]
        assert all(s.entrant.number == place for s, place, _ in legs)  # its setting there
        self.calls.append(rows)
        return [
            history(self.table[n][place], math.ceil(work), self.each) for n, place, work in rows
        ]

    def whole(self) -> dict[str, dict[int, Run]]:
        """Every run on every seed, to the target or as long as a run may take."""
        return {
            n: {
                place: run_of(self.contenders[place][n], history(need, LONGEST))
                for place, need in enumerate(needs)
            }
            for n, needs in self.table.items()
        }


def raced(table: Table, seeds: int = STANDARD.seeds) -> Played:
    finals = Played(table, seeds)
    finals.race()
    return finals


SEEDS = 20
NEEDS = st.none() | st.integers(50, 150) | st.integers(50, 900) | st.integers(-300, -1)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Up to four rules, some reliable, some that arrive now and then or end by themselves."""
    kinds = [draw(st.sampled_from([NEEDS, st.integers(90, 110)])) for _ in range(4)]
    labels = "abcd"[: draw(st.integers(1, 4))]
    return {
        n: draw(st.lists(kind, min_size=SEEDS, max_size=SEEDS))
        for n, kind in zip(labels, kinds, strict=False)
    }


def test_the_likely_best_runs_first_and_then_whoever_leads():
    """a is thought to be the best, and b is, by so little that it takes some seeds."""
    finals = raced({"a": [120, 118, 122, 119] * 5, "b": [100, 101, 99, 103] * 5}, SEEDS)
    labels = [sorted({n for n, *_ in call}) for call in finals.calls]
    places = [sorted({place for _, place, _ in call}) for call in finals.calls]
    assert labels == [["a"], ["b"]] + [["b"], ["a"]] * 4
    assert places == [[0, 1, 2]] * 2 + [[p] for p in range(3, 7) for _ in "ab"]
    assert judge(finals.runs, finals.design).winner == "b"


def test_others_may_take_so_many_times_what_the_least_did():
    finals = raced({"a": [100] * SEEDS, "b": [149] * SEEDS, "c": [400] * SEEDS}, SEEDS)
    first, second = finals.calls[:2]
    assert first == [("a", place, LONGEST) for place in range(3)]
    assert second == [(n, place, 150) for place in range(3) for n in "bc"]
    assert finals.runs["b"][0] == Run(149, True, 1)
    assert finals.runs["c"] == {place: Run(150, False, 1) for place in range(3)}
    assert judge(finals.runs).findings["c"].call == Call.BEHIND


def test_the_least_on_a_seed_limits_a_run_and_so_does_the_longest():
    finals = Played({n: [100] * 5 for n in "abc"})
    finals.runs["a"] = {0: Run(300), 1: Run(1500)}
    finals.runs["b"] = {0: Run(200), 1: Run(100, False)}
    assert finals.cap(0) == STANDARD.far * 200
    assert finals.cap(1) == LONGEST


@settings(max_examples=25, deadline=None)
@given(tables())
def test_no_run_goes_further_than_it_may(table):
    """Beside those that ran before it on its seed; one is gone on with where it was stopped."""
    finals = raced(table, SEEDS)
    asked: dict[tuple[str, int], float] = {}
    for call in finals.calls:
        for label, place, work in call:
            others = [
                needs[place] or math.inf
                for other, needs in table.items()
                if (other, place) in asked and other != label
            ]
            there = [n for n in others if 0 < n < math.inf]
            assert asked.get((label, place), 0) < work <= LONGEST
            if there:
                assert work <= STANDARD.far * max(there)
        asked |= {(label, place): work for label, place, work in call}
    assert len(asked) == sum(map(len, finals.runs.values()))
    for (label, place), work in asked.items():
        assert finals.runs[label][place].work <= math.ceil(work)


@settings(max_examples=25, deadline=None)
@given(tables(), st.booleans())
def test_who_is_told_to_take_so_many_times_the_leaders_has_been_run_as_long(table, partly):
    """Though somebody else led when it was stopped, or last batches of epochs are small."""
    finals = Played(table, SEEDS, *((10, 9) if partly else ()))
    finals.race()
    found = judge(finals.runs, finals.design)
    for name, finding in found.findings.items():
        for place, run in finals.runs[name].items():
            leads = finals.runs[finding.against].get(place)
            if finding.against != found.leader or leads is None or not leads.arrived:
                continue
            least = min(LONGEST * (0.9 if partly else 1), STANDARD.far * leads.work)
            least *= 1 - 1e-9
            assert run.arrived or run.ended or run.work >= least


@settings(max_examples=25, deadline=None)
@given(tables())
def test_every_rule_runs_on_three_seeds_and_nobody_in_vain(table):
    """They end with the judge, at the first look by which it knows enough."""
    finals = raced(table, SEEDS)
    found = judge(finals.runs, finals.design)
    assert found.over
    assert all(set(own) == set(range(len(own))) for own in finals.runs.values())
    assert all(STANDARD.evidence <= len(own) <= SEEDS for own in finals.runs.values())
    assert max(map(len, finals.runs.values())) == found.seeds


@settings(max_examples=25, deadline=None)
@given(tables())
def test_more_runs_than_needed_change_nothing(table):
    """As where a race was led by other means, or goes on from a record that holds more."""
    finals = raced(table, SEEDS)
    more = {n: own | finals.runs[n] for n, own in finals.whole().items()}
    assert judge(more, finals.design) == judge(finals.runs, finals.design)
    again = Played(table, SEEDS)
    again.runs = more
    again.race()
    assert not again.calls


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from([1.0, 1.05, 1.2, 4.0]), min_size=2, max_size=4), st.integers(0, 2**32)
)
def test_what_is_found_is_what_whole_runs_would_tell(factors, seed):
    """Where nobody is near the ratio at which runs are stopped, to the last number."""
    noise = np.exp(0.03 * np.random.default_rng(seed).standard_normal((4, SEEDS)))
    table: Table = {
        n: [round(200 * f * x) for x in row]
        for n, f, row in zip("abcd", factors, noise, strict=False)
    }
    finals = raced(table, SEEDS)
    assert judge(finals.runs, finals.design) == judge(finals.whole(), finals.design)


def test_where_nobody_arrives_the_latest_arrivals_so_far_limit_others():
    finals = Played({"a": [100] * 5, "b": [100] * 5})
    finals.runs["a"] = {0: Run(100), 1: Run(300), 3: Run(50)}
    assert ARRIVALS == 3
    assert finals.cap(2) == LONGEST  # two arrivals before it
    assert finals.cap(4) == LATE * 300
    finals.runs["b"] = {0: Run(900, False), 1: Run(120)}
    assert finals.cap(2) == LATE * 300  # three of them now, and who was stopped is none
    assert finals.cap(3) == STANDARD.far * 50  # somebody arrived on this one
    assert finals.cap(0) == STANDARD.far * 100
    finals.runs["b"][2] = Run(1900)
    assert finals.cap(4) == LONGEST


def test_a_race_gives_up_on_a_seed_where_nobody_arrives():
    needs: list[int | None] = [100, 110, 90, None, *[100] * 16]
    finals = raced({"a": needs, "b": needs}, SEEDS)
    assert finals.calls[2:4] == [[("a", 3, LATE * 110)], [("b", 3, LATE * 110)]]
    assert finals.runs["a"][3] == Run(330, False, 1)


def test_who_ends_by_itself_is_out_however_early():
    finals = raced({"a": [100] * SEEDS, "b": [-5] * SEEDS}, SEEDS)
    assert finals.runs["b"] == {place: Run(5, False, 1, ended=True) for place in range(5)}
    assert judge(finals.runs).winner == "a"


def test_a_run_without_an_evaluation_has_taken_one_stride():
    contender = Contender(Entrant(0, Family("a", torch.optim.SGD, {}), {}), Lane(1, 1, 7), TASK)
    assert run_of(contender, History((), Status.FAILED)) == Run(7, False, 7, ended=True)


def test_all_runs_are_made_where_that_is_asked_for():
    finals = Played({"a": [100] * 5, "b": [400] * 5, "c": [None] * 5}, 5)
    finals.runs["a"][0] = Run(100)  # limits nobody
    finals.run_all()
    assert [(n, p) for n, p, _ in finals.calls[0]] == [(n, p) for p in range(5) for n in "abc"]
    assert {work for *_, work in finals.calls[0]} == {LONGEST}
    assert finals.runs == finals.whole()


def test_a_rule_alone_runs_on_a_few_seeds():
    finals = raced({"a": [100] * SEEDS}, SEEDS)
    assert len(finals.runs["a"]) == STANDARD.patience
