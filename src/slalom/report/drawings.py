"""Charts as matplotlib figures, for papers; needs matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from slalom.errors import InputError
from slalom.report.chart import UNITS, Chart, Trace, along
from slalom.report.style import Key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DASHES = {
    "solid": "-", "dash": (0, (4, 2)), "dot": (0, (1, 1.5)), "dashdot": (0, (4, 1.5, 1, 1.5)),
    "longdash": (0, (8, 2)), "longdashdot": (0, (8, 1.5, 1, 1.5)),
}  # fmt: skip
MARKERS = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "cross": "P",
    "pentagon": "p", "star": "*", "hexagon": "h", "triangle-down": "v", "triangle-left": "<",
    "octagon": "8", "triangle-right": ">",
}  # fmt: skip
"""Matplotlib's for plotly's names."""

SPARSE = 8


def drawing(chart: Chart, keys: Sequence[Key], unit: str = UNITS[0]) -> Figure:
    """A chart with its legend, its training counted in ``unit``; of no window, and of no pyplot.

    Raises :class:`InputError` where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            "drawings need matplotlib: pip install matplotlib, or slalom[plots]"
        ) from error

    tall = 1.2 + 0.42 * len(chart.words) if chart.words else 3.6
    figure = Figure(figsize=(7.2, tall), layout="constrained")
    axes = figure.subplots()
    for axis in "xy":
        if axis in chart.log:
            getattr(axes, f"set_{axis}scale")("log")
        getattr(axes, f"set_{axis}label")(chart.title(axis, unit), parse_math=False)
    rows = {word: i for i, word in enumerate(chart.words)}
    for order, trace in enumerate(chart.traces):
        _draw(axes, trace, chart, unit, rows, 2 + order / 100)
    if chart.words:
        axes.set_yticks(range(len(rows)), list(rows), parse_math=False)
        axes.invert_yaxis()
    if chart.target is not None:
        axes.axhline(chart.target, color="black", linestyle=":", linewidth=1)
    if chart.span is not None:
        axes.set_ylim(*chart.span)
    for axis in chart.log:
        own = getattr(axes, f"{axis}axis")
        low, high = own.get_view_interval()
        if high < 10 * low:  # where powers of ten would say 1.1 as 1.1 x 10^0
            own.set_major_formatter("{x:g}")
            own.set_minor_formatter("{x:g}")
    axes.set_title(chart.caption, loc="left", fontsize="medium", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3, linewidth=0.6)
    drawn = {trace.rule for trace in chart.traces}
    shown = [key for key in keys if key.rule in drawn]
    if not chart.words and shown:
        from matplotlib.lines import Line2D

        lines = [Line2D([], [], **_look(key.style)) for key in shown]
        legend = figure.legend(
            lines, [key.name for key in shown], loc="outside lower center", ncols=4, frameon=False,
            fontsize="small",
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)
    setattr(figure, "_repr_png_", partial(_png, figure))  # noqa: B010, as notebooks ask for it
    return figure


def _png(figure: Figure) -> bytes:
    """The figure as a notebook shows it, which knows of no figure that pyplot did not make."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


def _look(style: Any) -> dict[str, Any]:
    return {
        "color": style.colour, "linestyle": DASHES[style.dash], "marker": MARKERS[style.marker],
        "markersize": 5, "linewidth": 1.6,
    }  # fmt: skip


def _draw(
    axes: Any, trace: Trace, chart: Chart, unit: str, rows: dict[str, int], order: float
) -> None:
    nan = float("nan")
    x, y = (
        [nan if v is None else rows.get(v, nan) if isinstance(v, str) else v for v in series]
        for series in (along(trace.x, unit), along(trace.y, unit))
    )
    look = _look(trace.style) | {"zorder": order}
    if trace.faint:
        look |= {"linewidth": 0.6, "markersize": 2}
    sideways = chart.counted == "x"
    own = {
        "none": {"marker": "" if len(x) > 1 else look["marker"]},
        "sparse": {"markevery": max(1, len(x) // SPARSE)},
        "own": {},
        "stopped": {"marker": ">" if sideways else "^", "markerfacecolor": "none"},
        "lost": {"marker": "x"},
        "middle": {"marker": "|" if sideways else "_", "markersize": 16, "markeredgewidth": 2},
        "ray": {"marker": "", "linestyle": ":"},
    }[trace.mark]
    look |= own
    if not trace.joined:
        look |= {"linestyle": "none"}
    axes.plot(x, y, **look)
    if trace.band is not None:
        low, high = (along(side, unit) for side in trace.band)
        axes.fill_between(x, low, high, color=trace.style.colour, alpha=0.16, linewidth=0, zorder=1)
