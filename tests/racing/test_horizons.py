"""Schedules that end: a run is had whole at the length of each heat, and what goes on goes on."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from test_kill import found

import slalom
from slalom.racing import stopwatch
from slalom.racing.entrants import FIELD, Entrant
from slalom.racing.runner import Request
from slalom.racing.status import Stage, Status
from slalom.racing.trainer import Runs
from slalom.train import Run
from slalom.train.schedule import FACTORS, Schedule
from small import small_task


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """The clock takes no longer than it must."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stopwatch, "TURN", 0.001)
        yield


def race(out: Path, schedule: Any, more: Any = None, **options: Any) -> Any:
    given = {"entrants": ["SGD", "Adam"], "points_each": 2, "seeds": 3, "progress": False}
    task = small_task(schedule=schedule, **{"max_steps": 160, **(more or {})})
    return slalom.race(task, out=out, **given | {"baseline": None} | options)


@pytest.fixture(scope="module")
def cosine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return race(tmp_path_factory.mktemp("cosine") / "it", "cosine")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("ended") / "it"
    return race(out, "cosine", budget="6 epochs")


def by_hand(rule: Any, curve: Any, total: int) -> list[float]:
    """The metrics of a plain run under torch's own cosine, with that many updates to its end."""
    task = small_task()
    run = Run(task, lambda p: rule(p, lr=curve.hypers["lr"]), curve.seed)
    annealed = torch.optim.lr_scheduler.CosineAnnealingLR(run.optimizer, total)
    metrics = []
    for step in curve.step:
        while run.step < step:
            run.advance(1)
            if run.step <= total:
                annealed.step()
        metrics.append(run.evaluate().metric)
    return metrics


def test_each_heat_has_whole_runs_of_its_length(cosine: Any) -> None:
    heats = [c for c in cosine.curves if c.stage == Stage.HEAT and c.step]
    lengths = {c.hypers.get("horizon", 160) for c in heats}
    assert {5, 10, 20} <= lengths
    for c in heats:
        length = c.hypers.get("horizon", 160)
        held = 10 if c.status == Status.REACHED else 0
        assert length <= c.step[-1] <= length + max(held, 10)
    settings = {(c.rule, c.hypers["lr"]) for c in heats if c.hypers.get("horizon") == 5}
    assert len(settings) == 4
    torch.set_num_threads(1)
    rules = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}
    shown = [c for c in heats if c.rule in rules and c.hypers.get("horizon") in (10, 20)][:4]
    assert len(shown) == 4
    for c in shown:
        assert by_hand(rules[c.rule], c, c.hypers["horizon"]) == c.metric


def test_the_horizon_is_part_of_the_setting(cosine: Any) -> None:
    winner = cosine.winner
    horizon = winner.hypers["horizon"]
    assert f"horizon={horizon}" in cosine.verdict.text
    assert "under the cosine schedule" in cosine.verdict.text
    assert f"under the task's cosine schedule over {horizon} updates" in winner.snippet()
    assert "horizon" not in winner.snippet().split("#")[0]
    finals = [c for c in cosine.curves if c.stage == Stage.FINAL]
    lengths = {s.rule: s.hypers.get("horizon", 160) for s in cosine.standings}
    for c in finals:
        assert c.step[-1] <= lengths[c.rule] + 15
    shorter = {c.hypers.get("horizon") for c in cosine.curves if c.rule == winner.rule}
    assert any(isinstance(s, int) and horizon / 2 < s < 2 * horizon for s in shorter - {horizon})


def test_who_is_through_its_schedule_is_slower_than_every_arrival(cosine: Any) -> None:
    for rule, runs in cosine.finals.items():
        for place, run in runs.items():
            curve = cosine._finals[rule][place]
            horizon = cosine._entrants[curve["entrant"]]["hypers"].get("horizon", math.inf)
            assert run.ended == (not run.arrived and curve["steps"] >= horizon)


def test_at_the_end_of_a_budget_the_schedule_ends(ended: Any) -> None:
    assert all("horizon" not in s.hypers for s in ended.standings)
    assert " after 6 epochs under the cosine schedule" in ended.verdict.text
    assert "under the task's cosine schedule over 72 updates" in ended.winner.snippet()
    heats = [c for c in ended.curves if c.stage == Stage.HEAT and c.step]
    assert {c.step[-1] for c in heats} >= {5, 10, 20, 40, 72}
    assert all(c.step[-1] == c.hypers.get("horizon", 72) for c in heats)
    assert any(c.status == Status.STOPPED for c in heats)
    torch.set_num_threads(1)
    final = next(c for c in ended.curves if c.stage == Stage.FINAL and c.rule == "SGD")
    assert by_hand(torch.optim.SGD, final, 72) == final.metric


def test_it_is_resumed_to_the_same(ended: Any, tmp_path: Path) -> None:
    race(tmp_path / "it", "cosine", budget="6 epochs", within=1e-9)
    again = race(tmp_path / "it", "cosine", budget="6 epochs", resume=True)
    assert found(again.path) == found(ended.path)


@pytest.mark.parametrize(
    "schedule",
    [None, "constant", functools.partial(torch.optim.lr_scheduler.StepLR, step_size=30)],
)
def test_what_has_no_end_is_gone_on_with(schedule: Any, tmp_path: Path) -> None:
    result = race(tmp_path / "it", schedule, entrants=["SGD"], budget="3 epochs")
    assert all(set(c.hypers) == {"lr"} for c in result.curves)


@pytest.mark.parametrize(
    ("schedule", "warmup", "ends"),
    [
        ("cosine", 0, True), ("linear", 0, True), ("one_cycle", 0, True), ("wsd", 5, True),
        (lambda step, total: 1.0, 0, True), (None, 0, False), ("constant", 10, False),
        ("constant", 0.1, True), (lambda optimizer: optimizer, 0, False),
    ],
)  # fmt: skip
def test_which_schedules_end(schedule: Any, warmup: float, ends: bool) -> None:
    made = Schedule(schedule, warmup)
    assert made.ends is ends
    assert made.shared(50) == (50 if not ends else 40 if schedule == "wsd" else 0)


def test_what_shorter_runs_share_is_what_longer_ones_have() -> None:
    schedule = Schedule("wsd", 3)
    for short, long in itertools.combinations((5, 17, 40, 41, 99), 2):
        factors = [FACTORS["wsd"](s, short) for s in range(schedule.shared(short))]
        assert factors == [FACTORS["wsd"](s, long) for s in range(schedule.shared(short))]
        assert schedule.shared(short) > 0.75 * short


def test_a_decay_branches_off_a_run_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit what a run from its start gives, for the updates that are new alone."""
    made: list[int] = []
    advance = Run.advance

    def counted(run: Run, steps: int) -> float:
        made.append(steps)
        return advance(run, steps)

    monkeypatch.setattr(Run, "advance", counted)
    for rule, options in (("SGD", {}), ("Adam", {"ema": 0.9})):
        task = small_task(schedule="wsd", warmup=4, target=None, **options)
        runs = Runs(task)
        for number, horizon in enumerate((20, 40, 80)):
            entrant = Entrant(number, FIELD[rule], {"lr": 0.05, "horizon": horizon})
            made.clear()
            told = runs.train(Request(entrant, 7, horizon, 5))
            new = sum(made)
            alone = Runs(task).train(Request(entrant, 7, horizon, 5))
            strip = [(e.step, e.samples, e.train_loss, e.valid_loss) for e in told.evaluations]
            assert strip == [
                (e.step, e.samples, e.train_loss, e.valid_loss) for e in alone.evaluations
            ]
            # the last look before the decay of the shorter one, at 16 and 32, is at 15 and 30
            assert new == {20: 20, 40: 40 - 15, 80: 80 - 30}[horizon]
