"""Performance profiles over several tasks: the shares, what is not known, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

import slalom
from slalom.cli import app
from slalom.errors import InputError
from slalom.racing.needs import Run
from slalom.racing.result import Result
from slalom.report.drawings import drawing
from slalom.report.profiles import profile_of_tasks
from small import small_task


def raced(name: str, full: bool = False, budget: str | None = None, **finals: Any) -> Result:
    """A race's result with these runs: works of those that arrived, or Runs."""
    runs = {
        rule: {i: w if isinstance(w, Run) else Run(w) for i, w in enumerate(own)}
        for rule, own in finals.items()
    }
    told = SimpleNamespace(path=Path(name), meta={"full": full, "budget": budget}, finals=runs)
    return cast(Result, told)


def test_every_task_weighs_the_same_however_many_seeds_it_has():
    one = raced("one", A=[100, 100, 100, 100], B=[100, 150, 150, 220])
    two = raced("two", A=[30, 60], B=[10, 20])
    found, chart, keys = profile_of_tasks([one, two])
    assert [found.share("A", r) for r in (1, 2.9, 3)] == [0.5, 0.5, 1.0]
    assert [found.share("B", r) for r in (1, 1.5, 2.2)] == [0.625, 0.875, 1.0]
    # B is the first more often, so it stands above
    assert [key.rule for key in keys] == ["B", "A"] == list(found.ratios)
    b, a = chart.traces
    assert (a.x[-1], a.y[-1], b.x[-1], b.y[-1]) == (3, 1, 3, 1)
    assert "2 tasks" in chart.said
    assert "arrived at all" in chart.said


def test_nothing_is_told_of_where_somebody_was_stopped():
    stopped = raced("one", A=[100, 100], B=[Run(160, arrived=False), Run(180, arrived=False)])
    other = raced("two", A=[300, 300], B=[100, 100])
    found, chart, _ = profile_of_tasks([stopped, other])
    assert (found.known_to, found.stopped) == (1.6, "B")
    assert [found.share("B", r) for r in (1, 1.59, 1.6, 5)] == [0.5, 0.5, None, None]
    assert {trace.x[-1] for trace in chart.traces} == {1.6}
    assert "Nothing is known beyond 1.6, where B was stopped" in chart.said


def test_a_short_axis_is_told_in_plain_numbers():
    """Of less than a power of ten, whose ticks matplotlib would write as 1.1 times 10 to the 0."""
    pytest.importorskip("matplotlib")
    stopped = raced("one", A=[100, 100], B=[Run(160, arrived=False), Run(180, arrived=False)])
    _, chart, keys = profile_of_tasks([stopped, raced("two", A=[300, 300], B=[100, 100])])
    figure = drawing(chart, keys)
    figure.draw_without_rendering()
    axis = figure.axes[0].xaxis
    told = [t.get_text() for t in (*axis.get_ticklabels(), *axis.get_ticklabels(minor=True))]
    assert [float(text) for text in told if text]


@pytest.mark.parametrize("how", [{"ended": True}, {"full": True}])
def test_who_diverged_or_had_the_whole_cap_did_not_arrive(how):
    lost = Run(10, arrived=False, ended=how.get("ended", False))
    one = raced("one", full=how.get("full", False), A=[100], B=[lost])
    found, _, _ = profile_of_tasks([one, raced("two", A=[50], B=[100])])
    assert (found.known_to, found.share("B", 1e9)) == (float("inf"), 0.5)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([raced("one", A=[1], B=[1])], "needs two races at least"),
        ([raced("one", A=[1], B=[1])] * 2, "one is given twice"),
        (
            [raced("one", budget="2 epochs", A=[1], B=[1]), raced("two", A=[1], B=[1])],
            "one is a race to the end of 2 epochs",
        ),
        ([raced("one", A=[1], B=[1]), raced("two", A=[1], C=[1])], "these have A alone in common"),
        ([raced("one", A=[1]), raced("two", C=[1])], "these have none in common"),
        ([raced("one", A=[1], B=[]), raced("two", A=[1], B=[1])], "one has no seed that all of"),
    ],
)
def test_what_cannot_be_profiled_is_refused(results, message):
    with pytest.raises(InputError, match=message):
        profile_of_tasks(results)


def test_rules_that_are_not_in_all_races_are_named():
    _, chart, _ = profile_of_tasks([raced("one", A=[1], B=[2], C=[1]), raced("two", A=[1], B=[2])])
    assert "left out: C." in chart.said


def test_it_is_printed_drawn_and_plotted_of_real_races(tmp_path):
    results = [
        slalom.race(
            small_task(), entrants=["SGD", "Adam"], points_each=2, seeds=3, seed=seed,
            baseline=None, progress=False, out=tmp_path / str(seed),
        )
        for seed in range(2)
    ]  # fmt: skip
    folders = [str(result.path) for result in results]
    told = CliRunner().invoke(app, ["profile", *folders, "--out", str(tmp_path / "it.svg")])
    assert told.exit_code == 0, told.output
    assert {"SGD", "Adam", "1.3"} <= set(told.output.split())
    assert (tmp_path / "it.svg").read_text().rstrip().endswith("</svg>")
    figure = results[0].plot.profile([results[1]])
    assert {trace["name"] for trace in json.loads(figure.to_json())["data"]} == {"SGD", "Adam"}
    with pytest.raises(InputError, match="a profile is drawn as"):
        CliRunner().invoke(app, ["profile", *folders, "--out", "it.pdf"], catch_exceptions=False)
