"""A race with a limit on its time ends in good order, says no more than it knows, and goes on."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_kill import SO_FAR, UNTOLD, found

import slalom
from slalom.errors import InputError
from slalom.racing import events, limit, stopwatch
from slalom.racing.entrants import FIELD, Entrant
from slalom.racing.limit import Limit, OutOfTimeError
from slalom.racing.result import Result
from slalom.racing.runner import Request
from slalom.racing.status import Stage
from slalom.racing.trainer import Runs
from slalom.train import Run
from small import ENTRANTS, small_task

UNBEGUN = "The race was interrupted before its finals."


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that a second passes on with every look at it; nothing else passes time."""
    told = SimpleNamespace(now=0.0)

    def monotonic() -> float:
        told.now += 1
        return told.now - 1

    monkeypatch.setattr(limit, "time", SimpleNamespace(monotonic=monotonic))
    monkeypatch.setattr(stopwatch, "TURN", 0.001)
    return told


def race(out: Path, **options: Any) -> Result:
    given = {"entrants": ENTRANTS, "points_each": 4, "seeds": 3, "out": out, "progress": False}
    return slalom.race(small_task(), **given | options)


@pytest.mark.parametrize(
    ("within", "seconds"),
    [
        ("90s", 90), ("10m", 600), ("1.5h", 5400), ("30 s", 30), ("90", 90), (".5m", 30),
        (" 2. h ", 7200), (90, 90), (0.25, 0.25),
    ],
)  # fmt: skip
def test_times_as_people_write_them(within: Any, seconds: float) -> None:
    assert limit.seconds(within) == seconds


@pytest.mark.parametrize(
    "within",
    ["ten", "", "m", "0", "0s", "-1m", "1e3", "10 min", "1h30m", "9" * 400, 0, -5, math.inf,
     math.nan, True, (1,)],
)  # fmt: skip
def test_what_is_no_time_is_refused_before_anything_is_made(within: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"within is .*; it must be a time above zero, as in 90s"):
        race(tmp_path / "it", within=within)
    assert not (tmp_path / "it").exists()


def test_what_is_left(clock: SimpleNamespace) -> None:
    given = Limit("3s")
    assert [given.left, given.left, given.left, given.left] == [2, 1, 0, 0]
    with pytest.raises(OutOfTimeError):
        given.check()
    for long in (None, "9999999999h"):  # no longer than one may wait
        assert Limit(long).left == threading.TIMEOUT_MAX
        Limit(long).check()


@pytest.mark.parametrize("full", [False, True])
def test_ended_wherever_it_is_a_race_tells_what_it_knows_and_goes_on_to_the_same(
    full: bool, clock: SimpleNamespace, tmp_path: Path
) -> None:
    """Again and again, each time with a little more time."""
    given: dict[str, Any] = {"entrants": ENTRANTS[:2], "points_each": 2, "baseline": None}
    given |= {"full": full}
    whole = race(tmp_path / "whole", **given)
    told: list[str] = []
    known: list[int] = []
    result, time = race(tmp_path / "it", within=20, **given), 20
    while not result.meta["finished"]:
        assert result.meta["interrupted"]
        verdict = result.verdict
        known.append(sum(len(c.step) for c in result.curves))
        finals = [c for c in result.curves if c.stage == Stage.FINAL]
        if not verdict.text.startswith((UNBEGUN, SO_FAR, UNTOLD)):  # the finals were over
            assert verdict.winner == whole.verdict.winner
            assert len(finals) == sum(c.stage == Stage.FINAL for c in whole.curves)
        assert (verdict.winner is None) == verdict.text.startswith((UNBEGUN, UNTOLD))
        if verdict.text[:40] not in told:
            told.append(verdict.text[:40])
            assert not full or result.report().is_file()
        time += 20
        result = race(tmp_path / "it", resume=True, within=f"{time}s", **given)
    assert told[0].startswith(UNBEGUN[:40])
    assert len(told) > 1
    assert known == sorted(known)
    assert found(result.path) == found(whole.path)
    assert not list(result.path.glob("checkpoints-*"))


def test_a_race_is_the_same_with_a_limit_another_or_none(
    raced: Result, clock: SimpleNamespace, tmp_path: Path
) -> None:
    told: list[Any] = []
    race(tmp_path / "it", within="1m", watch=told.append, keep_weights=True)
    assert events.Told("the time is up") in told
    assert isinstance(told[-1], events.Finished)
    assert not (tmp_path / "it" / "weights.safetensors").exists()  # nobody has won yet
    assert found(race(tmp_path / "it", resume=True).path) == found(raced.path)
    before = (tmp_path / "it" / "ledger.sqlite").read_bytes()
    assert race(tmp_path / "it", resume=True, within="1s").meta["finished"]  # it trains nothing
    assert len((tmp_path / "it" / "ledger.sqlite").read_bytes()) == len(before)


def test_workers_are_not_waited_for_longer(
    raced: Result, clock: SimpleNamespace, tmp_path: Path
) -> None:
    """Looked at once for each answer; one that is there when time is up counts."""
    first = race(tmp_path / "it", workers=2, within=5)
    assert not first.meta["finished"]
    assert first.verdict.text.startswith(UNBEGUN)
    assert found(race(tmp_path / "it", workers=2, resume=True).path) == found(raced.path)


def test_a_run_goes_on_from_where_the_time_was_up(
    clock: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before it is worth a checkpoint for itself, and though no record knows of it."""
    updates: list[int] = []
    advance = Run.advance

    def counted(run: Run, steps: int) -> None:
        before = run.step
        advance(run, steps)
        updates.append(run.step - before)

    monkeypatch.setattr(Run, "advance", counted)
    task = small_task(target=0.9999)
    request = Request(Entrant(0, FIELD["SGD"], {"lr": 0.1}), 5, 40, 5)

    def limited(within: float | None) -> Runs:
        runs = Runs(task, tmp_path)
        runs.limit = Limit(within)
        return runs

    whole = Runs(task).train(request)
    updates.clear()
    for within in (3, 4):
        with pytest.raises(OutOfTimeError):
            limited(within).train(request)
    ended = limited(None).train(request)
    assert sum(updates) == 40
    columns = [(e.step, e.train_loss, e.valid_loss, e.metric) for e in whole.evaluations]
    assert [(e.step, e.train_loss, e.valid_loss, e.metric) for e in ended.evaluations] == columns


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (0.6, " was the soonest at accuracy 0.6 so far, in "),
        (0.999, " has come furthest so far, to accuracy 0."),
    ],
)
def test_heats_that_were_cut_short_tell_what_they_know(
    target: float, words: str, tmp_path: Path
) -> None:
    """Who was first at the target, or who came furthest; on the seed of the heats alone."""

    def stop(event: Any) -> None:
        if isinstance(event, events.Told) and event.text.startswith("finals"):
            raise KeyboardInterrupt
        if isinstance(event, events.Moved) and target > 0.9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        slalom.race(
            small_task(target=target), entrants=["Adam"], out=tmp_path / "it", watch=stop,
            progress=False,
        )  # fmt: skip
    text = Result(tmp_path / "it").verdict.text
    assert text.startswith(f"{UNBEGUN} In its heats Adam(lr=")
    assert words in text
    assert text.endswith(" steps on one seed.")
