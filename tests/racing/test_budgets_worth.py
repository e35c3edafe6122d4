"""What races with a budget are worth: the judge on drawn scores, whole races from the bank."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import pytest

from slalom.bench import budgets
from slalom.bench.budgets import Noise, cell, ends, horizon, replayed
from slalom.bench.race import banked
from slalom.racing.design import AtTheEnd

BANK = Path(__file__).parents[2] / "benchmarks" / "bank"


def test_what_is_drawn_is_what_it_says():
    finals = Noise("skewed", lost=0.25).finals((0.0, 2.0), 4000, 0)
    told = [(finals["1"][s].value, finals["0"][s].value) for s in range(4000)]
    pairs = [a - b for a, b in told if math.isfinite(a - b)]
    assert len(pairs) / 4000 == pytest.approx(0.75**2, abs=0.03)
    assert statistics.fmean(pairs) == pytest.approx(2, abs=0.1)
    assert statistics.stdev(pairs) == pytest.approx(1, rel=0.05)
    coarse = Noise("heavy", coarse=True).finals((0.0, 0.0), 50, 0)["0"]
    assert all(s.value % budgets.STEP == 0 for s in coarse.values())


def test_a_cell_tells_who_is_found_and_who_is_wronged():
    found = cell(Noise("smooth"), (0.0, 5.0, 5.0), 5)
    assert (found.wrong, found.found) == (0, 1)
    two = cell(Noise("smooth"), (0.0, 5.0), 5)
    assert (two.found, two.held) == (1, 1)
    assert two.told == pytest.approx(5, abs=0.7)
    careless = cell(Noise("smooth"), (0.0, 0.0), 20, AtTheEnd(error=0.5))
    assert 0.2 < careless.wrong < 1
    assert math.isnan(careless.told)


def test_a_whole_race_is_replayed_to_the_end_of_its_budget():
    ((task, bank),) = banked(BANK, ["digits"])
    longest = horizon(task, bank)
    assert longest % task.eval_every == 0
    ending = task.lasting(f"{longest} steps")
    known = ends(ending, bank)
    key = bank.nearest("Adam", 0.01)
    history = bank.histories[key][2]
    (there,) = (e for e in history.evaluations if e.step == longest)
    assert known[key][2] == -there.metric
    found = replayed(ending, bank, 0)
    assert 10 < found.cost < 400
    assert found.better < 0.2
    assert found.excess < 2
    assert not (found.tie and found.wrong)


def test_the_command_prints_its_tables():
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budgets, "NOISES", (Noise("smooth"),))
        patch.setattr(budgets, "WIDE", (Noise("smooth"),))
        patch.setattr(budgets, "SEARCHES", {"halfway": {}})
        patch.setattr(budgets, "GAPS", (0.0, 5.0))
        budgets.main(BANK, 2, names=["digits"], seeds=1, show=said.append)
    text = "\n".join(said)
    assert "| smooth | 0.0% |" in text
    assert "| halfway | 1 |" in text
