"""Charts of what training did: the metric and the losses over steps, seconds and samples."""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from slalom.racing.findings import Curve
from slalom.racing.result import Result
from slalom.racing.status import Stage, Status
from slalom.report.chart import UNITS, Chart, Trace, counted, thinned
from slalom.report.style import baseline, styles

FAINT = 3
"""Settings of a rule that are drawn beside the chosen one, at most."""

POINTS, FAINT_POINTS, ALL_POINTS = 200, 60, 2400
"""Points of a line and of a faint one, at most; and of all lines of a chart, about."""

STEEP = 100.0
"""Values that reach over so many times their least are shown on a logarithmic axis."""


def metric(result: Result) -> Chart | None:
    """The task's metric on the validation data, and the target."""
    name = result.meta["metric"]
    return _curves(result, "metric", f"{name} on the validation data", name)


def training_loss(result: Result) -> Chart | None:
    """The loss on the training data."""
    return _curves(result, "train_loss", "Loss on the training data", "training loss")


def validation_loss(result: Result) -> Chart | None:
    """The loss on the validation data."""
    return _curves(result, "valid_loss", "Loss on the validation data", "validation loss")


def _curves(result: Result, quantity: str, caption: str, title: str) -> Chart | None:
    looks = styles(result)
    finals: dict[str, list[Curve]] = {}
    heats: dict[str, list[Curve]] = {}
    for curve in result.curves:
        if curve.stage == Stage.HEAT:
            heats.setdefault(curve.rule, []).append(curve)
        else:
            rule = baseline(curve.rule) if curve.stage == Stage.BASELINE else curve.rule
            finals.setdefault(rule, []).append(curve)
    points = max(40, min(POINTS, ALL_POINTS // max(1, len(looks))))
    close = [c for own in heats.values() for c in _closest(result, own)]
    drawn = [c for c in close if any(v is not None for v in getattr(c, quantity))]
    traces = [
        _one(c, quantity, looks[c.rule], min(points, FAINT_POINTS)) for c in drawn
    ]  # fmt: skip
    for rule in looks:  # what leads is drawn last, and lies on top
        if (own := finals.get(rule)) and (middle := _middle(own, quantity, points)):
            label = own[0].label if len({c.label for c in own}) == 1 else own[0].rule
            traces.append(_many(rule, label, middle, looks[rule], len(own)))
    traces.sort(key=lambda trace: (not trace.faint, -list(looks).index(trace.rule)))
    if not traces:
        return None
    values = [
        v for t in traces for v in (*t.y, *(t.band or ((),))[0]) if isinstance(v, float | int)
    ]
    target = result.meta["target"] if quantity == "metric" else None
    values += [] if target is None else [target]
    steep = min(values) > 0 and (quantity != "metric" or max(values) / min(values) > STEEP)
    span, outside = (None, "") if steep else _span(values, target)
    shown = len(drawn) + sum(len(own) for own in finals.values())
    said = (
        f"{shown:,} of {counted(len(result.curves), 'run')} drawn. A line is the median of a "
        "rule's seeds in the finals and its band the middle half of them, as long as half of them "
        "train; a run that has arrived counts on with its last value. Thin lines are other "
        f"settings, one run each: up to {FAINT} of each rule that came furthest in the heats."
        f"{outside}"
    )
    return Chart(
        quantity, caption[:1].upper() + caption[1:], traces, "steps", title, "x", said,
        frozenset("y") if steep else frozenset(), target=target, span=span,
    )  # fmt: skip


def _closest(result: Result, curves: Sequence[Curve]) -> list[Curve]:
    """Those of the settings that were not chosen which came furthest, one run of each."""
    sign = -1 if result.meta["higher_is_better"] else 1

    def best(curve: Curve) -> float:
        return min((sign * m for m in curve.metric if m is not None), default=math.inf)

    once = {c.label: c for c in reversed(curves) if not c.chosen}
    return sorted(once.values(), key=best)[:FAINT]


def _one(curve: Curve, quantity: str, style, points: int) -> Trace:
    """A single run."""
    values = getattr(curve, quantity)
    kept = thinned([i for i, v in enumerate(values) if v is not None], points)
    pairs = zip(UNITS, (curve.step, curve.seconds, curve.samples), strict=True)
    counts = {unit: [float(series[i]) for i in kept] for unit, series in pairs}
    label = f"{curve.label}, {_told(curve.status)} in the heats"
    y = [values[i] for i in kept]
    return Trace(curve.rule, label, style, counts, y, mark="none", faint=True)


def _told(status: Status) -> str:
    return {Status.REACHED: "reached the target", Status.CHOSEN: "was chosen"}.get(status, status)


@dataclass(frozen=True)
class _Middle:
    """The median over several runs and the quartiles, at some counts of each unit."""

    counts: dict[str, list[float]]
    middle: list[float]
    low: list[float]
    high: list[float]


def _middle(runs: Sequence[Curve], quantity: str, points: int) -> _Middle | None:
    """The middle of what runs have at each step, as long as half of them train."""
    known = []
    for run in runs:
        kept = [i for i, v in enumerate(getattr(run, quantity)) if v is not None]
        if kept:
            known.append((run, kept, [run.step[i] for i in kept]))
    if not known:
        return None
    ends = sorted((steps[-1] for _, _, steps in known), reverse=True)
    last = ends[math.ceil(len(runs) / 2) - 1] if len(ends) >= len(runs) / 2 else ends[-1]
    grid = sorted({s for _, _, steps in known for s in steps if s <= last})
    found = _Middle({unit: [] for unit in UNITS}, [], [], [])
    for step in (grid[i] for i in thinned(range(len(grid)), points)):
        values, seconds, samples = [], [], []
        for run, kept, steps in known:
            place = bisect.bisect_right(steps, step) - 1
            training = steps[-1] >= step
            if place < 0 or not (training or run.status == Status.REACHED):
                continue
            values.append(getattr(run, quantity)[kept[place]])
            if training:
                here = run.step[kept[place]]
                seconds.append(run.seconds[kept[place]] * step / here if here else 0.0)
                samples.append(run.samples[kept[place]] * step / here if here else 0)
        if not values or not samples:
            continue
        low, middle, high = (
            statistics.quantiles(values, n=4, method="inclusive")
            if len(values) > 1 else values * 3
        )  # fmt: skip
        alone = runs[0].update_seconds
        for unit, count in zip(
            UNITS,
            (step, step * alone if alone else statistics.median(seconds),
             statistics.median(samples)),
            strict=True,
        ):  # fmt: skip
            found.counts[unit].append(float(count))
        found.middle.append(middle)
        found.low.append(low)
        found.high.append(high)
    return found if found.middle else None


def _many(rule: str, label: str, found: _Middle, style, seeds: int) -> Trace:
    """The middle of several runs, with its band."""
    name = f"{label}, median of {counted(seeds, 'seed')}"
    told = [
        f"middle half {low:.4g} to {high:.4g}"
        for low, high in zip(found.low, found.high, strict=True)
    ]
    band = (found.low, found.high) if seeds > 1 else None
    return Trace(
        rule, name, style, found.counts, found.middle, band, told=told if band else ()
    )  # fmt: skip


def _span(values: Sequence[float], target: float | None) -> tuple[tuple[float, float] | None, str]:
    """What is shown where a few values lie so far off that nothing else could be told apart."""
    if len(values) < 20:
        return None, ""
    low, *_, high = statistics.quantiles(values, n=20)
    ends = [low, high] if target is None else sorted([low, high, target])
    room = ends[-1] - ends[0]
    if not room or (min(values) > ends[0] - 5 * room and max(values) < ends[-1] + 5 * room):
        return None, ""
    span = ends[0] - 0.5 * room, ends[-1] + 0.5 * room
    out = sum(not span[0] <= v <= span[1] for v in values)
    return span, f" {counted(out, 'value')} off the chart; two clicks on it show all."
