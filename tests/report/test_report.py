"""What people look at in a terminal: tables and progress."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console

from slalom.racing import events
from slalom.report.live import Live
from slalom.report.table import standings, wrapped


def test_the_table_has_a_row_for_each_rule(raced):
    out = io.StringIO()
    Console(file=out, width=140).print(standings(raced, 140))
    lines = out.getvalue().splitlines()
    assert len(lines) == 1 + len(raced.standings)
    assert raced.standings[0].label in lines[1]


LONG = {"lr": 0.00516, "betas[0]": 0.861, "betas[1]": 0.9806, "batch_size": 16}


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("searched", ["lr", "all"])
def test_tables_break_between_words_and_lose_no_number(raced, width, searched, monkeypatch):
    rows = raced.standings
    if searched == "all":
        name = f"NAdam({', '.join(f'{n}={v}' for n, v in LONG.items())})"
        rows = [replace(s, label=name) for s in rows]
    monkeypatch.setattr(raced, "standings", rows)
    out = io.StringIO()
    console = Console(file=out, width=width)
    console.print(standings(raced, width))
    lines = out.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    seen = Counter(out.getvalue().split())
    for s in rows:
        cells = [s.label, s.told, f"{s.reached} of {s.seeds}", f"{s.steps_to_target or 0:,.0f}"]
        for word in " ".join(cells).split():
            assert any(word in found for found in seen), word
    assert "…" not in out.getvalue()


def test_sentences_break_between_words():
    text = "a word and anotherword of 1,234 steps"
    assert wrapped(text, 20) == ["a word and", "anotherword of 1,234", "steps"]
    assert wrapped(text, 20, 2, 1) == [" a word and", "  anotherword of", "  1,234 steps"]
    assert wrapped("x" * 50, 20) == ["x" * 50]


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
