"""A race in a notebook and in a script: figures, progress, and what objects show of themselves."""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys

import pytest
from test_page import EVIL, evil  # noqa: F401

import slalom
from slalom.errors import InputError
from slalom.racing import events
from slalom.racing.status import Stage, Status
from slalom.report.notebook import Progress, as_html, in_notebook
from small import small_task


@pytest.mark.parametrize("name", ["curves", "learning_rates", "finals", "heats"])
def test_figures_of_either_kind(name, raced):
    make = getattr(raced.plot, name)
    for unit in ("steps", "seconds", "samples"):
        figure = make(unit=unit)
        assert unit in (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text)
        drawn = make(unit=unit, backend="matplotlib")
        assert unit in (drawn.axes[0].get_xlabel(), drawn.axes[0].get_ylabel())
    assert drawn._repr_png_().startswith(b"\x89PNG")  # as a notebook asks, without pyplot
    named = [trace.name for trace in make().data if trace.showlegend]
    assert len(named) == len(set(named)) >= 1


def test_both_kinds_show_the_same_numbers(raced):
    rule = raced.standings[0].rule
    (line,) = [t for t in raced.plot.curves().data if t.legendgroup == rule and t.showlegend]
    drawn = raced.plot.curves(backend="matplotlib").axes[0].lines
    assert any(list(one.get_ydata()) == list(line.y) for one in drawn)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"unit": "epochs"}, "there is no unit 'epochs'"),
        ({"backend": "bokeh"}, "there is no backend 'bokeh'"),
        ({"quantity": "loss"}, "there is no quantity 'loss'"),
    ],
)
def test_other_words_are_refused(how, message, raced):
    with pytest.raises(InputError, match=message):
        raced.plot.curves(**how)
    with pytest.raises(InputError, match="nothing to show"):
        raced.plot.profile()


@pytest.mark.parametrize(
    ("missing", "call"),
    [
        ("matplotlib", lambda r: r.plot.curves(backend="matplotlib")),
        ("pandas", lambda r: r.table()), ("pandas", lambda r: r.to_dataframe()),
    ],
)  # fmt: skip
def test_what_is_not_installed_is_named(missing, call, raced, monkeypatch):
    real = builtins.__import__

    def gone(name, *rest):
        if name.partition(".")[0] == missing:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", gone)
    with pytest.raises(InputError, match=f"pip install {missing}"):
        call(raced)
    assert raced.verdict.text[:20] in as_html(raced)


def test_a_result_shows_itself_with_its_curves(raced, evil):  # noqa: F811
    text = raced._repr_html_()
    for s in raced.standings:
        assert s.label in text
    assert "<svg" in text
    assert "<script" not in evil._repr_html_()
    assert EVIL not in evil._repr_html_()


def test_progress_shows_how_far_a_race_is(tmp_path, monkeypatch):
    seen = []
    now = iter(range(1000))
    monkeypatch.setattr("slalom.report.notebook.time.monotonic", lambda: float(next(now)))
    progress = Progress(seen.append)
    progress(events.Started("<b>t", ["SGD", "Adam"], "accuracy", 0.9, tmp_path))
    progress(events.Told("finals"))
    progress(events.Planned(4))
    progress(events.Moved("Adam(lr=1)", 1000, Stage.FINAL, Status.REACHED, 10, 0.5, 8, 0.1))
    assert "<b>t" not in seen[-1]
    assert "value='1'" in seen[-1]
    assert "max='4'" in seen[-1]
    for told in ("Adam(lr=1)", "reached", "finals", "accuracy 0.9", ">8<"):
        assert told in seen[-1]
    progress(events.Finished(None))  # type: ignore[arg-type]
    assert "raced in" in seen[-1]


def test_outside_a_notebook_nothing_is_shown():
    assert not in_notebook()


def test_what_there_is_reads_as_a_sentence(raced):
    assert repr(small_task()) == (
        "Task small: accuracy, target 0.95; 192 samples to train on, 64 to validate on; batches of "
        "16, at most 400 steps"
    )
    assert "no target" in repr(small_task(target=None))
    assert repr(raced.verdict) == raced.verdict.text
    for standing in raced.standings:
        assert standing.label in repr(standing)
        assert "\n" not in repr(standing)
    assert max(len(repr(curve)) for curve in raced.curves) < 120


def test_what_slalom_has_is_listed_and_there():
    code = "import slalom; print([(n, type(getattr(slalom, n)).__name__) for n in dir(slalom)])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = dict(ast.literal_eval(done.stdout))
    assert {"race", "Task", "InputError", "explain", "optim", "testing", "train"} <= set(found)
    assert not {"Any", "TYPE_CHECKING", "annotations", "importlib", "_LAZY", "ir"} & set(found)
    assert found["testing"] == "module"
    assert set(slalom.__all__) <= set(found)
