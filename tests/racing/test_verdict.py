"""The sentences of a verdict: what each case says, and that none says more than was seen."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from slalom.racing.design import STANDARD, Call
from slalom.racing.estimate import estimates
from slalom.racing.findings import Standing, count
from slalom.racing.needs import Run, Runs, chance_to_arrive
from slalom.racing.sequential import judge
from slalom.racing.status import Status
from slalom.racing.verdict import Facts, rank, remarks, told, verdict


def runs(*works: float, arrived: bool = True, stride: float = 1.0, ended: bool = False) -> Runs:
    return {i: Run(w, arrived, stride, ended) for i, w in enumerate(works)}


TIMED = [1.0] * 9
"""Seconds of a unit of work, of all alike."""


def standing(label: str, own: Runs, **more) -> Standing:
    there = sorted(r.work for r in own.values() if r.arrived)
    middle = there[len(there) // 2] if 2 * len(there) > len(own) else None
    found = Standing(
        0, label, label, {}, 16, Status.REACHED if middle else Status.STOPPED, len(there),
        len(own), middle, None, None, chance_to_arrive(own), None,
        int(max((r.work for r in own.values() if not r.arrived), default=0)), None, None, None,
        "", (), "", "",
    )  # fmt: skip
    return replace(found, **more)


def facts(finals: dict[str, Runs], *, finished: bool = True, **more: dict) -> Facts:
    """What a race with these finals makes its verdict of; ``more`` of standings, by label."""
    judgement = judge(finals)
    ratios = estimates(finals, judgement)
    rows = []
    for label, own in finals.items():
        finding, ratio = judgement.findings.get(label), ratios.get(label)
        text = told(label, ratio, finals, judgement, STANDARD) if ratio else ""
        beside = {"call": finding and finding.call, "against": finding and finding.against}
        row = standing(label, own, ratio=ratio, told=text, **beside)
        rows.append(replace(row, **more.get(label, {})))
    rows.sort(key=lambda s: (s.rule != judgement.leader, s.ratio.value if s.ratio else math.inf))
    meta = {"metric": "loss", "target": 0.25, "higher_is_better": False, "finished": finished}
    return Facts(meta, rows, finals, judgement, STANDARD, dict.fromkeys(finals, TIMED))


NEAR = [100.0, 104, 96, 99, 103, 97, 101, 98, 102, 100, 99, 101]


def test_a_winner_and_the_evidence():
    found = verdict(facts({"A": runs(*NEAR), "B": runs(*(1.3 * w for w in NEAR))}))
    assert (found.winner, found.tie) == ("A", False)
    assert found.text.startswith("A reaches loss 0.25 soonest, in 100 steps; B needs 1.3")
    assert "times its steps and 1.3" in found.text
    assert [r.call for r in found.rivals] == [Call.SLOWER]


def test_a_tie_is_no_win():
    found = verdict(facts({"A": runs(*NEAR), "B": runs(*NEAR[1:], NEAR[0])}))
    assert found.tie
    assert found.text.startswith(("A tie of A and B at loss 0.25: ", "A tie of B and A at"))
    limits = "1.15 times or more, either way, is given up by limits of 90%, each at one look"
    assert limits in found.text


def test_a_tie_claims_no_more_than_its_interval():
    """What seeds vary by far more than what is given up is not said to be within that."""
    generator = np.random.default_rng(0)
    drawn = 100 * np.exp(0.3 * generator.standard_normal((2, 50)))
    case = facts({"A": runs(*drawn[0]), "B": runs(*drawn[1])})
    ((label, finding),) = case.judgement.findings.items()
    ratio = next(s.ratio for s in case.standings if s.ratio is not None)
    assert finding.call == Call.EQUAL
    assert ratio.high > 1.15
    for text in (verdict(case).text, told(label, ratio, case.runs, case.judgement, STANDARD)):
        assert "within" not in text
        assert str(ratio) in text


def test_who_was_stopped_is_told_by_how_much():
    stopped = runs(*(1.5 * w for w in NEAR[:5]), arrived=False)
    found = verdict(facts({"A": runs(*NEAR[:5]), "B": stopped}, B={"chance": None}))
    assert found.winner == "A"
    assert found.text == (
        "A reaches loss 0.25 soonest, in 100 steps; B takes 1.5 times or more on 5 of 5 seeds."
    )


@pytest.mark.parametrize("status", [Status.NOT_REACHED, Status.DIVERGED])
def test_the_only_one(status):
    never = runs(*[1000.0] * 12, arrived=False, ended=status != Status.NOT_REACHED)
    made = facts({"A": runs(*NEAR), "B": never}, B={"status": status})
    assert verdict(made).text == (
        "A is the only one that reached loss 0.25, in 100 steps; "
        "no other was stopped before its end."
    )
    stopped = facts({"A": runs(*NEAR), "B": never}, B={"status": status, "chance": None})
    assert "the only one" not in verdict(stopped).text


def test_who_fell_behind_another_than_the_first_is_told_so():
    """A leads when C falls behind, and B is found to be faster than A in the end."""
    finals = {
        "A": runs(100, 101, 99, 102, *[140.0 + i for i in range(16)]),
        "B": runs(104, 103, 106, 104, *[100.0 + i for i in range(16)]),
        "C": runs(*[153.0] * 3, arrived=False),
    }
    known = facts(finals)
    found = known.judgement.findings["C"]
    assert (known.judgement.leader, found.call, found.against) == ("B", Call.BEHIND, "A")
    (row,) = [s for s in known.standings if s.label == "C"]
    assert row.told == "1.5 times or more on 3 of 3 seeds, beside A"


def test_who_failed_is_part_of_no_tie():
    never = runs(*[1000.0] * 3, arrived=False, ended=True)
    lost = {"status": Status.FAILED, "reached": 0, "reason": "ValueError: no"}
    lost |= {"call": None, "ratio": None}
    found = verdict(facts({"A": runs(*NEAR[:3]), "B": never}, B=lost))
    assert (found.winner, found.tie) == ("A", False)
    assert found.text == (
        "A is the only one that reached loss 0.25, in 100 steps; B failed: ValueError: no."
    )
    tied = facts({"A": runs(*NEAR[:3]), "B": never, "C": runs(*NEAR[:3])}, B=lost)
    assert verdict(tied).text.startswith("A tie of A and C at loss 0.25")
    assert verdict(tied).text.endswith("; B failed: ValueError: no.")


def test_nobody():
    finals = {n: runs(*[400.0] * 6, arrived=False) for n in "AB"}
    made = facts(finals, A={"best_metric": 0.4}, B={"best_metric": 0.3})
    found = verdict(made)
    assert (found.winner, found.tie) == (None, False)
    assert found.text == (
        "Nobody reached loss 0.25 in 6 runs of each: the best, B, came to 0.3 in the median, "
        "within 400 steps. "
        "Raise the task's max_steps, or raise its target."
    )


@pytest.mark.parametrize(
    ("ends", "told"),
    [("dd", "diverged"), ("ff", "failed"), ("df", "diverged or failed")],
)
def test_nobody_where_no_run_lasted(ends, told):
    status = {"d": Status.DIVERGED, "f": Status.FAILED}
    finals = {n: runs(*[400.0] * 6, arrived=False) for n in "AB"}
    given = {
        n: {"status": status[e], "reason": "it blew up"} for n, e in zip("AB", ends, strict=True)
    }
    found = verdict(facts(finals, **given))
    assert found.text == f"Nobody reached loss 0.25: every run {told}. A: it blew up"


def test_who_arrives_now_and_then_is_told_so():
    some = {i: Run(100.0 if i % 3 == 0 else 400.0, i % 3 == 0, 1.0) for i in range(12)}
    made = facts({"A": some}, A={"with_restarts": 900.0})
    assert verdict(made).text == (
        "A raced alone: it reached loss 0.25 in 4 of 12 runs (14% to 61%), 900 steps if each that "
        "fails is begun again."
    )


def test_an_interrupted_race_claims_nothing():
    assert verdict(facts({}, finished=False)).text == "The race was interrupted before its finals."
    made = facts({"A": runs(*NEAR[:3]), "B": runs(*(1.2 * w for w in NEAR[:3]))}, finished=False)
    found = verdict(made)
    assert found.tie
    assert found.text.startswith("The race was interrupted; so far A leads at loss 0.25")
    nobody = {n: runs(*[400.0] * 3, arrived=False) for n in "AB"}
    text = "The race was interrupted; so far none of 6 runs reached loss 0.25."
    assert verdict(facts(nobody, finished=False)).text == text


def test_what_the_evaluations_cannot_tell_is_said():
    first = facts({"A": runs(10, 10, 10, 10, stride=10), "B": runs(20, 20, 20, 20, stride=10)})
    assert any("at its first evaluation" in text for text in remarks(first))
    ties = {"A": runs(*[100] * 12, stride=20), "B": runs(*[100, 120] * 6, stride=20)}
    assert any("within one evaluation of each other" in text for text in remarks(facts(ties)))
    assert remarks(facts({"A": runs(*NEAR), "B": runs(*(2 * w for w in NEAR))})) == []


def test_who_ties_stands_before_who_is_out_and_who_never_arrived_comes_last():
    ratio = next(s.ratio for s in facts({"A": runs(*NEAR), "B": runs(*NEAR)}).standings if s.ratio)
    tied = standing("tied", runs(200, 200), call=Call.FUTILE, ratio=replace(ratio, value=2.0))
    behind = replace(tied, label="behind", call=Call.BEHIND, ratio=replace(ratio, value=1.4))
    lost = replace(behind, label="lost", reached=0, ratio=ratio, status=Status.DIVERGED)
    rows = sorted([lost, behind, tied], key=lambda s: rank(s, 1))
    assert [s.label for s in rows] == ["tied", "behind", "lost"]


def test_who_diverged_is_not_told_to_take_some_times_as_long():
    finals = {"A": runs(*NEAR), "B": runs(*[5.0] * 12, arrived=False, ended=True)}
    lost = {"status": Status.DIVERGED, "reached": 0, "told": "diverged on 5 of 5 seeds"}
    other = runs(*(w * 9 for w in NEAR))
    text = verdict(facts(finals | {"C": other}, B=lost)).text
    assert "; B diverged on 5 of 5 seeds" in text


def test_a_median_between_two_steps_is_told_as_one():
    assert (count(1234.0), count(4.5)) == ("1,234", "4.5")
