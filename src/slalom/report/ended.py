"""Charts of where runs are at the end of a budget: by learning rate, and in the finals."""

from __future__ import annotations

import statistics

from slalom.racing.findings import Curve
from slalom.racing.result import Result
from slalom.racing.status import Stage, Status
from slalom.report.chart import Chart, Trace, counted
from slalom.report.style import PLAIN, styles


def _at_end(curve: Curve) -> float | None:
    return curve.metric[-1] if curve.status == Status.FINISHED else None


def _last(curve: Curve) -> float | None:
    known = [m for m in curve.metric if m is not None]
    return known[-1] if known else None


def learning_rates(result: Result) -> Chart | None:
    """Where each learning rate of the heats has come to; None where none was searched."""
    heats = [c for c in result.curves if c.stage == Stage.HEAT and _rate(c) and c.metric]
    if not heats:
        return None
    traces: list[Trace] = []
    for rule, look in styles(result).items():
        own = sorted((c for c in heats if c.rule == rule), key=_rate)
        through = [c for c in own if _at_end(c) is not None]
        early = [c for c in own if _at_end(c) is None and _last(c) is not None]
        if through:
            rates, ends = [_rate(c) for c in through], [_at_end(c) for c in through]
            alone = all(set(c.hypers) == {"lr"} for c in through)
            traces.append(Trace(rule, rule, look, rates, ends, mark="own", joined=alone))
        for mark in ("stopped", "lost"):
            lost = (Status.DIVERGED, Status.FAILED)
            some = [c for c in early if (c.status in lost) == (mark == "lost")]
            if some:
                told = [f"{c.label}: {c.status} at step {c.step[-1]:,}" for c in some]
                traces.append(Trace(
                    rule, rule, look, [_rate(c) for c in some], [_last(c) for c in some], mark=mark,
                    joined=False, told=told,
                ))  # fmt: skip
    metric = result.meta["metric"]
    said = (
        "A point is a run of the heats. Filled: it used the budget up, and this is where it was. "
        "Open arrows: it was stopped before, being behind others of its rule, and this is where it "
        "was then. Crosses: it diverged or failed."
    )
    return Chart(
        "learning_rates", f"Learning rates: {metric} at the end of the budget", traces,
        "learning rate", metric, "", said, frozenset("x"),
    )  # fmt: skip


def finals(result: Result) -> Chart | None:
    """Where each finalist is at the end of the budget, a line a seed; None without finals."""
    looks = styles(result)
    runs: dict[str, dict[int, float]] = {s.rule: {} for s in result.standings if s.seeds}
    absent = 0
    for c in result.curves:
        if c.stage == Stage.FINAL and c.rule in runs:
            value = _at_end(c)
            if value is None:
                absent += 1
            else:
                runs[c.rule][c.seed] = value
    runs = {rule: own for rule, own in runs.items() if own}
    if not runs:
        return None
    traces = []
    if len(runs) > 1:
        x: list[float | None] = []
        y: list[str | None] = []
        for seed in dict.fromkeys(seed for own in runs.values() for seed in own):
            x += [*(own[seed] for own in runs.values() if seed in own), None]
            y += [*(rule for rule, own in runs.items() if seed in own), None]
        traces.append(Trace("", "one seed", PLAIN, x, y, mark="none", faint=True))
    for rule, own in runs.items():
        told = [f"seed {seed}" for seed in own]
        values: list[float | None] = list(own.values())
        traces.append(Trace(
            rule, rule, looks[rule], values, [rule] * len(own), mark="own", joined=False, told=told,
        ))  # fmt: skip
        traces.append(Trace(
            rule, f"{rule}, the median of its {counted(len(own), 'seed')}", looks[rule],
            [statistics.median(own.values())], [rule], mark="middle", joined=False,
        ))  # fmt: skip
    said = (
        "A point is a run, and a thin line joins the runs of all rules on one seed. A bar is the "
        "median."
    )
    if absent:
        said += f" {counted(absent, 'run')} did not come to the end, and cannot be drawn."
    metric = result.meta["metric"]
    return Chart(
        "finals", f"The finals: {metric} at the end of the budget, a line a seed", traces,
        metric, "", "", said, words=tuple(runs),
    )  # fmt: skip


def _rate(curve: Curve) -> float:
    """Its learning rate; 0 where that is no number above it."""
    rate = curve.hypers.get("lr")
    if not isinstance(rate, int | float) or isinstance(rate, bool) or rate <= 0:
        return 0.0
    return float(rate)
