"""Charts of what runs needed to the target: by learning rate, in the finals, in the heats."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import cast

from slalom.racing.findings import Curve, Standing
from slalom.racing.result import Result
from slalom.racing.status import Stage, Status
from slalom.report.chart import UNITS, Chart, Counts, Mark, Numbers, Trace, counted
from slalom.report.style import PLAIN, Style, styles

VALLEY = 1.5
"""Rates at which a rule needs at most so many times its least are the floor of its valley."""

ROOM = 1.6
"""How far above the largest number the lines of stopped runs end, as a ratio."""

LOST = (Status.DIVERGED, Status.FAILED)


def learning_rates(result: Result) -> Chart | None:
    """What each learning rate of the heats needed; None where none was searched."""
    runs = [c for c in result.curves if c.stage == Stage.HEAT and _real(c.hypers.get("lr"))]
    runs += [c for s in result.standings if (c := _middle_of_finals(result, s)) is not None]
    traces: list[Trace] = []
    there: dict[str, list[Curve]] = {}
    absent = 0
    for rule, look in styles(result).items():
        own = sorted((c for c in runs if c.rule == rule), key=lambda c: c.hypers["lr"])
        alone = all(set(c.hypers) == {"lr"} for c in own)
        fates = _by_fate(own)
        if alone:  # what was stopped at a rate at which another arrived tells nothing more
            arrived = {c.hypers["lr"] for c in fates["own"]}
            fates["stopped"] = [c for c in fates["stopped"] if c.hypers["lr"] not in arrived]
        if alone and (line := _middle_line(rule, look, fates["own"])) is not None:
            traces.append(line)
        for mark, some in fates.items():
            shown = [c for c in some if c.samples_to_target or c.samples]
            absent += len(some) - len(shown)
            if shown:
                traces.append(Trace(
                    rule, rule, look, [c.hypers["lr"] for c in shown], _needs(shown), mark=mark,
                    joined=False, told=[_told(c) for c in shown],
                ))  # fmt: skip
        if fates["own"] and alone:
            there[rule] = fates["own"]
    if not traces:
        return None
    traces = [*_rays(traces), *traces]
    said = (
        "Filled: the target was reached, and held; at the rates that were chosen this is the "
        "middle run of the finals. Open arrows: no run of this rate arrived; it was stopped here, "
        "and what it needs lies somewhere on the dotted line above. Crosses: it diverged or failed."
    )
    if absent:
        said += f" {counted(absent, 'run')} ended before a first evaluation, and cannot be drawn."
    return Chart(
        "learning_rates", "Learning rates: what each needed to the target", traces,
        "learning rate", "steps", "y", said + _valleys(there), frozenset("xy"),
    )  # fmt: skip


def _middle_of_finals(result: Result, standing: Standing) -> Curve | None:
    """The finals' run of a rule that took the median, to stand for the setting that was chosen.

    None where rules were raced, whose settings differ; and where most did not arrive, or none ran.
    """
    runs = [c for c in result.curves if c.stage == Stage.FINAL and c.rule == standing.rule]
    there = sorted((c for c in runs if c.samples_to_target), key=lambda c: c.steps_to_target or 0)
    searched = _real(standing.hypers.get("lr")) and not standing.settings
    if not searched or 2 * len(there) <= len(runs):
        return None
    return there[(len(runs) - 1) // 2]


def finals(result: Result) -> Chart | None:
    """What each finalist needed on each seed, a line a seed; None without finals."""
    looks = styles(result)
    runs: dict[str, dict[int, Curve]] = {s.rule: {} for s in result.standings if s.seeds}
    absent = 0
    for c in result.curves:
        if c.stage == Stage.FINAL and c.rule in runs:
            if c.samples:
                runs[c.rule][c.seed] = c
            else:
                absent += 1
    runs = {rule: own for rule, own in runs.items() if own}
    if not runs:
        return None
    traces = [_pairs(runs)] if len(runs) > 1 else []
    for rule, own in runs.items():
        for mark, some in _by_fate(list(own.values())).items():
            if some:
                told = [f"{c.label}, seed {c.seed}: {_fate(c)}" for c in some]
                traces.append(Trace(
                    rule, rule, looks[rule], _needs(some), [rule] * len(some), mark=mark,
                    joined=False, told=told,
                ))  # fmt: skip
    for s in result.standings:
        if s.steps_to_target is not None and s.rule in runs:
            middle = {
                "steps": [s.steps_to_target], "seconds": [s.seconds_to_target],
                "samples": [s.samples_to_target],
            }  # fmt: skip
            traces.append(Trace(
                s.rule, f"{s.rule}, the median of its {counted(s.seeds, 'seed')}", looks[s.rule],
                middle, [s.rule], mark="middle", joined=False,
            ))  # fmt: skip
    said = (
        "A point is a run, and a thin line joins the runs of all rules on one seed. Open "
        "arrows: the run was stopped there without the target, so that it needs more. Crosses: "
        "it diverged or failed there. A bar is the median, where more than half of the runs "
        "arrived."
    )
    if absent:
        said += f" {counted(absent, 'run')} ended before a first evaluation, and cannot be drawn."
    return Chart(
        "finals", "The finals: what each needed to the target, a line a seed", traces,
        "steps", "", "x", said, words=tuple(runs),
    )  # fmt: skip


def heats(result: Result) -> Chart | None:
    """How far each setting was trained in the heats, and what became of it."""
    runs = [c for c in result.curves if c.stage == Stage.HEAT and c.samples]
    if not runs:
        return None
    traces: list[Trace] = []
    words = []
    for rule, look in styles(result).items():
        own = [c for c in runs if c.rule == rule]
        words += [rule] if own else []
        for mark, some in _by_fate(own).items():
            if some:
                traces.append(Trace(
                    rule, rule, look, _needs(some), [rule] * len(some), mark=mark, joined=False,
                    told=[f"{c.label}: {_fate(c)}" for c in some],
                ))  # fmt: skip
    said = (
        "A point is a run. Filled: it reached the target, or used the budget up. Open arrows: it "
        "was stopped there, being behind others of its rule or having told enough. Crosses: it "
        "diverged or failed. The table below says which setting, and why."
    )
    return Chart(
        "heats", "The heats: how far each setting was trained", traces, "steps", "", "x", said,
        frozenset("x"), tuple(words),
    )  # fmt: skip


def _by_fate(runs: Sequence[Curve]) -> dict[Mark, list[Curve]]:
    """Runs by how they are marked: there, stopped, lost."""
    found: dict[Mark, list[Curve]] = {"own": [], "stopped": [], "lost": []}
    for c in runs:
        lost = "lost" if c.status in LOST else "stopped"
        there = c.samples_to_target or c.status == Status.FINISHED
        found["own" if there else lost].append(c)
    return found


def _pairs(runs: dict[str, dict[int, Curve]]) -> Trace:
    """A thin line for each seed, through all rules that were run on it."""
    counts: dict[str, list[float | None]] = {unit: [] for unit in UNITS}
    words: list[str | None] = []
    for seed in dict.fromkeys(seed for own in runs.values() for seed in own):
        here = [(rule, own[seed]) for rule, own in runs.items() if seed in own]
        found = _needs([c for _, c in here])
        for unit in UNITS:
            counts[unit] += [*found[unit], None]
        words += [*(rule for rule, _ in here), None]
    return Trace("", "one seed", PLAIN, counts, words, mark="none", faint=True)


def _needs(runs: Sequence[Curve]) -> Counts:
    """What each needed to the target, or had taken when it was stopped."""
    found: dict[str, list[float | None]] = {unit: [] for unit in UNITS}
    for c in runs:
        if c.samples_to_target:
            need = c.steps_to_target, c.seconds_to_target, c.samples_to_target
        else:
            seconds = c.step[-1] * c.update_seconds if c.update_seconds else c.seconds[-1]
            need = c.step[-1], seconds, c.samples[-1]
        for unit, value in zip(UNITS, need, strict=True):
            found[unit].append(None if value is None else float(value))
    return found


def _told(c: Curve) -> str:
    """What became of a run that stands for a learning rate, in words."""
    return f"{_fate(c)} (a middle run of the finals)" if c.stage == Stage.FINAL else _fate(c)


def _fate(c: Curve) -> str:
    """What became of a run, in words."""
    if c.samples_to_target:
        return "reached the target"
    if c.status == Status.FINISHED:
        return "used the budget up"
    return f"{c.status}: {c.reason}" if c.reason else str(c.status)


def _middle_line(rule: str, look: Style, there: Sequence[Curve]) -> Trace | None:
    """A line through what runs needed at each rate, through the middle where there are several."""
    rates = sorted({c.hypers["lr"] for c in there})
    needs = [_needs([c for c in there if c.hypers["lr"] == rate]) for rate in rates]
    counts = {
        unit: [statistics.median(v for v in own[unit] if v is not None) for own in needs]
        for unit in UNITS
    }
    return Trace(rule, rule, look, rates, counts, mark="none") if len(rates) > 1 else None


def _rays(traces: Sequence[Trace]) -> list[Trace]:
    """From each run that was stopped upward, to above all that is drawn: it needs more."""
    top = {
        unit: ROOM * max((v for t in traces for v in _numbers(t, unit) if v), default=1.0)
        for unit in UNITS
    }
    found = []
    for t in traces:
        if t.mark == "stopped":
            rates = cast(Sequence[float], t.x)
            x: list[float | None] = [v for rate in rates for v in (rate, rate, None)]
            y = {u: [v for low in _numbers(t, u) for v in (low, top[u], None)] for u in UNITS}
            found.append(Trace(t.rule, t.label, t.style, x, y, mark="ray", faint=True))
    return found


def _numbers(trace: Trace, unit: str) -> Numbers:
    assert isinstance(trace.y, Mapping)
    return trace.y[unit]


def _valleys(there: Mapping[str, Sequence[Curve]]) -> str:
    """How wide each rule's valley was seen to be, as the end of a text; ``there``: who arrived."""
    alone = [rule for rule, own in there.items() if len({c.hypers["lr"] for c in own}) == 1]
    seen = [
        f"{rule} at {low:.3g}" + ("" if low == high else f" to {high:.3g}")
        for rule, own in there.items() if rule not in alone
        for low, high in (_valley(own),)
    ]  # fmt: skip
    said = ""
    if seen:
        said += (
            f" Within {VALLEY:g} times its own least: {'; '.join(seen)}; and perhaps at rates that "
            "were stopped."
        )
    if alone:
        said += (
            f" Of {', '.join(alone)} one rate alone was run to the target: how wide "
            f"{'its valley is' if len(alone) == 1 else 'their valleys are'} was not seen."
        )
    return said


def _valley(there: Sequence[Curve]) -> tuple[float, float]:
    """The lowest and the highest rate around the best at which a rule needs little more."""
    needs: dict[float, list[int]] = {}
    for c in there:
        needs.setdefault(c.hypers["lr"], []).append(c.samples_to_target or 0)
    middle = {rate: statistics.median(own) for rate, own in sorted(needs.items())}
    rates, most = list(middle), VALLEY * min(middle.values())
    low = high = min(range(len(rates)), key=lambda i: middle[rates[i]])
    while low > 0 and middle[rates[low - 1]] <= most:
        low -= 1
    while high < len(rates) - 1 and middle[rates[high + 1]] <= most:
        high += 1
    return rates[low], rates[high]


def _real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
