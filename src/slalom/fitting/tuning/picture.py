"""The picture of levers: how many times as fast each makes an update; and of batch sizes."""

from __future__ import annotations

import html
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Protocol

from slalom.errors import InputError
from slalom.fitting.tuning.verdict import OTHER, ROUNDING, SAME
from slalom.report.chart import Chart, Trace
from slalom.report.export import drawn_to
from slalom.report.figures import figure, height
from slalom.report.page import asset
from slalom.report.style import PLAIN, Key, Style, style
from slalom.train import atomic

if TYPE_CHECKING:
    import plotly.graph_objects as go


class Found(Protocol):
    """What is drawn: a :class:`slalom.fitting.tuning.tuned.Tuned`."""

    @property
    def code(self) -> str:
        """To paste."""
        ...

    def rows(self) -> list[dict[str, Any]]:
        """Of levers."""
        ...

    def size_rows(self) -> list[dict[str, Any]]:
        """Of sizes of the batch."""
        ...


LOOKS: dict[str, Style] = {SAME: style(2), ROUNDING: style(0), OTHER: style(1)}
"""Of what is done to the numbers."""

WIDE = 5
"""How far apart ratios lie where they are drawn on a logarithmic axis."""

PAGE = """<!doctype html>
<html lang="en" class="printed">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="light">
<link rel="icon" href="data:,">
<title>Slalom: what makes an update cheaper</title>
<style>$style</style>
<script>$plotly</script>
</head>
<body>
<main>
<h1>Slalom: what makes an update cheaper</h1>
<h2>To paste</h2>
<pre tabindex="0" role="region" aria-label="Code to paste"><code>$code</code></pre>
$plots
<h2>All numbers</h2>
<pre tabindex="0" role="region" aria-label="All numbers">$table</pre>
</main>
</body>
</html>
"""


def levers(tuned: Found) -> Chart | None:
    """How many times as fast an update is with each lever, with its interval; None where none was
    measured."""
    rows = [row for row in tuned.rows() if "times" in row]
    words = [row["name"] for row in rows]
    if not rows:
        return None
    traces = [Trace("", "", PLAIN, [1.0, 1.0], [words[0], words[-1]], mark="none", faint=True)]
    for row in rows:
        look, numbers = LOOKS[row["numbers"]], row["numbers"]
        told = [f"{row['ms']:.3f} ms a step, {row['peak MB']:,.0f} MB"]
        ends = [row.get("low", row["times"]), row.get("high", row["times"])]
        traces.append(Trace(numbers, row["name"], look, ends, [row["name"]] * 2, mark="none"))
        traces.append(Trace(
            numbers, row["name"], look, [row["times"]], [row["name"]], mark="own", joined=False,
            told=told,
        ))  # fmt: skip
    said = (
        "Points are medians of the turns, lines their intervals of 95%; what is right of 1 was "
        "faster than the task as it is. A point without a line had too few turns to tell."
    )
    times = [row["times"] for row in rows]
    wide = max(times) > WIDE * min(times)
    return Chart("levers", "What makes an update cheaper", traces, "times as fast", "", "", said,
                 frozenset("x") if wide else frozenset(), words)  # fmt: skip


def sizes(tuned: Found) -> Chart | None:
    """Samples a second by the size of the batch; None where that was not measured."""
    rows = tuned.size_rows()
    if not rows:
        return None
    low, high = ([r.get(end, r["samples/s"]) for r in rows] for end in ("low", "high"))
    band = (low, high)
    line = Trace(
        "samples a second", "samples a second", style(0), [float(r["batch"]) for r in rows],
        [r["samples/s"] for r in rows], band, mark="own",
    )  # fmt: skip
    said = (
        "The band is the interval of 95%. A batch of another size is another run: which is there "
        "sooner is for a race to say, and not for samples a second."
    )
    return Chart("sizes", "Samples a second by the size of the batch", [line],
                 "samples in an update", "samples a second", "", said, frozenset("x"))  # fmt: skip


def charts(tuned: Found) -> dict[str, Chart]:
    """All that there are, by name."""
    found = {"levers": levers(tuned), "sizes": sizes(tuned)}
    return {name: chart for name, chart in found.items() if chart is not None}


def drawn(tuned: Found, what: str) -> go.Figure:
    """A chart as a plotly figure. Raises :class:`InputError` for one that there is not."""
    there = charts(tuned)
    if what not in there:
        known = ", ".join(there) or "none"
        raise InputError(f"there is no picture of {what!r} here; there are {known}")
    made = figure(there[what])
    made.update_layout(
        title={"text": there[what].caption, "font": {"size": 15}}, margin={"t": 90},
        height=height(there[what]) + 80,
    )  # fmt: skip
    return made


def write(tuned: Found, path: Path) -> Path:
    """Write table, picture and code as one page that needs nothing else (``.html``), or the
    picture of the levers alone (``.svg``, ``.png``). Raises :class:`InputError` for another name,
    or where nothing can be written."""
    refuse(path)
    if path.suffix == ".html":
        return atomic.write(page(tuned).encode(), path)
    keys = [Key(name, name, look) for name, look in LOOKS.items()]
    if (chart := levers(tuned)) is None:
        raise InputError("no lever was measured, so that there is nothing to draw; give more time")
    return drawn_to(chart, keys, path)


def refuse(path: Path) -> None:
    """Raise :class:`InputError` where :func:`write` will."""
    if path.suffix not in (".html", ".svg", ".png"):
        raise InputError(f"{path} is to end in .html, .svg or .png")
    atomic.refuse_no_file(path)


def page(tuned: Found) -> str:
    """The page as HTML."""
    parts = []
    for chart in charts(tuned).values():
        plot = figure(chart).to_html(full_html=False, include_plotlyjs=False)
        parts.append(f"<h2>{html.escape(chart.caption)}</h2>{plot}<p>{html.escape(chart.said)}</p>")
    code = html.escape(tuned.code or "nothing here makes an update faster, as far as can be told")
    return Template(PAGE).substitute(
        style=asset("page.css"), plotly=asset("plotly-basic.min.js"), code=code,
        table=html.escape(repr(tuned).rpartition("\n\n")[0]), plots="\n".join(parts),
    )  # fmt: skip
