"""The plots of a race, as plotly figures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go

from slalom.racing.findings import Curve
from slalom.racing.result import Result
from slalom.racing.runner import HOLD
from slalom.racing.status import Stage, Status

COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f",
    "#b22222", "#2f4f4f",
)  # fmt: skip
"""Okabe & Ito's colours, told apart by the colour-blind, and some more."""

POINTS, FAINT, STRONG = 300, 4, 3
"""Points a curve, and curves a rule: of settings that were not chosen, and of the one that was."""

AXES = {"steps": "step", "seconds": "seconds", "samples": "samples"}
"""What may stand on the horizontal axis, and the curves' name for it."""


Plot = Callable[[Result], go.Figure | None]

PLOTS: list[tuple[str, Plot]] = []
"""The plots of the page in their order: their captions (``{metric}`` becomes the task's) and what
draws them, None where there is nothing to draw. A further plot is one more function here."""


def plot(caption: str) -> Callable[[Plot], Plot]:
    """Put a function that draws a result on the page."""

    def registered(function: Plot) -> Plot:
        PLOTS.append((caption, function))
        return function

    return registered


def captioned(result: Result) -> list[tuple[str, go.Figure]]:
    """The plots of a race with their captions, without those that have nothing to show."""
    metric = result.meta["metric"]
    drawn = ((caption.replace("{metric}", metric), draw(result)) for caption, draw in PLOTS)
    return [(caption[:1].upper() + caption[1:], figure) for caption, figure in drawn if figure]


@plot("{metric} on the validation data")
def metric(result: Result) -> go.Figure:
    return curves(result, "metric")


@plot("Training loss")
def training_loss(result: Result) -> go.Figure:
    return curves(result, "train_loss", log=True)


@plot("Loss on the validation data")
def validation_loss(result: Result) -> go.Figure:
    return curves(result, "valid_loss", log=True)


def colours(result: Result) -> dict[str, str]:
    """Rule -> its colour, in the order of the standings."""
    rules = dict.fromkeys([s.rule for s in result.standings] + [c.rule for c in result.curves])
    return {rule: COLOURS[i % len(COLOURS)] for i, rule in enumerate(rules)}


def curves(result: Result, quantity: str, *, log: bool = False) -> go.Figure:
    """A quantity of the evaluations (``metric``, ``train_loss``, ``valid_loss``) over a run.

    The chosen setting of each rule strongly, others faintly. ``layout.meta`` holds the horizontal
    values of every trace for each of :data:`AXES`, so that the page can switch between them.
    """
    palette = colours(result)
    figure = go.Figure()
    axes: dict[str, list[list[Any]]] = {name: [] for name in AXES}
    legends: set[str] = set()
    heights: list[float] = []
    for curve in _picked(result):
        values = getattr(curve, quantity)
        kept = thinned([i for i, v in enumerate(values) if v is not None])
        if not kept:
            continue
        for name, attribute in AXES.items():
            axes[name].append([getattr(curve, attribute)[i] for i in kept])
        heights += [values[i] for i in kept] if curve.chosen else []
        figure.add_scatter(
            x=axes["steps"][-1], y=[values[i] for i in kept], mode="lines",
            name=_plain(curve.rule), legendgroup=curve.rule,
            showlegend=curve.chosen and curve.rule not in legends,
            opacity=1.0 if curve.chosen else 0.25,
            line={"color": palette[curve.rule], "width": 2 if curve.chosen else 1},
            hovertemplate=f"{_plain(curve.label)}, seed {curve.seed}<br>%{{x}}: %{{y:.4g}}"
            "<extra></extra>",
        )  # fmt: skip
        legends |= {curve.rule} if curve.chosen else set()
    target = result.meta["target"]
    if quantity == "metric" and target is not None:
        figure.add_hline(target, line={"dash": "dot", "width": 1.2}, annotation_text="target")
    if quantity == "metric" and len(heights) > 20:  # where runs end matters more than their start
        low, *_, high = statistics.quantiles(heights, n=12)
        edge = (max if result.meta["higher_is_better"] else min)(heights)
        worst = low if result.meta["higher_is_better"] else high
        room = 0.06 * abs(edge - worst)
        bounds = sorted((worst, edge))
        figure.update_layout(yaxis_range=[bounds[0] - room, bounds[1] + room])
    figure.update_layout(
        xaxis_title="steps", yaxis_type="log" if log else "linear", meta={"axes": axes}
    )
    return figure


@plot("The finals: batches to the target, a point a seed (open: stopped before it)")
def finals(result: Result) -> go.Figure | None:
    """What each finalist needed on each seed; boxes of those that arrived. None without finals.

    A run that did not arrive is an open point where it was stopped, and in no box.
    """
    palette = colours(result)
    figure = go.Figure()
    for standing in reversed(result.standings):
        runs = result.finals.get(standing.rule, {})
        label, colour = _plain(standing.label), palette[standing.rule]
        there = [r.work for r in runs.values() if r.arrived]
        stopped = [r.work for r in runs.values() if not r.arrived]
        if there:
            figure.add_box(
                x=there, y=[label] * len(there), boxpoints="all", jitter=0.4, pointpos=0,
                marker={"color": colour, "size": 5}, line={"width": 1},
                fillcolor="rgba(0,0,0,0)", orientation="h", showlegend=False,
                hovertemplate=f"{label}: %{{x:.0f}}<extra></extra>",
            )  # fmt: skip
        if stopped:
            figure.add_scatter(
                x=stopped, y=[label] * len(stopped), mode="markers", showlegend=False,
                marker={"color": colour, "size": 7, "symbol": "circle-open"},
                hovertemplate=f"{label}: stopped at %{{x:.0f}}<extra></extra>",
            )  # fmt: skip
    if not figure.data:
        return None
    figure.update_layout(
        xaxis_title="batches", xaxis_rangemode="tozero", yaxis={"automargin": True}
    )
    return figure


@plot("The finals: the share of seeds on which each is there, by how many times the least it takes")
def profile(result: Result) -> go.Figure | None:
    """Performance profiles (Dolan & More 2002) of a full race; None of another, whose runs end."""
    if not result.meta["full"] or not result.finals:
        return None
    palette = colours(result)
    places = sorted(set.union(*(set(own) for own in result.finals.values())))
    least = {
        p: min((own[p].work for own in result.finals.values() if p in own and own[p].arrived),
               default=math.inf)
        for p in places
    }  # fmt: skip
    figure = go.Figure()
    for standing in result.standings:
        own = result.finals[standing.rule]
        ratios = sorted(r.work / least[p] for p, r in own.items() if r.arrived)
        shares = [(i + 1) / len(places) for i in range(len(ratios))]
        figure.add_scatter(
            x=[1.0, *ratios], y=[0.0, *shares], mode="lines", line={"shape": "hv"},
            name=_plain(standing.label), marker={"color": palette[standing.rule]},
        )  # fmt: skip
    figure.update_layout(
        xaxis_title="times the least on the seed", xaxis_type="log",
        yaxis_title="share of seeds", yaxis_range=[0, 1.02],
    )  # fmt: skip
    return figure


@plot("Learning rates: batches to the target (open: stopped before)")
def sensitivity(result: Result) -> go.Figure | None:
    """How far each learning rate came: filled where it reached the target, open where it did not.

    None where no learning rate was searched.
    """
    palette = colours(result)
    figure = go.Figure()
    batch = result.meta["batch_size"]
    for rule, colour in palette.items():
        runs = [
            c
            for c in result.curves
            if c.rule == rule and c.stage == Stage.HEAT and "lr" in c.hypers
        ]
        runs.sort(key=lambda c: c.hypers["lr"])
        if not runs:
            continue
        there = [c.status == Status.REACHED for c in runs]
        needs = [_need(result, c) / batch for c in runs]
        figure.add_scatter(
            x=[c.hypers["lr"] for c in runs], y=needs, mode="markers", name=_plain(rule),
            marker={"size": 9, "color": colour,
                    "symbol": ["circle" if t else "circle-open" for t in there]},
            text=[c.status for c in runs],
            hovertemplate=f"{_plain(rule)}<br>lr %{{x:.3g}}: %{{y:.0f}}, %{{text}}<extra></extra>",
        )  # fmt: skip
    if not figure.data:
        return None
    figure.update_layout(
        xaxis_title="learning rate", xaxis_type="log", yaxis_type="log", yaxis_title="batches",
    )  # fmt: skip
    return figure


def thinned(indices: Sequence[int], points: int = POINTS) -> list[int]:
    """At most so many of the indices, evenly, the last always among them."""
    if len(indices) <= points:
        return list(indices)
    stride = math.ceil(len(indices) / (points - 1))
    return [*indices[:-1:stride], indices[-1]]


def _picked(result: Result) -> list[Curve]:
    """The curves worth drawing: few enough for a page, the faint ones first."""
    sign = -1 if result.meta["higher_is_better"] else 1
    faint: dict[str, list[Curve]] = {}
    strong: dict[str, list[Curve]] = {}
    for curve in result.curves:
        if curve.stage != Stage.BASELINE:
            (strong if curve.chosen else faint).setdefault(curve.rule, []).append(curve)

    def best(curve: Curve) -> float:
        values = [sign * m for m in curve.metric if m is not None]
        return min(values, default=math.inf)

    few = [c for runs in faint.values() for c in sorted(runs, key=best)[:FAINT]]
    return few + [c for runs in strong.values() for c in runs[:STRONG]]


def _need(result: Result, curve: Curve) -> float:
    """Samples to the target, or those at which the run was stopped."""
    target = result.meta["target"]
    if curve.status == Status.REACHED and target is not None:
        sign = 1 if result.meta["higher_is_better"] else -1
        held = 0
        for i, value in enumerate(curve.metric):
            held = held + 1 if value is not None and sign * value >= sign * target else 0
            if held > HOLD:
                return float(curve.samples[i - HOLD])
    return float(curve.samples[-1]) if curve.samples else math.nan


def _plain(text: str) -> str:
    """Text that plotly, which reads a little HTML, shows as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
