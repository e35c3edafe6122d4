"""What people look at: tables, progress, and the page, in text and in a real browser."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess

import pytest
import torch
from rich.console import Console

import slalom
from slalom.racing import events
from slalom.report import figures
from slalom.report.live import Live
from slalom.report.page import page
from slalom.report.table import standings
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


def test_the_table_has_a_row_for_each_rule(raced):
    out = io.StringIO()
    Console(file=out, width=120).print(standings(raced))
    lines = out.getvalue().splitlines()
    assert len(lines) == 1 + len(raced.standings)
    assert raced.standings[0].label in lines[1]


def test_the_page_says_what_the_result_says(raced):
    text = page(raced)
    assert raced.verdict.text in text
    for line in raced.winner.snippet().splitlines():
        assert line in text
    for s in raced.standings:
        assert s.label in text
    assert text.count('<script type="application/json">') == 5


def test_no_text_becomes_markup(evil):
    text = page(evil)
    body = text[: text.index("<script>/**")] if "<script>/**" in text else text
    assert "<script>alert" not in text
    assert "<b>" not in body
    assert "&lt;script&gt;alert" in text


def test_long_curves_are_thinned():
    assert figures.thinned(range(10)) == list(range(10))
    kept = figures.thinned(range(10_000))
    assert len(kept) <= figures.POINTS
    assert (kept[0], kept[-1]) == (0, 9999)


def test_progress_without_a_terminal_is_plain_lines(tmp_path):
    out = io.StringIO()
    with Live(console=Console(file=out, force_terminal=False)) as live:
        live(events.Started("t", ["SGD", "Adam"], "accuracy", 0.9, tmp_path))
        live(events.Moved("Adam(lr=1)", 0, "heat", "running", 10, 0.5, None, None))
        live(events.Moved("Adam(lr=1)", 0, "heat", "reached", 30, 0.95, 20, 0.1))
        live(events.Told("finals: [bold]x[/bold]"))
    lines = out.getvalue().splitlines()
    assert [line.split("s  ", 1)[1] for line in lines] == [
        "t: SGD, Adam; accuracy 0.9",
        "Adam(lr=1) reached the target in 20 steps",
        "finals: [bold]x[/bold]",
    ]
    assert "\x1b" not in out.getvalue()
    assert live.folder == tmp_path


def test_the_time_to_the_next_look_is_told_in_the_finals(tmp_path, monkeypatch):
    out = io.StringIO()
    now = iter(range(0, 1000, 2))
    monkeypatch.setattr("slalom.report.live.time.monotonic", lambda: float(next(now)))
    live = Live(console=Console(file=out, width=100))
    live(events.Moved("Adam(lr=1)", 0, "heat", "running", 10, 0.5, None, None))
    assert live._left() == ""
    live(events.Planned(5))
    assert live._left() == ""
    live(events.Moved("Adam(lr=1)", 1000, "final", "reached", 10, 0.5, 10, 0.1))
    assert live._left() == "  (1 of 5 runs, about 8 s left to the next look)"
    live(events.Told("the clock"))
    assert live._left() == ""


def test_progress_on_a_terminal_is_a_table(tmp_path):
    out = io.StringIO()
    with Live(console=Console(file=out, force_terminal=True, width=100)) as live:
        live(events.Started("t", ["SGD", "Adam"], "accuracy", 0.9, tmp_path))
        for i in range(40):
            live(events.Moved(f"Adam(lr={i})", 0, "heat", "running", 10, 0.5, None, None))
        live(events.Moved("[red]of the user's[/]", 0, "heat", "reached", 10, 0.5, 10, 0.1))
    assert "\x1b[" in out.getvalue()
    assert "[red]of the user's[/]" in out.getvalue()
    assert "and 25 more" in out.getvalue()


def test_quiet_is_quiet(tmp_path):
    out = io.StringIO()
    with Live(quiet=True, console=Console(file=out, force_terminal=True)) as live:
        live(events.Started("t", ["SGD", "Adam"], "accuracy", 0.9, tmp_path))
        live(events.Told("finals"))
    assert out.getvalue() == ""


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


def chromium(tmp_path, url: str, *flags: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    return subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
            "--virtual-time-budget=10000", *flags, url,
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@browser
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


@browser
@pytest.mark.parametrize("width", [390, 1200])
def test_no_sideways_scrolling(width, raced, tmp_path):
    inner = raced.report(tmp_path / "page.html")
    measure = tmp_path / "measure.html"  # a headless window cannot be narrower than 500
    measure.write_text(
        f'<iframe id="f" src="{inner.name}" style="width:{width}px;height:900px;border:0"></iframe>'
        "<script>setTimeout(() => { const d = document.getElementById('f').contentDocument;"
        "document.title = JSON.stringify([d.documentElement.scrollWidth, d.querySelectorAll("
        "'.main-svg').length]) }, 4000)</script>"
    )
    done = chromium(tmp_path, measure.as_uri(), "--dump-dom", "--allow-file-access-from-files")
    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found, done.stderr[-500:]
    scroll, plots = json.loads(found[1])
    assert plots >= 5
    assert scroll <= width


@browser
def test_the_switch_changes_the_axis(raced, tmp_path):
    path = raced.report(tmp_path / "page.html")
    text = path.read_text().replace(
        "</body>",
        "<script>setTimeout(() => { document.querySelectorAll('.switch button')[2].click();"
        "setTimeout(() => { document.title = JSON.stringify(Array.from(document.querySelectorAll("
        "'.plot')).slice(0, 3).map(p => [p.layout.xaxis.title.text, p.data[0].x.length])) }, 500)"
        "}, 2000)</script></body>",
    )
    path.write_text(text)
    done = chromium(tmp_path, path.as_uri(), "--dump-dom")
    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found
    titles = json.loads(found[1].replace("&quot;", '"'))
    assert [t for t, _ in titles] == ["samples"] * 3
    assert all(n > 1 for _, n in titles)
