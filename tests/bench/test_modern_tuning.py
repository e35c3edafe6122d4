"""The benchmark of modern entrants: all are tuned alike, and by what chose nothing later."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from slalom.bench import modern
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

    def needed(task, family, lr, seed):
        asked.append((family.label, lr, seed))
        best = modern.rates(family)[2]
        if lr != best:
            return math.inf if lr > best else 100.0
        return 10.0 + labels.index(family.label)

    monkeypatch.setattr(modern, "load", lambda name: None)
    monkeypatch.setattr(modern, "needed", needed)
    modern.main(["a task"])
    for family in MODERN.values():
        own = [(lr, seed) for label, lr, seed in asked if label == family.label]
        tuned = [(lr, s) for lr in modern.rates(family) for s in modern.TUNING]
        assert own == [*tuned, *((modern.rates(family)[2], s) for s in modern.SEEDS)]
    assert not set(modern.TUNING) & set(modern.SEEDS)
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split()[0] for line in lines] == labels
    assert all("end of its range" not in line for line in lines)
