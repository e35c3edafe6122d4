"""Whole races replayed from recorded curves: what a search costs, and what its choice is worth."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import pytest

from slalom.bench import tuners
from slalom.bench.race import replays
from slalom.bench.verdict import FASTER, called
from slalom.errors import InputError
from slalom.racing.entrants import FIELD
from slalom.racing.replay import Bank
from slalom.tasks import load
from small import small_task

BANK = Path(__file__).parents[2] / "benchmarks" / "bank"


@pytest.mark.slow
def test_the_search_is_cheap_and_its_choice_is_good() -> None:
    """The bars of benchmarks/race_cost.py, on every task and ten seeds."""
    shown: list[str] = []
    worth = replays(BANK, show=shown.append)
    assert len(shown) == 8, shown
    assert worth.cost <= 10, shown
    assert worth.regret <= 1.15, shown
    assert worth.ninth <= 1.3, shown


@pytest.mark.slow
def test_equals_are_seldom_told_apart() -> None:
    assert called(BANK, 1.0) <= 0.05


@pytest.mark.slow
def test_the_faster_is_found() -> None:
    assert called(BANK, FASTER) >= 0.9


@pytest.mark.slow
def test_heats_find_it_cheaper_than_tuners_do() -> None:
    """One task of benchmarks/race_tuners.py."""
    name = "digits"
    task, bank = load(name), Bank.load(BANK / f"{name}.json.gz")
    heats, optuna, asha = (
        statistics.median(cost(task, bank, seed) for seed in range(5))
        for cost in (tuners.heats_cost, tuners.optuna_cost, tuners.asha_cost)
    )
    assert 1 < heats < min(optuna, asha)
    assert max(optuna, asha) < math.inf


def test_a_bank_is_what_was_recorded(tmp_path: Path) -> None:
    task = small_task(max_steps=100)
    bank = Bank.record(task, [FIELD["SGD"], FIELD["Adam"]], rates=3, seeds=2)
    assert {len(histories) for histories in bank.histories.values()} == {2}
    bank.save(tmp_path / "small.json.gz")
    again = Bank.load(tmp_path / "small.json.gz")
    assert again.histories.keys() == bank.histories.keys()
    for key, histories in bank.histories.items():
        for one, other in zip(histories, again.histories[key], strict=True):
            assert one.ended == other.ended
            assert [e.samples for e in one.evaluations] == [e.samples for e in other.evaluations]
            crossings = one.crossing(task), other.crossing(task)
            assert [c and c.step for c in crossings] == [crossings[0] and crossings[0].step] * 2
    again.save(tmp_path / "again.json.gz")
    assert (tmp_path / "again.json.gz").read_bytes() == (tmp_path / "small.json.gz").read_bytes()


def test_a_bank_of_another_version_is_refused(tmp_path: Path, monkeypatch) -> None:
    Bank({}).save(tmp_path / "it.json.gz")
    monkeypatch.setattr("slalom.racing.replay.VERSION", 2)
    with pytest.raises(InputError, match="version 1, not 2"):
        Bank.load(tmp_path / "it.json.gz")
