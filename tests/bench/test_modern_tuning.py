"""The benchmark of modern entrants: all are tuned alike, and by what chose nothing later."""

from __future__ import annotations

import math
import random
import statistics
from itertools import pairwise

import pytest

from slalom.bench import modern
from slalom.bench.bank import load
from slalom.racing.entrants import MODERN


def test_each_has_as_many_rates_over_its_whole_range():
    for family in MODERN.values():
        tried = modern.rates(family)
        assert len(tried) == modern.RATES
        assert (tried[0], tried[-1]) == pytest.approx(family.space["lr"])
        steps = [b / a for a, b in pairwise(tried)]
        assert steps == pytest.approx([steps[0]] * len(steps))


def test_the_best_rate_is_run_on_other_seeds_and_the_quickest_is_told_first(capsys, monkeypatch):
    asked = []
    labels = list(MODERN)

    def needed(task, family, lr, seed, within=math.inf):
        asked.append((family.label, lr, seed))
        best = modern.rates(family)[1]
        if lr != best:
            return math.inf if lr > best or within < 100 else 100.0
        return 10.0 + labels.index(family.label)

    monkeypatch.setattr(modern, "load", lambda name: None)
    monkeypatch.setattr(modern, "needed", needed)
    modern.main(["a task"])
    for family in MODERN.values():
        own = [(lr, seed) for label, lr, seed in asked if label == family.label]
        tried, last = own[: -len(modern.SEEDS)], own[-len(modern.SEEDS) :]
        assert {lr for lr, _ in tried} == set(modern.rates(family))
        assert {seed for _, seed in tried} == set(modern.TUNING)
        assert last == [(modern.rates(family)[1], s) for s in modern.SEEDS]
        assert len(tried) == 3 + 5 * 2  # two runs without arrival decide that most have none
    assert not set(modern.TUNING) & set(modern.SEEDS)
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split()[0] for line in lines] == labels
    assert all("end of its range" not in line for line in lines)


@pytest.mark.parametrize("seed", range(20))
def test_runs_that_are_cut_short_choose_as_whole_ones_do(seed, monkeypatch):
    family = MODERN["AdamW"]
    chance = random.Random(seed)
    worth = {
        (lr, s): chance.choice([math.inf, 30.0, 40.0, 50.0, 60.0])
        for lr in modern.rates(family) for s in modern.TUNING
    }  # fmt: skip

    def needed(task, family, lr, seed, within=math.inf):
        found = worth[lr, seed]
        return found if found <= within else math.inf

    monkeypatch.setattr(modern, "needed", needed)
    medians = {
        lr: statistics.median(worth[lr, s] for s in modern.TUNING) for lr in modern.rates(family)
    }
    best, _ = modern.tuned(load("deep-tanh"), family)
    assert best == min(medians, key=medians.__getitem__)
