"""The page of a race: what it says, and what a real browser, a keyboard and axe make of it."""

from __future__ import annotations

import html
import itertools
import re
from dataclasses import replace

import pytest
import torch

import browser
import slalom
from browser import asked, chromium, contrast
from slalom.api import RaceResult
from slalom.racing.events import Moved, Told
from slalom.racing.status import Stage
from slalom.report import page as pages
from slalom.report.chart import rounded, thinned
from slalom.report.charts import charts
from slalom.report.figures import figure
from slalom.report.needed import _valleys
from slalom.report.page import asset, page
from slalom.report.profiles import profile
from slalom.report.style import COLOURS, GREY, legend, style
from slalom.report.told import title
from small import small_task

EVIL = "<script>alert('x')</script>&<b>"


@pytest.fixture(scope="session")
def evil(tmp_path_factory):
    """A race whose every name would like to be markup."""

    def failing(params):
        raise ValueError(EVIL)

    entrants = {
        EVIL: (torch.optim.Adam, {"lr": (0.01, 0.05)}), "[red]SGD": slalom.optim.SGD,
        "failing": failing,
    }  # fmt: skip
    task = small_task(name=EVIL)
    folder = tmp_path_factory.mktemp("evil") / "race"
    return slalom.race(task, entrants=entrants, points_each=3, seeds=3, out=folder)


def test_the_page_says_what_the_result_says(raced):
    text = page(raced)
    assert html.escape(raced.verdict.text) in text
    for line in raced.winner.snippet().splitlines():
        assert line in text
    for s in raced.standings:
        assert s.label in text
        assert html.escape(s.told) in text
    for chart in charts(raced):
        assert html.escape(chart.said) in text
    assert f"<title>{title(raced)}</title>" in text
    assert text.count('<script type="application/json">') == len(charts(raced)) == 6
    assert html.escape(raced.meta["again"]) in text


def test_the_page_is_small(raced):
    assert len(page(raced).encode()) < 2_000_000


def test_no_text_becomes_markup(evil):
    text = page(evil)
    body = text[: text.index("<script>/**")]
    assert "<script>alert" not in text
    assert "<b>" not in body
    assert "&lt;script&gt;alert" in text


def test_long_curves_are_thinned():
    assert thinned(range(10), 300) == list(range(10))
    kept = thinned(range(10_000), 300)
    assert len(kept) <= 300
    assert (kept[0], kept[-1]) == (0, 9999)


def test_numbers_have_five_digits():
    assert [rounded(x) for x in (0.123456789, 1234567.0, 2.0, float("nan"))] == [
        0.12346, 1234600, 2, None,
    ]  # fmt: skip


def test_a_median_and_its_band_are_of_the_runs_that_there_are(raced):
    (chart, *_) = charts(raced)
    rule = raced.standings[0].rule
    (trace,) = [t for t in chart.traces if t.rule == rule and not t.faint]
    runs = [c for c in raced.curves if c.stage == "final" and c.rule == rule]
    step = trace.x["steps"][0]
    values = sorted(c.metric[c.step.index(step)] for c in runs)
    assert len(values) == 3
    assert trace.y[0] == values[1]
    assert trace.band[0][0] == pytest.approx((values[0] + values[1]) / 2)
    assert trace.x["samples"][0] == step * 16
    ends = sorted(c.step[-1] for c in runs)
    assert trace.x["steps"][-1] == ends[1]  # two of three train until there


def test_points_of_the_finals_are_the_ledgers(raced):
    (chart,) = [c for c in charts(raced) if c.name == "finals"]
    for s in raced.standings:
        for arrived, mark in ((True, "own"), (False, "stopped")):
            drawn = [x for t in chart.traces if (t.rule, t.mark) == (s.rule, mark)
                     for x in t.x["samples"]]  # fmt: skip
            runs = raced.finals[s.rule].values()
            assert sorted(drawn) == sorted(r.work * 16 for r in runs if r.arrived == arrived)


def test_a_metric_that_is_the_loss_is_drawn_once(raced):
    names = [chart.name for chart in charts(raced)]
    by_loss = RaceResult(raced.path)
    by_loss.__dict__["curves"] = [replace(c, metric=c.valid_loss) for c in raced.curves]
    assert [chart.name for chart in charts(by_loss)] == [n for n in names if n != "valid_loss"]


def test_learning_rates_that_were_stopped_are_not_told_as_fast(raced):
    """Each ends in a line upward, none stands where the rule arrived, no valley has no width."""
    (chart,) = [c for c in charts(raced) if c.name == "learning_rates"]
    most = max(v for t in chart.traces if t.mark == "own" for v in t.y["samples"])
    for rule in {t.rule for t in chart.traces}:
        by = {m: [t for t in chart.traces if (t.rule, t.mark) == (rule, m)]
              for m in ("own", "stopped", "ray")}  # fmt: skip
        arrived, stopped = ({x for t in by[m] for x in t.x} for m in ("own", "stopped"))
        assert not arrived & stopped
        lines = [x for t in by["ray"] for x in zip(t.x, t.y["samples"], strict=True)]
        assert {x for x, _ in lines[1::3]} == stopped
        assert all(high > most for _, high in lines[1::3])
    rates = re.findall(r"at ([\d.e-]+) to ([\d.e-]+)", chart.said)
    assert all(low != high for low, high in rates)
    one = [c for c in raced.curves if c.samples_to_target][:1]
    assert _valleys({"Adam": one}) == (
        " Of Adam one rate alone was run to the target: how wide its valley is was not seen."
    )


def test_charts_say_what_they_leave_out(raced):
    chart = charts(raced)[0]
    faint = sum(t.faint for t in chart.traces)
    finals = sum(c.stage != "heat" for c in raced.curves)
    assert chart.said.startswith(f"{faint + finals} of {len(raced.curves)} runs drawn")


# colours


def modes() -> list[dict[str, str]]:
    """The colours of the page by light, and in the dark."""
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", asset("page.css"))
    found = [dict(re.findall(r"--(\w+): (#\w+);", block)) for block in blocks]
    assert len(found) == 2
    return found


def test_lines_and_text_stand_out_by_light_and_in_the_dark():
    for colours in modes():
        for line in (*COLOURS, GREY):
            assert contrast(line, colours["paper"]) >= 3, line
        for ink, on in itertools.product(("ink", "soft"), ("paper", "panel")):
            assert contrast(colours[ink], colours[on]) >= 4.5, (ink, on)


def test_no_two_rules_look_alike():
    looks = [style(i) for i in range(500)]
    assert len(set(looks)) == 500
    assert len({(s.colour, s.dash) for s in looks[:48]}) == 48
    assert GREY not in COLOURS


def test_every_look_has_a_swatch():
    for i in range(100):
        assert style(i).colour in pages.swatch(style(i))


def test_every_rule_of_a_race_is_in_the_legend_once(raced):
    keys = legend(raced)
    assert len({k.rule for k in keys}) == len(keys) == len(raced.standings) + 1
    for chart in charts(raced):
        assert {t.rule for t in chart.traces} <= {"", *(k.rule for k in keys)}


def test_a_run_of_one_point_is_a_point(raced):
    for chart in charts(raced):
        for trace in figure(chart).data:
            if len(trace.x) == 1:
                assert "markers" in trace.mode


# in a browser


@browser.needed
@pytest.mark.parametrize("which", ["raced", "evil"])
def test_in_a_browser(which, request, tmp_path):
    """Every plot is drawn and nothing is said on the console.

    The page's own policy forbids it every request, and the browser would say so there.
    """
    path = request.getfixturevalue(which).report(tmp_path / "page.html")
    assert "Content-Security-Policy\" content=\"default-src 'none'" in path.read_text()
    done = chromium(tmp_path, path.as_uri(), "--dump-dom")
    dom = done.stdout
    assert dom.count('class="main-svg"') >= 5
    assert "alert('x')</script>" not in dom
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert console == []


USE = """
const plots = Array.from(document.querySelectorAll('.plot'));
const press = (plot, key) => plot.dispatchEvent(new KeyboardEvent('keydown', {key: key}));
const wait = () => new Promise((r) => setTimeout(r, 300));
const told = {};
document.querySelectorAll('#unit button')[2].click();
document.querySelectorAll('#values button')[2].click();
await wait();
told.axes = plots.map((p) => [p.layout.xaxis.title.text, p.layout.yaxis.title.text]);
told.log = plots[0].layout.yaxis.type;
told.samples = Math.max(...plots[0].data.map((t) => t.x[t.x.length - 1]));
press(plots[0], 'ArrowRight'); press(plots[0], 'ArrowRight');
told.said = plots[0].parentNode.querySelector('output').textContent;
told.hover = plots[0].querySelectorAll('.hoverlayer .hovertext').length;
document.querySelector('.legend button').click();
await wait();
const rule = document.querySelector('.legend button').dataset.rule;
told.shown = plots.map((p) => p.data.some((t, i) => t.visible !== false && p.layout.meta.rules[i] === rule));
told.focus = plots.every((p) => { p.focus(); return document.activeElement === p; });
tell(told);
"""  # noqa: E501


@browser.needed
def test_switches_legend_and_keys_reach_every_chart(raced, tmp_path):
    told = asked(raced.report(tmp_path / "page.html"), tmp_path, USE)
    counted = [chart.counted for chart in charts(raced)]
    for (x, y), axis in zip(told["axes"], counted, strict=True):
        assert {"x": x, "y": y}.get(axis, "samples") == "samples"
    assert told["log"] == "log"
    assert told["samples"] > 400
    assert told["said"].startswith(raced.standings[0].label)
    assert "samples" in told["said"]
    assert told["hover"] == 1
    assert told["shown"] == [False] * len(counted)
    assert told["focus"]


@browser.needed
@pytest.mark.parametrize("dark", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_axe_finds_nothing(dark, raced, tmp_path):
    """Nor does anything scroll sideways, on a large screen and on a telephone's."""
    inner = raced.report(tmp_path / "page.html")
    assert browser.faults(inner, tmp_path, dark=dark, drawn=(".main-svg", 6)) == []


@pytest.mark.parametrize("runs", [0, 1, 3])
def test_a_full_race_that_was_stopped_is_profiled_on_the_seeds_that_all_ran_on(runs, tmp_path):
    """Who was not run on a seed did not fail to arrive there."""
    moved = 0

    def stop(event: object) -> None:
        nonlocal moved
        moved += isinstance(event, Moved) and event.stage == Stage.FINAL
        if moved == runs and (runs or (isinstance(event, Told) and "finals: " in event.text)):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        slalom.race(
            small_task(), entrants=["SGD", "Adam"], points_each=2, seeds=3, full=True,
            out=tmp_path / "it", watch=stop,
        )  # fmt: skip
    result = slalom.api.RaceResult(tmp_path / "it")
    assert result.report().is_file()
    drawn = profile(result)
    if runs < 2:
        assert drawn is None
    else:
        assert "share of the 1 seed on which" in drawn.said
        assert all(trace.y[-1] == 1 for trace in drawn.traces)
