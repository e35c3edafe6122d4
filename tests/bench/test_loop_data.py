"""Whole trainings side by side do the same work."""

from __future__ import annotations

import pytest

from slalom.bench import loop_data

SMALL = loop_data.PROBLEMS["training of net 10-16-2"]


def test_the_plain_loop_and_fit_have_the_same_losses():
    assert loop_data.difference(SMALL) < 1e-5
    task = SMALL.make()
    task.make_model(0)
    other = loop_data.plain(task, 1).losses
    assert loop_data.losses_of_ours(task, 1) != pytest.approx([x * 1.001 for x in other])


@pytest.mark.parametrize("name", ["plain loop", "sliced, fused", "slalom.fit", "bare", "skorch"])
def test_each_makes_the_steps_that_it_is_timed_by(name):
    task = SMALL.make()
    task.make_model(0)
    turn = loop_data.CONTENDERS[name](task, 1)
    assert turn.steps == 36
    assert turn.seconds > 0


def test_what_is_below_its_bar_is_said(monkeypatch, capsys):
    times = {"plain loop": 3.1e-4, "slalom.fit": 2e-4, "bare": 1e-4}
    monkeypatch.setattr(loop_data, "timed", lambda *_: times)
    missed = loop_data.main(1, SMALL.name)
    assert missed == [
        "training of net 10-16-2: fit is 1.55 times the plain loop, below 3.0",
        "training of net 10-16-2: a step of fit is 2.00 times the bare one, above 1.05",
    ]
    assert "1.55x" in capsys.readouterr().out
