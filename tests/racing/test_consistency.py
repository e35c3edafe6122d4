"""Verdict, sentence, interval, rows, page and JSON of any ledger say one and the same."""

from __future__ import annotations

import html
import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from slalom.racing import seeds
from slalom.racing.design import OPEN, OUT
from slalom.racing.findings import Standing
from slalom.racing.ledger import Ledger
from slalom.racing.result import Result
from slalom.racing.status import Stage, Status
from slalom.report.notebook import as_html
from slalom.report.page import page
from slalom.report.table import as_text
from slalom.report.told import title
from small import META, changed

MOST = 400
"""Steps of a run at most."""


@dataclass(frozen=True)
class Row:
    """A run of the finals: how it ended, after how many steps, and its metric there."""

    status: Status
    steps: int
    metric: float | None


@dataclass(frozen=True)
class Case:
    """A race that may have been: runs[rule][place], rounds of the clock, and what was asked."""

    runs: list[list[Row]]
    batches: list[int]
    rounds: list[list[float]]
    budget: bool
    full: bool
    finished: bool


@st.composite
def rows(draw: st.DrawFn, factor: float, fates: list[Status], budget: bool) -> Row:
    status = draw(st.sampled_from(fates))
    near = draw(st.integers(8, 12) | st.integers(2, 20))
    steps = min(MOST, 5 * max(1, round(near * factor)))
    if budget:
        done = status in (Status.FINISHED, Status.REACHED)
        value = round(factor * near / 40, 3) if done else None
        return Row(Status.FINISHED if done else status, MOST if done else steps, value)
    if status == Status.NOT_REACHED:
        steps = MOST
    return Row(status, steps, 0.96 if status == Status.REACHED else 0.5)


FATES = [
    [Status.REACHED], [Status.REACHED], [Status.REACHED, Status.NOT_REACHED],
    [Status.REACHED, Status.STOPPED], [Status.STOPPED], [Status.DIVERGED],
    [Status.NOT_REACHED], [Status.NOT_REACHED, Status.STOPPED],
    [Status.FAILED], [Status.REACHED, Status.DIVERGED, Status.FAILED],
]  # fmt: skip


@st.composite
def cases(draw: st.DrawFn) -> Case:
    budget, names, number = draw(st.booleans()), draw(st.integers(2, 7)), draw(st.integers(1, 14))
    runs = []
    for _ in range(names):
        factor = draw(st.sampled_from([1.0, 1.0, 1.1, 1.4, 1.6, 3.0]))
        fates = draw(st.sampled_from(FATES))
        own = draw(st.just(number) | st.integers(1, number))
        runs.append([draw(rows(factor, fates, budget)) for _ in range(own)])
    speeds = draw(st.lists(st.sampled_from([1.0, 1.1, 2.0, 0.3]), min_size=names, max_size=names))
    noise = draw(st.lists(st.floats(0.9, 1.1), min_size=9, max_size=9))
    timed = draw(st.booleans()) and not budget
    return Case(
        runs, draw(st.lists(st.sampled_from([16, 16, 192]), min_size=names, max_size=names)),
        [[s * n for n in noise] if timed else [] for s in speeds], budget,
        draw(st.booleans()), draw(st.booleans()),
    )  # fmt: skip


def written(case: Case, folder: Path) -> Result:
    """The ledger of such a race, and what is read from it."""
    names = "ABCDEFG"[: len(case.runs)]
    most = max(map(len, case.runs))
    meta: dict[str, Any] = META | {
        "finalists": [*names], "finished": case.finished, "full": case.full, "seeds": most,
    }  # fmt: skip
    meta |= {"budget": f"{MOST} steps", "target": None, "goal": None} if case.budget else {}
    file = folder / "ledger.sqlite"
    Ledger(file, create=meta).close()
    with changed(file) as db:
        for i, (name, own) in enumerate(zip(names, case.runs, strict=True)):
            label, batch = f"{name}(lr=0.1)", case.batches[i]
            entrant = (i, name, label, '{"lr": 0.1}', batch, "import slalom\nx = 1")
            db.execute("INSERT INTO entrant VALUES (?,?,?,?,?,?,NULL,'{}',0)", entrant)
            for place, row in enumerate(own):
                seed, samples = seeds.final(meta["seed"], place), row.steps * batch
                there = row.status == Status.REACHED
                over = row.status if row.status in (Status.DIVERGED, Status.FAILED) else None
                values = (i, seed, Stage.FINAL, row.status, "it broke" if over else "", over,
                          row.steps, samples, 1.0)  # fmt: skip
                needed = (row.steps, samples, 1.0) if there else (None, None, None)
                db.execute(f"INSERT INTO run VALUES ({'?,' * 12}0)", (*values, *needed))
                seen = (i, seed, row.steps, samples, 1.0, 1.0, 1.0, row.metric)
                db.execute(f"INSERT INTO evaluation VALUES ({'?,' * 8}0)", seen)
            for n, seconds in enumerate(case.rounds[i]):
                db.execute("INSERT INTO timing VALUES (?,?,?,0)", (i, n, seconds))
    return Result(folder)


def text_of(result: Result) -> str:
    return as_text(result, 400)


def told_far(result: Result, row: Standing) -> tuple[int, int]:
    """On how many of the judged seeds a row needs 1.5 times as much or more, by its runs alone."""
    judged = result.judgement.findings[row.rule].seeds
    slow, fast = result.finals[row.rule], result.finals[row.against or ""]
    pairs = [(slow[s], fast[s]) for s in sorted(slow.keys() & fast.keys())[:judged]]
    far = sum(f.arrived and s.work >= 1.5 * f.work * (1 - 1e-9) for s, f in pairs)
    return far, len(pairs)


def agrees(result: Result, *shows: Callable[[Result], str]) -> None:
    """Every place where one thing is said twice, among them what ``shows`` make of it."""
    verdict, (first, *others) = result.verdict, result.standings
    text = verdict.text
    compared = [s for s in result.standings if s.call is not None]
    for s in compared:
        beside, none = (s.ratio, 1.0) if s.difference is None else (s.difference, 0.0)
        assert beside is not None
        assert beside.low <= beside.value <= beside.high
        if s.call in OUT:
            assert beside.low >= none
            assert s.against != s.rule
        else:
            assert beside.low <= none <= beside.high
            assert s.against == first.rule == result.judgement.leader
        assert 0 < beside.level <= 1
        if (found := re.match(r"1.5 times or more on (\d+) of (\d+)", s.told)) is not None:
            far, pairs = told_far(result, s)
            assert int(found[1]) == far
            assert int(found[2]) <= pairs
    leads = result.judgement.leader is not None
    assert (first.rule == result.judgement.leader) == leads
    assert verdict.winner == (first.label if leads else None)
    assert verdict.tie == any(s.call in OPEN for s in result.standings)
    assert [(r.label, r.call, r.against) for r in verdict.rivals] in (
        [(s.label, s.call, s.against) for s in compared], [],
    )  # fmt: skip
    if leads:
        assert all(s.call is not None or s.status == Status.FAILED for s in others)
    said_tie = text.startswith("A tie")
    assert said_tie == (verdict.tie and verdict.over)
    assert ("interrupted" in text) == (not verdict.over)
    assert ("interrupted" in title(result)) == (not verdict.over)
    assert ("a tie" in title(result)) == said_tie
    runs = {s.rule: result._finals[s.rule].values() for s in result.standings}
    if "is the only one that reached" in text:
        stopped = (Status.STOPPED, Status.RUNNING, Status.DROPPED, Status.REACHED)
        assert not any(r["status"] in stopped for s in others for r in runs[s.rule])
    if "Nobody" in text:
        assert verdict.over
        assert not any(s.reached for s in result.standings)
        assert all(s.at_end is None for s in result.standings)
    ahead = [r.label for r in verdict.rivals if r.seconds and r.seconds.high < 1]
    if any(r.against == first.rule and r.label in ahead for r in verdict.rivals) and verdict.over:
        assert "soonest" not in text
        assert "by the clock" in text or "the only one" in text
    for shown in shows:
        flat = " ".join(html.unescape(shown(result)).split())
        assert text in flat
        assert all(s.told in flat for s in result.standings)
    given = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert given["verdict"]["text"] == text
    assert given["verdict"]["tie"] == verdict.tie
    for s, row in zip(result.standings, given["standings"], strict=True):
        assert (row["call"], row["told"], row["against"]) == (s.call, s.told, s.against)
    for what in ("nan", " inf", "None"):
        assert what not in text


@settings(max_examples=60, deadline=None)
@given(cases())
def test_whatever_a_ledger_holds_all_say_the_same(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        agrees(written(case, Path(folder)), text_of)


@settings(max_examples=2, deadline=None)
@given(cases())
def test_so_do_the_page_and_a_notebook(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        agrees(written(case, Path(folder)), page, as_html)
