"""Watching a race: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.table import Table
from rich.text import Text

from slalom.racing import events
from slalom.racing.status import Stage, Status

ROWS = 16
"""Entrants shown at most."""


class Live:
    """A watcher for :func:`slalom.race`, as a context manager; silent if ``quiet``.

    Attributes:
        folder: of the race's ledger; None until the race has begun.
    """

    def __init__(self, *, quiet: bool = False, console: Console | None = None):
        self._console = console or Console()
        self._quiet = quiet
        self._rows: dict[tuple[str, int], events.Moved] = {}
        self._stage = ""
        self._plan: tuple[float, int, int] | None = None  # since when, runs planned, runs done
        self._start = time.monotonic()
        self._started: events.Started | None = None
        self._live: Any = None
        self.folder: Path | None = None

    def __enter__(self) -> Live:
        if not self._quiet and self._console.is_terminal:
            self._live = RichLive(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the live table off the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.Started):
            self._started, self.folder = event, event.folder
            self._say(f"{event.task}: {', '.join(event.entrants)}; {event.goal}")
        elif isinstance(event, events.Told):
            self._stage, self._plan = event.text, None
            self._say(event.text)
        elif isinstance(event, events.Planned):
            self._plan = time.monotonic(), event.runs, 0
        elif isinstance(event, events.Moved):
            self._rows[event.label, event.seed] = event
            if self._plan is not None:
                since, runs, done = self._plan
                self._plan = since, runs, done + 1
            if event.stage == Stage.HEAT and event.status in (
                Status.REACHED,
                Status.FAILED,
                Status.DIVERGED,
            ):
                self._say(_line(event), plain_only=True)
        elif isinstance(event, events.Finished):
            self.stop()
        if self._live is not None:
            self._live.update(self._table())

    def _say(self, text: str, *, plain_only: bool = False) -> None:
        if self._quiet or (plain_only and self._live is not None):
            return
        elapsed = time.monotonic() - self._start
        self._console.print(f"{elapsed:5.1f} s  {text}", markup=False, highlight=False)

    def _table(self) -> Group:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("entrant", "", "step", "metric"):
            table.add_column(name, justify="left" if name in ("entrant", "") else "right")
        latest: dict[str, events.Moved] = {row.label: row for row in self._rows.values()}
        order = {Status.REACHED: 0, Status.RUNNING: 1}
        rows = sorted(latest.values(), key=lambda r: (order.get(r.status, 2), r.step))
        for row in rows[:ROWS]:
            metric = "" if math.isnan(row.metric) else f"{row.metric:.4f}"
            step = row.steps_to_target if row.steps_to_target is not None else row.step
            table.add_row(Text(row.label), row.status, f"{step:,}", metric)
        more = len(rows) - ROWS
        foot = f"... and {more} more" if more > 0 else ""
        head = f"{time.monotonic() - self._start:.0f} s  {self._stage}{self._left()}"
        return Group(Text(head), table, Text(foot, style="dim"))

    def _left(self) -> str:
        """Time to the next look at the finals, at the rate so far; heats end when they end."""
        if self._plan is None or not self._plan[2]:
            return ""
        since, runs, done = self._plan
        seconds = (time.monotonic() - since) / done * (runs - done)
        return f"  ({done} of {runs} runs, about {seconds:.0f} s left to the next look)"


def _line(event: events.Moved) -> str:
    if event.status == Status.REACHED:
        return f"{event.label} reached the target in {event.steps_to_target} steps"
    when = f"at step {event.step:,}" if event.step else "before its first evaluation"
    return f"{event.label} {event.status} {when}"
