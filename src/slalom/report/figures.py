"""Charts as plotly figures, for the page and for notebooks."""

from __future__ import annotations

from html import escape
from typing import Any

import plotly.graph_objects as go

from slalom.report.chart import UNITS, Chart, Trace, along

SPARSE = 8
"""Markers along a line, about."""

FONT = {"family": "system-ui, sans-serif", "size": 13}


def figure(chart: Chart, unit: str = UNITS[0]) -> go.Figure:
    """A chart, its training counted in ``unit``.

    ``layout.meta`` says what the page needs to change it: the numbers in every unit, the rule of
    each trace, and which axes may be logarithmic.
    """
    drawn = go.Figure()
    counted: dict[str, list[Any]] = {name: [] for name in UNITS}
    rules: list[str] = []
    labelled: set[str] = set()
    for trace in chart.traces:
        if trace.band is not None:
            drawn.add_scatter(**_band(trace, chart, unit))
            _count(counted, chart, trace, twice=True)
            rules.append(trace.rule)
        first = bool(trace.rule) and not trace.faint and trace.rule not in labelled
        labelled |= {trace.rule} if first else set()
        drawn.add_scatter(**_line(trace, chart, unit), showlegend=first)
        _count(counted, chart, trace)
        rules.append(trace.rule)
    if chart.target is not None:
        drawn.add_hline(
            chart.target, line={"dash": "dot", "width": 1.5},
            label={"text": "target", "textposition": "end", "yanchor": "top"},
        )  # fmt: skip
    positive = {axis: _positive(chart, axis) for axis in "xy"}
    drawn.update_layout(
        template="none", font=FONT, height=height(chart),
        margin={"l": 64, "r": 12, "t": 12, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", hovermode="closest",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        meta={"counted": chart.counted, "units": counted, "rules": rules, "positive": positive},
    )  # fmt: skip
    for axis in "xy":
        drawn.update_layout({f"{axis}axis": {
            "title": {"text": escape(chart.title(axis, unit))}, "automargin": True,
            "type": "log" if axis in chart.log else None, "zeroline": False,
            # few labels: one a decade, and those of 2 and 5 where there are only two or three
            **({"nticks": 5, "minor": {"ticks": "outside", "ticklen": 3}}
               if axis in chart.log else {}),
        }})  # fmt: skip
    if chart.words:
        words = [escape(word) for word in reversed(chart.words)]
        drawn.update_yaxes(type="category", categoryorder="array", categoryarray=words)
    if chart.span is not None:
        drawn.update_yaxes(range=list(chart.span))
    return drawn


def height(chart: Chart) -> int:
    """Pixels from above to below, as many as its words need."""
    return 110 + 44 * len(chart.words) if chart.words else 360


def _count(into: dict[str, list[Any]], chart: Chart, trace: Trace, *, twice: bool = False) -> None:
    """Note the numbers of a trace on the counted axis, there and back again for a band."""
    if chart.counted:
        for name, series in into.items():
            values = along(getattr(trace, chart.counted), name)
            series.append([*values, *values[::-1]] if twice else values)


def _band(trace: Trace, chart: Chart, unit: str) -> dict[str, Any]:
    """The area of a band, as a closed line."""
    assert trace.band is not None
    x = along(trace.x, unit)
    low, high = (along(side, unit) for side in trace.band)
    return {
        "x": [*x, *x[::-1]], "y": [*high, *low[::-1]], "fill": "toself", "mode": "lines",
        "fillcolor": _clear(trace.style.colour, 0.16), "line": {"width": 0}, "hoverinfo": "skip",
        "showlegend": False, "legendgroup": trace.rule,
    }  # fmt: skip


def _line(trace: Trace, chart: Chart, unit: str) -> dict[str, Any]:
    """The line of a trace and its points."""
    x, y = along(trace.x, unit), along(trace.y, unit)
    if chart.words:
        y = [None if word is None else escape(str(word)) for word in y]
    sideways = chart.counted == "x"
    look: dict[str, Any] = {
        "none": {"symbol": trace.style.marker, "size": 4 if trace.faint else 6},
        "sparse": {"symbol": trace.style.marker, "size": 8, "maxdisplayed": SPARSE},
        "own": {"symbol": trace.style.marker, "size": 8},
        "stopped": {"symbol": f"arrow-{'right' if sideways else 'up'}-open", "size": 10},
        "lost": {"symbol": "x-thin-open", "size": 8},
        "middle": {"symbol": f"line-{'ns' if sideways else 'ew'}-open", "size": 24},
        "ray": {},
    }[trace.mark]
    marked = trace.mark not in ("none", "ray") or len(x) == 1  # a run of one point is a point
    mode = "+".join([*(["lines"] if trace.joined else []), *(["markers"] if marked else [])])
    wide = {"middle": 3.0, "stopped": 1.5, "lost": 2.0}.get(trace.mark, 0.0)
    return {
        "x": x, "y": y, "mode": mode, "name": escape(trace.rule or trace.label),
        "legendgroup": trace.rule,
        "line": {
            "color": trace.style.colour, "width": 1 if trace.faint else 2.25,
            "dash": "dot" if trace.mark == "ray" else trace.style.dash,
        },
        "marker": {**look, "color": trace.style.colour, "line": {"width": wide}},
        "text": [escape(told) for told in trace.told] or None,
        "meta": [escape(chart.title("x", unit)), escape(chart.title("y", unit))],
        **_hover(trace, chart),
    }  # fmt: skip


def _hover(trace: Trace, chart: Chart) -> dict[str, Any]:
    """What a point says when it is pointed at: names, and numbers with their units."""
    if not trace.rule or trace.mark == "ray":
        return {"hoverinfo": "skip"}
    numbers = "%{x:,.4~g} %{meta[0]}"
    if not chart.words:
        numbers = f"{numbers}<br>%{{y:,.4~g}} %{{meta[1]}}"
    told = "<br>%{text}" if trace.told else ""
    return {"hovertemplate": f"{escape(trace.label)}<br>{numbers}{told}<extra></extra>"}


def _positive(chart: Chart, axis: str) -> bool:
    """Whether a logarithmic axis would show all there is."""
    if axis == "y" and chart.words:
        return False
    found = [
        value for trace in chart.traces for unit in UNITS
        for value in along(getattr(trace, axis), unit)
    ]  # fmt: skip
    if axis == "y":
        found += [v for t in chart.traces if t.band for side in t.band for v in side]
        found += [] if chart.target is None else [chart.target]
    return all(v is None or (not isinstance(v, str) and v > 0) for v in found)


def _clear(colour: str, opacity: float) -> str:
    """A colour that lets others through."""
    parts = (str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))
    return f"rgba({','.join(parts)},{opacity})"
