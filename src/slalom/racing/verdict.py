"""What a race says of its finals, in sentences that claim no more than was seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slalom.racing.design import OUT, Call, Design
from slalom.racing.estimate import Difference, Estimate, interval
from slalom.racing.findings import Curve, Rival, Standing, Verdict, count
from slalom.racing.needs import at_the_first, one_evaluation_apart
from slalom.racing.sequential import Finding, Judgement
from slalom.racing.status import Status


@dataclass(frozen=True)
class Facts:
    """What a verdict is made of.

    Attributes:
        meta: what is known of the race as a whole.
        standings: in their order.
        runs: of the finals, by rule.
        judgement: of these.
        design: by which they were judged.
        seconds: rule -> what a ratio of its work to the leader's is multiplied by for seconds.
        heats: what these have come to, where there are no finals yet.
    """

    meta: Mapping[str, Any]
    standings: Sequence[Standing]
    runs: Mapping[str, Any]
    judgement: Judgement
    design: Design
    seconds: Mapping[str, float]
    heats: Sequence[Curve] = ()


def told(label: str, ratio: Estimate, judgement: Judgement, design: Design) -> str:
    """What is known of a finalist beside the one that leads, in a few words."""
    finding = judgement.findings[label]
    text = _told(finding, ratio, design)
    if finding.call not in OUT or finding.against == judgement.leader:
        return text
    if finding.call == Call.BEHIND and not isinstance(ratio, Difference):
        return f"{text}, of what {finding.against} took"
    return f"{text}; it was found {finding.call} beside {finding.against}"


def _told(finding: Finding, ratio: Estimate, design: Design) -> str:
    seeds = f"{finding.seeds} {'seed' if finding.seeds == 1 else 'seeds'}"
    if isinstance(ratio, Difference):
        if finding.call == Call.WORSE:
            return f"worse by {ratio} on {seeds}"
        if finding.call == Call.BEHIND:
            return f"worse by {ratio} on {seeds}, far beyond what seeds explain"
        return f"not told apart on {seeds}: worse by {ratio}"
    if finding.call == Call.BEHIND:
        logs = [x for x in finding.logs if not math.isnan(x)]
        far = sum(x == math.inf for x in logs)
        return f"more than {design.far:g} times on {far} of {len(logs)} seeds"
    if finding.call == Call.EQUAL:
        return f"about equal on {seeds}: {ratio} times"
    if finding.call == Call.SLOWER:
        return f"{ratio} times on {seeds}"
    return f"not told apart on {seeds}: {ratio} times"


def verdict(facts: Facts) -> Verdict:
    """The verdict of a race, as far as it has come."""
    standings, goal = facts.standings, _goal(facts)
    first = standings[0] if standings else None
    if first is None or not first.seeds:
        return unbegun(facts)
    unfinished = not facts.meta.get("finished") and facts.judgement.running
    if facts.judgement.leader is None:
        if unfinished:
            runs = sum(s.seeds for s in standings)
            text = "The race was interrupted in its finals, before anything could be told."
            if not any(s.reached for s in standings):
                text = f"The race was interrupted; so far none of {runs} runs reached {goal}."
            return Verdict(text, None, False)
        return _nobody(facts, goal)
    known = [(s, r) for s in standings if (r := _rival(facts, s)) is not None]
    rivals = [r for _, r in known]
    known = [(s, r) for s, r in known if not broken(s)]
    tied = [r for _, r in known if r.call not in OUT]
    others = [s for s in standings[1:] if not broken(s)]
    if unfinished:
        text = (
            f"The race was interrupted; so far {first.label} leads at {goal}, in "
            f"{_took(first)}{under(facts)}."
        )
        return Verdict(text, first.label, True, tuple(rivals))
    if len(standings) == 1:
        text = f"{first.label} raced alone: it reached {goal} in {_took(first)}{under(facts)}."
        return Verdict(text, first.label, False)
    if tied:
        names = joined([first.label, *(r.label for r in tied)])
        text = f"A tie of {names} at {goal}: {first.label} takes {_took(first)}{under(facts)}"
    elif all(s.reached == 0 and _full(s) for s in others):
        text = f"{first.label} is the only one that reached {goal}, in {_took(first)}{under(facts)}"
        if others:
            text += "; all others ran as long as they may"
        return Verdict(f"{text}{failed(standings)}.", first.label, False, tuple(rivals))
    else:
        text = f"{first.label} reaches {goal} soonest, in {_took(first)}{under(facts)}"
    shown = [(s, r) for s, r in known if r.call not in OUT] or known
    evidence = "; ".join(_evidence(facts, s, r) for s, r in shown[:2])
    text += f"; {evidence}{failed(standings)}."
    return Verdict(text, first.label, bool(tied), tuple(rivals))


def broken(s: Standing) -> bool:
    """Whether it cannot be trained at all, so that nothing is known of how it compares."""
    return s.status == Status.FAILED and not s.reached


def rank(s: Standing, sign: int) -> tuple[bool, bool, bool, float, bool, float]:
    """Less for who comes before another beside the leader; less of ``sign`` times the
    metric is better.

    Who ties with the leader comes before who is out; then by what was needed, as far as is known,
    which nothing is of who never arrived.
    """
    beside = s.difference or s.ratio
    metric = s.best_metric if s.at_end is None else s.at_end
    return (
        broken(s), s.call in OUT, not s.reached and s.at_end is None,
        math.inf if beside is None else beside.value,
        s.status in (Status.DIVERGED, Status.FAILED),
        math.inf if metric is None else sign * metric,
    )  # fmt: skip


def failed(standings: Sequence[Standing]) -> str:
    """The end of a sentence: who could not be trained, and why."""
    return "".join(f"; {s.label} failed: {s.reason}" for s in standings[1:] if broken(s))


def unbegun(facts: Facts) -> Verdict:
    """Of a race that has not come to its finals: what its heats know, which is of one seed."""
    text = "The race was interrupted before its finals."
    there = [c for c in facts.heats if c.samples_to_target is not None]
    if there:
        best = min(there, key=lambda c: c.samples_to_target or 0)
        text += (
            f" In its heats {best.label} was the soonest at {_goal(facts)} so far, in "
            f"{best.steps_to_target:,} steps on one seed."
        )
        return Verdict(text, None, False)
    pick = max if facts.meta["higher_is_better"] else min
    seen = [(m, c) for c in facts.heats if (m := c.metric[-1] if c.metric else None) is not None]
    if seen:
        value, best = pick(seen, key=lambda pair: pair[0])
        text += (
            f" In its heats {best.label} has come furthest so far, to {facts.meta['metric']} "
            f"{value:.4g} after {best.step[-1]:,} steps on one seed."
        )
    return Verdict(text, None, False)


def remarks(facts: Facts) -> list[str]:
    """What the spacing of the evaluations keeps a race from telling."""
    found: list[str] = []
    judgement, runs = facts.judgement, facts.runs
    leader = judgement.leader
    if leader is None:
        return found
    if at_the_first(runs[leader]):
        found.append(
            f"{leader} was at the target at its first evaluation, so what it needed is not known; "
            "lower eval_every, or ask for more"
        )
    near = [runs[n] for n in (leader, *judgement.tied)]
    if one_evaluation_apart(near):
        found.append(
            "those who tie were there within one evaluation of each other on most seeds; "
            "a lower eval_every may tell them apart"
        )
    return found


def _goal(facts: Facts) -> str:
    metric, target = facts.meta["metric"], facts.meta["target"]
    return f"{metric} {target:.4g}" if target is not None else metric


def under(facts: Facts) -> str:
    """The schedule, where there is one."""
    told = facts.meta.get("schedule")
    return "" if told is None else f" under the {told}"


def _nobody(facts: Facts, goal: str) -> Verdict:
    values = [(s.best_metric, s) for s in facts.standings if s.best_metric is not None]
    pick = max if facts.meta["higher_is_better"] else min
    text = f"Nobody reached {goal}"
    how = {s.status for s in facts.standings}
    if how and how <= {Status.FAILED, Status.DIVERGED}:
        first = facts.standings[0]
        told = " or ".join(sorted(status.value for status in how))
        return Verdict(f"{text}: every run {told}. {first.label}: {first.reason}", None, False)
    if values:
        value, best = pick(values, key=lambda pair: pair[0])
        text += (
            f" in {best.seeds} runs of each: the best, {best.label}, came to {value:.4g} in "
            f"the median, within {best.longest:,} steps"
        )
    return Verdict(f"{text}. Raise the task's max_steps, or lower its target.", None, False)


def _rival(facts: Facts, s: Standing) -> Rival | None:
    if s.call is None or s.ratio is None:
        return None
    return Rival(s.label, s.call, s.ratio, facts.seconds.get(s.rule))


def _took(s: Standing) -> str:
    if s.steps_to_target is None:
        text = f"{s.reached} of {s.seeds} runs"
        if s.chance is not None:
            text += f" ({s.chance.low:.0%} to {s.chance.high:.0%})"
        if s.with_restarts is not None:
            text += f", {s.with_restarts:,.0f} steps if each that fails is begun again"
        return text
    text = f"{count(s.steps_to_target)} steps"
    if s.seconds_to_target:
        text += f" ({s.seconds_to_target:.2g} s)"
    return text if s.reached == s.seeds else f"{text}, by {s.reached} of {s.seeds} runs"


def _full(s: Standing) -> bool:
    return s.status in (Status.NOT_REACHED, Status.DIVERGED, Status.FAILED)


def _evidence(facts: Facts, standing: Standing, rival: Rival) -> str:
    if rival.call == Call.BEHIND:
        takes = "" if standing.status == Status.DIVERGED else "takes "
        return f"{rival.label} {takes}{standing.told}"
    work = standing.ratio
    assert work is not None
    same = standing.batch == facts.standings[0].batch
    text = f"{rival.label} needs {work} times its {'steps' if same else 'samples'}"
    if rival.seconds_factor is not None:
        low, value, high = (x * rival.seconds_factor for x in (work.low, work.value, work.high))
        bound = f"{work.bound} " if work.bound else ""
        text += f" and {bound}{value:.2f} ({interval(low, high)}) times its seconds"
    text += f" ({work.level:.1%} intervals; {work.method})"
    if rival.call == Call.EQUAL:
        limits = f"limits of {1 - facts.design.doubt:.0%}, each at one look"
        text += f"; {facts.design.equal:g} times or more, either way, is given up by {limits}"
    return text


def joined(names: Sequence[str]) -> str:
    """Names in a row, as a sentence has them."""
    return f"{', '.join(names[:-1])} and {names[-1]}"
