"""What a race says in sentences beside its verdict: title, bill, evidence, why runs ended."""

from __future__ import annotations

import bisect
from collections import Counter
from dataclasses import dataclass

from slalom.racing.findings import Curve, Standing
from slalom.racing.result import Result
from slalom.racing.status import Stage, Status
from slalom.report.chart import counted

WORDS = {
    "entrant": "a rule with its hyper-parameters: what races.",
    "heat": "settings of every rule are trained side by side, with few steps at first, then twice "
    "as many, and so on; those behind others of their own rule are dropped. Heats choose settings; "
    "they do not compare rules.",
    "finals": "the best setting of every rule on fresh seeds, one after the other, until it is "
    "known who is faster. All run on the same seeds, so that a pair of runs differs by the rules "
    "alone.",
    "seed": "decides the first weights and the order of the samples.",
    "reached": "the metric was at the target, and still was at the next two looks at it.",
    "stopped, censored": "the run ended before it reached the target, since it had told enough: "
    "it needs more than it had, and how much more is not known. Drawn as an open arrow.",
    "fell behind": "took 1.5 times what the fastest took or more, on so many seeds that luck "
    "does not explain it.",
    "times, with an interval": "how many times more one needs than another. The interval holds "
    "the true value with the chance that is named, though the finals end when they know enough.",
    "worse by, with an interval": "with a budget: how much worse the metric is at its end, the "
    "middle of the differences on equal seeds.",
    "horizon": "updates that a schedule of learning rates ends with: part of the setting.",
    "a tie": "those who were not found slower, on the seeds that there were.",
    "winning run": "what the first one needs once, from its first step to the target.",
    "has paid after": "so many trainings with the winner, in place of what it was compared with, "
    "save as much as the race cost.",
    "step": "one update of the weights, from one batch.",
    "seconds": "steps times the seconds of one, measured alone after the race where it was; else "
    "as they passed while others trained too.",
}
"""Every word that the page uses in a sense of its own."""


AT_THEIR_END = (Status.REACHED, Status.FINISHED)


def title(result: Result) -> str:
    """The race and what came of it, in a few words."""
    task, verdict = result.meta["task"], result.verdict
    if not verdict.over:
        return f"{task}: interrupted"
    if verdict.tie:
        return f"{task}: a tie"
    if verdict.winner:
        return f"{task}: {verdict.winner}"
    whole = "reached the target" if result.meta["budget"] is None else "came to the end"
    return f"{task}: nobody {whole}"


def bill(result: Result) -> str:
    """What the race cost, in words that need no others."""
    cost = result.cost
    spent = (
        f"The race trained {counted(len(result.curves), 'run')} with {cost.samples:,} samples, in "
        f"{cost.seconds:.0f} s of training"
    )
    if cost.runs is None or cost.search_runs is None:
        return f"{spent}."
    if result.meta["budget"] is not None:
        text = (
            f"{spent}: as much as {cost.runs:,.0f} runs of {result.meta['budget']}, of which the "
            f"search for settings took {cost.search_runs:.1f}."
        )
        if cost.baseline_at_end is None:
            return text
        return (
            f"{text} {cost.baseline} was at {result.meta['metric']} {cost.baseline_at_end:.4g} "
            f"then (the median of {counted(cost.baseline_seeds, 'seed')})."
        )
    first = result.winner.label if result.winner else "the winner"
    text = (
        f"{spent}: as much as {cost.runs:,.0f} winning runs (a winning run is what {first} needs "
        f"once, {cost.samples / cost.runs:,.0f} samples), of which the search for settings took "
        f"{cost.search_runs:.1f}."
    )
    if cost.baseline is None:
        return text
    if cost.pays_after is None:
        return f"{text} It never pays against {cost.baseline}, which is there as soon."
    text += f" In place of {cost.baseline} it has paid after {counted(cost.pays_after, 'training')}"
    if cost.baseline_arrived < cost.baseline_seeds:
        missing = cost.baseline_seeds - cost.baseline_arrived
        return f"{text} at the latest: {missing} of {cost.baseline_seeds} runs of it were stopped."
    return f"{text}."


def evidence(result: Result, standing: Standing) -> str:
    """What the row of a standing rests on: its runs in the finals, and how they ended."""
    runs = [c for c in result.curves if c.rule == standing.rule and c.stage == Stage.FINAL]
    if not runs:
        return "no run of the finals"
    told = []
    for status, number in Counter(c.status for c in runs).most_common():
        longest = max((c.step[-1] for c in runs if c.status == status and c.step), default=0)
        told.append(f"{number} {status}" + (
            f" by step {longest:,}" if status not in AT_THEIR_END and longest else ""
        ))  # fmt: skip
    return f"{counted(len(runs), 'seed')}: {', '.join(told)}"


@dataclass(frozen=True)
class Fate:
    """What became of a setting in the heats: its rule and label, its run's seed, how far it was
    trained, its status, and why."""

    rule: str
    label: str
    seed: int
    steps: int
    status: Status
    why: str


def fates(result: Result) -> list[Fate]:
    """Every run of the heats, rule by rule."""
    runs = [c for c in result.curves if c.stage == Stage.HEAT]
    order = {s.rule: s.place for s in result.standings}
    runs.sort(key=lambda c: (order.get(c.rule, len(order) + 1), c.rule, str(c.hypers), c.seed))
    return [
        Fate(c.rule, c.label, c.seed, c.step[-1] if c.step else 0, c.status, _why(c, runs))
        for c in runs
    ]


def _why(curve: Curve, runs: list[Curve]) -> str:
    """Why a run of the heats ended where it did."""
    if curve.reason:
        return curve.reason
    if curve.status == Status.DROPPED and curve.samples:
        here, best = _loss(curve, curve.samples[-1]), None
        others = [c for c in runs if c.rule == curve.rule and c.seed == curve.seed]
        losses = [x for c in others if (x := _loss(c, curve.samples[-1])) is not None]
        best = min(losses, default=None)
        if here is not None and best is not None and best < here:
            return f"behind: its loss was {here:.3g}, and another of its rule had {best:.3g}"
    return {
        Status.REACHED: f"at the target after {curve.steps_to_target or 0:,} steps",
        Status.DROPPED: "behind others of its rule",
        Status.CHOSEN: "chosen before it was through",
        Status.STOPPED: "it had told enough: others had needed far less, or how far seeds differ, "
        "or a longer run of it was begun",
        Status.NOT_REACHED: "it ran as long as it may",
        Status.FINISHED: "it used the budget up",
        Status.DIVERGED: "its loss was no number any more",
        Status.WAITING: "it was not begun",
    }.get(curve.status, "")


def _loss(curve: Curve, samples: int) -> float | None:
    """The last validation loss of a run up to so many samples; None where there is none."""
    place = bisect.bisect_right(curve.samples, samples)
    known = [x for x in curve.valid_loss[:place] if x is not None]
    return known[-1] if known else None
