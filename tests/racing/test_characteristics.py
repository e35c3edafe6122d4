"""The page of operating characteristics: its cells, its tables, its picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from slalom.bench import characteristics
from slalom.bench.characteristics import Noise, cell, stopped
from slalom.racing.design import Design
from slalom.racing.needs import Run, runs


def test_what_is_drawn_is_what_it_says():
    finals = Noise("skewed", 0.5, 0.25).finals((1.0, 2.0), 4000, 0)
    arrived = [r.work for r in finals["0"].values() if r.arrived]
    assert len(arrived) / 4000 == pytest.approx(0.75, abs=0.03)
    twice = [r.work for r in finals["1"].values() if r.arrived]
    assert sum(twice) / len(twice) == pytest.approx(2 * sum(arrived) / len(arrived), rel=0.05)


def test_a_cell_counts_runs_of_all():
    found = cell(Noise("smooth", 0.01), (1.0, 3.0, 3.0), 3)
    assert (found.wrong, found.found) == (0, 1)
    assert found.runs == 3 * found.seeds


def test_runs_are_stopped_where_finals_stop_them():
    """At 1.5 times what the one did that needs the least over all; and not where that misses."""
    fast, slow = runs({0: 100, 1: 200, 2: None}, 300), runs({0: 150, 1: 301, 2: 800}, 900)
    found = stopped({"a": slow, "b": fast})
    assert found == {"a": slow | {1: Run(300, False)}, "b": fast}


def test_who_is_behind_was_called_slower():
    """So it counts for the winner, and of equals as an error; here no test could decide."""
    found = cell(Noise("smooth", 0.01), (1.0, 3.0), 3, Design(error=1e-6))
    assert (found.found, found.seeds, found.equal) == (1, 5, 0)
    assert cell(Noise("smooth", 0.01), (1.0, 1.0, 3.0), 3).equal == 1
    unlucky = cell(Noise("smooth", 0.3, 0.4), (1.0, 1.0), 30, Design(error=1e-6, luck=0.3))
    assert 0 < unlucky.wrong < 1


def test_the_command_writes_its_page_and_picture(tmp_path: Path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(characteristics, "NOISES", (Noise("smooth", 0.01),))
    monkeypatch.setattr(characteristics, "WIDE", (Noise("smooth", 0.01),))
    characteristics.main(tmp_path, 2)
    text = (tmp_path / "verdict.md").read_text()
    row = "| smooth 0.01 | 0.0% | 6.0 | 0.0% | 6.0 | 100.0% | 8.0 | 100.0% | 5.0 |"
    assert row in text
    # needs are rounded up to the next evaluation
    assert "| smooth 0.01 | 100.0% | nan | 100.0% | 1.31 | 100.0% | 1.50 | 100.0% |" in text
    assert "(operating_characteristics.png)" in text
    assert (tmp_path / "operating_characteristics.png").read_bytes()[:4] == b"\x89PNG"
    assert text in capsys.readouterr().out
