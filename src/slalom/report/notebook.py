"""A race in a notebook: its progress while it runs, and its result with curves."""

from __future__ import annotations

import io
import math
import re
import time
from html import escape
from typing import Any

from slalom.errors import InputError
from slalom.racing import events
from slalom.racing.result import Result
from slalom.racing.status import Status
from slalom.report.charts import charts
from slalom.report.drawings import drawing
from slalom.report.style import legend
from slalom.report.table import columns
from slalom.report.told import bill

ROWS, SECONDS = 10, 0.5
"""Entrants shown while it races, at most, and seconds from one picture to the next, at least."""


def as_html(result: Result) -> str:
    """The verdict, the standings and the curves; no text of the user's is markup."""
    heads = ["", "entrant", *(column.head(result) for column in columns(result))]
    rows = [
        [str(s.place), s.label, *(column.cell(s) for column in columns(result))]
        for s in result.standings
    ]
    code = f"<pre>{escape(result.winner.snippet())}</pre>" if result.winner is not None else ""
    return (
        f"<p>{escape(result.verdict.text)}</p>{_table(heads, rows)}{code}"
        f"<p>{escape(bill(result))}</p>{_curves(result)}"
    )


def _table(heads: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th style='text-align:left'>{escape(h)}</th>" for h in heads)
    body = "".join(
        f"<tr>{''.join(f'<td style=text-align:left>{escape(c)}</td>' for c in row)}</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _curves(result: Result) -> str:
    """The metric's curves as a drawing; where matplotlib is missing, how to have them."""
    drawn = next(iter(charts(result)), None)
    if drawn is None:
        return ""
    out = io.StringIO()
    try:
        drawing(drawn, legend(result)).savefig(out, format="svg")
    except InputError:
        return "<p><code>result.plot.curves()</code> draws its curves.</p>"
    svg = out.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    return (
        f"<figure style='margin:1em 0;max-width:46em;background:white' role='img' "
        f"aria-label='{escape(drawn.caption)}'>{svg}</figure>"
    )


def in_notebook() -> bool:
    """Whether what is displayed here is shown by a notebook."""
    try:
        from IPython.core.getipython import get_ipython  # type: ignore[import-not-found]
    except ImportError:
        return False
    return "IPKernelApp" in getattr(get_ipython(), "config", {})


class Progress:
    """A watcher for :func:`slalom.race` that keeps one picture of it up to date.

    Args:
        show: called with HTML, again and again; by default IPython displays it in one place.
    """

    def __init__(self, show: Any = None):
        self._show = show or _displayed()
        self._start = time.monotonic()
        self._last = -math.inf
        self._head, self._stage = "", ""
        self._planned, self._done = 0, 0
        self._rows: dict[str, events.Moved] = {}

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.Started):
            self._head = f"{event.task}: {', '.join(event.entrants)}; {event.goal}"
        elif isinstance(event, events.Told):
            self._stage, self._planned, self._done = event.text, 0, 0
        elif isinstance(event, events.Planned):
            self._planned, self._done = event.runs, 0
        elif isinstance(event, events.Moved):
            self._rows[event.label] = event
            self._done += 1
        now = time.monotonic()
        if isinstance(event, events.Finished):
            self._show(f"<p>{escape(self._head)}: raced in {now - self._start:.0f} s</p>")
        elif not isinstance(event, events.Moved) or now - self._last >= SECONDS:
            self._last = now
            self._show(self.html())

    def html(self) -> str:
        """The picture as it is now."""
        order = {Status.REACHED: 0, Status.RUNNING: 1}
        rows = sorted(self._rows.values(), key=lambda r: (order.get(r.status, 2), r.step))
        cells = [
            [r.label, str(r.status),
             f"{r.step if r.steps_to_target is None else r.steps_to_target:,}",
             "" if math.isnan(r.metric) else f"{r.metric:.4g}"]
            for r in rows[:ROWS]
        ]  # fmt: skip
        more = len(rows) - ROWS
        bar = ""
        if self._planned:
            done = min(self._done, self._planned)
            bar = (
                f"<progress max='{self._planned}' value='{done}' aria-label='runs of this stage'>"
                f"</progress> {done} of {self._planned} runs"
            )
        return (
            f"<p>{escape(self._head)}<br>{time.monotonic() - self._start:.0f} s  "
            f"{escape(self._stage)} {bar}</p>{_table(['entrant', '', 'step', 'metric'], cells)}"
            + (f"<p>and {more} more</p>" if more > 0 else "")
        )


def _displayed() -> Any:
    """What shows HTML in one place of a notebook."""
    from IPython.core.display import HTML  # type: ignore[import-not-found]
    from IPython.core.display_functions import display  # type: ignore[import-not-found]

    handle = display(HTML(""), display_id=True)
    return lambda text: handle.update(HTML(text))
