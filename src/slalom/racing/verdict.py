"""What a race says of its finals, in sentences that claim no more than was seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slalom.racing.design import OPEN, OUT, Call, Design
from slalom.racing.estimate import Difference, Estimate, by_the_clock
from slalom.racing.findings import Curve, Rival, Standing, Verdict, count
from slalom.racing.needs import Runs, at_the_first, one_evaluation_apart
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
        seconds: rule -> of a unit of work, round by round, as the rules took turns.
        heats: what these have come to, where there are no finals yet.
    """

    meta: Mapping[str, Any]
    standings: Sequence[Standing]
    runs: Mapping[str, Any]
    judgement: Judgement
    design: Design
    seconds: Mapping[str, Sequence[float]]
    heats: Sequence[Curve] = ()


def told(
    label: str, beside: Estimate, runs: Mapping[str, Any], judgement: Judgement, design: Design
) -> str:
    """What is known of a finalist beside the one that it was judged by, in a few words."""
    finding = judgement.findings[label]
    seeds = f"{finding.seeds} {'seed' if finding.seeds == 1 else 'seeds'}"
    if isinstance(beside, Difference):
        text = {
            Call.WORSE: f"worse by {beside} on {seeds}",
            Call.BEHIND: f"worse by {beside} on {seeds}, far beyond what seeds explain",
        }.get(finding.call, f"not told apart on {seeds}: worse by {beside}")
    elif finding.call == Call.BEHIND:
        text = _behind(finding, runs[label], runs[finding.against], design)
    else:
        text = {
            Call.SLOWER: f"{beside} times on {seeds}",
            Call.EQUAL: f"about equal on {seeds}: {beside} times",
        }.get(finding.call, f"not told apart on {seeds}: {beside} times")
    return text if finding.against == judgement.leader else f"{text}, beside {finding.against}"


def _behind(finding: Finding, slow: Runs, fast: Runs, design: Design) -> str:
    """On how many seeds one took so many times as long, and on how many others it never came."""
    judged = sorted(slow.keys() & fast.keys())[: finding.seeds]
    lost = [s for s, x in zip(judged, finding.logs, strict=True) if x == math.inf]
    far = sum(slow[s].work >= (1 - 1e-9) * design.far * fast[s].work for s in lost)
    n = f"{sum(not math.isnan(x) for x in finding.logs)} seeds"
    if not far:
        return f"did not arrive on {len(lost)} of {n}"
    text = f"{design.far:g} times or more on {far} of {n}"
    return text if far == len(lost) else f"{text}, did not arrive on {len(lost) - far}"


def verdict(facts: Facts) -> Verdict:
    """The verdict of a race, as far as it has come."""
    standings, goal = facts.standings, _goal(facts)
    first = standings[0] if standings else None
    if first is None or not first.seeds:
        return unbegun(facts)
    unfinished = not facts.meta.get("finished") and facts.judgement.running
    if facts.judgement.leader is None:
        if unfinished and not any(s.reached for s in standings):
            runs = sum(s.seeds for s in standings)
            text = f"The race was interrupted; so far none of {runs} runs reached {goal}."
            return Verdict(text, None, False, over=False)
        if untold(facts):
            return Verdict(UNTOLD, None, False, over=False)
        return _nobody(facts, goal)
    known = [(s, r) for s in standings if (r := _rival(facts, s)) is not None]
    rivals = tuple(r for _, r in known)
    tied = [r for r in rivals if r.call in OPEN]
    others = [s for s in standings[1:] if not broken(s)]
    if unfinished:
        text = (
            f"The race was interrupted; so far {first.label} leads at {goal}, in "
            f"{_took(first)}{under(facts)}."
        )
        return Verdict(text, first.label, bool(tied), rivals, over=False)
    if len(standings) == 1:
        text = f"{first.label} raced alone: it reached {goal} in {_took(first)}{under(facts)}."
        return Verdict(text, first.label, False)
    sooner, later = _by_the_clock(facts, rivals)
    unit = "steps" if all(s.batch == first.batch for s in standings) else "samples"
    if tied:
        names = joined([first.label, *(r.label for r in tied)])
        counted = f" in {unit}" if sooner or later else ""
        text = f"A tie{counted} of {names} at {goal}: {first.label} takes {_took(first)}"
    elif all(s.reached == 0 and s.chance is not None for s in others):
        text = f"{first.label} is the only one that reached {goal}, in {_took(first)}{under(facts)}"
        if others:
            text += "; no other was stopped before its end"
        return Verdict(f"{text}{failed(standings)}.", first.label, False, rivals)
    else:
        soonest = f"in the fewest {unit}" if sooner else "soonest"
        text = f"{first.label} reaches {goal} {soonest}, in {_took(first)}"
    shown = [(s, r) for s, r in known if r.call in OPEN] or known
    evidence = "".join(f"; {_evidence(facts, s, r)}" for s, r in shown[:2])
    clock = ""
    if sooner:
        clock += f"; by the clock {joined(sooner)} {'is' if len(sooner) == 1 else 'are'} sooner"
    if later:
        clock += f"; by the clock it is sooner than {joined(later)}"
    text += f"{under(facts)}{evidence}{clock}{failed(standings)}."
    return Verdict(text, first.label, bool(tied), rivals)


UNTOLD = "The race was interrupted in its finals, before anything could be told."


def untold(facts: Facts) -> bool:
    """Whether the finals ended before they could be judged: they were interrupted, or led by the
    judge of another version, and what there is beyond the seeds that all have tells nothing."""
    unfinished = not facts.meta.get("finished") and facts.judgement.running
    return bool(unfinished) or any(r.told for own in facts.runs.values() for r in own.values())


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
        return Verdict(text, None, False, over=False)
    pick = max if facts.meta["higher_is_better"] else min
    seen = [(m, c) for c in facts.heats if (m := c.metric[-1] if c.metric else None) is not None]
    if seen:
        value, best = pick(seen, key=lambda pair: pair[0])
        text += (
            f" In its heats {best.label} has come furthest so far, to {facts.meta['metric']} "
            f"{value:.4g} after {best.step[-1]:,} steps on one seed."
        )
    return Verdict(text, None, False, over=False)


def remarks(facts: Facts) -> list[str]:
    """What the spacing of the evaluations keeps a race from telling."""
    found: list[str] = []
    leader, runs = facts.judgement.leader, facts.runs
    if leader is None:
        return found
    if at_the_first(runs[leader]):
        found.append(
            f"{leader} was at the target at its first evaluation, so what it needed is not known; "
            "lower eval_every, or ask for more"
        )
    near = [runs[s.rule] for s in facts.standings if s.rule == leader or s.call in OPEN]
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
    easier = "lower" if facts.meta["higher_is_better"] else "raise"
    return Verdict(f"{text}. Raise the task's max_steps, or {easier} its target.", None, False)


def _rival(facts: Facts, s: Standing) -> Rival | None:
    if s.call is None or s.ratio is None or s.against is None:
        return None
    seconds = by_the_clock(s.ratio, *(facts.seconds.get(n, ()) for n in (s.rule, s.against)))
    factor = None if seconds is None else seconds.value / s.ratio.value
    return Rival(s.label, s.call, s.ratio, factor, None, seconds, s.against)


def _by_the_clock(facts: Facts, rivals: Sequence[Rival]) -> tuple[list[str], list[str]]:
    """Whom steps and seconds tell apart from the leader otherwise: who is sooner by the clock,
    and of those who tie who is later."""
    timed = [(r, r.seconds) for r in rivals if r.against == facts.judgement.leader and r.seconds]
    sooner = [r.label for r, seconds in timed if seconds.high < 1]
    return sooner, [r.label for r, seconds in timed if r.call in OPEN and seconds.low > 1]


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


def said(s: Standing) -> str:
    """What the row of a standing tells, as a sentence begins: its name and a verb before it."""
    if s.told.startswith((Status.DIVERGED, Status.FAILED, "did not")):
        return f"{s.label} {s.told}"
    return f"{s.label} {'takes' if s.difference is None else 'is'} {s.told}"


def _evidence(facts: Facts, standing: Standing, rival: Rival) -> str:
    work, seconds = standing.ratio, rival.seconds
    assert work is not None
    if rival.call == Call.BEHIND or standing.told.startswith(Status.DIVERGED):
        return said(standing)
    beside = next(s for s in facts.standings if s.rule == rival.against)
    whose = "its" if beside.rule == facts.judgement.leader else f"{beside.label}'s"
    unit = "steps" if standing.batch == beside.batch else "samples"
    text = f"{rival.label} needs {work} times {whose} {unit}"
    level = f"{work.level:.1%} interval; "
    if seconds is not None:
        text += f" and {seconds} times {whose} seconds"
        level = f"intervals of {work.level:.1%} and {seconds.level:.1%}; "
    text += f" ({'' if work.seen else level}{work.method})"
    if rival.call == Call.EQUAL:
        limits = f"limits of {1 - facts.design.doubt:.0%}, each at one look"
        text += f"; {facts.design.equal:g} times or more, either way, is given up by {limits}"
    return text


def joined(names: Sequence[str]) -> str:
    """Names in a row, as a sentence has them."""
    return " and ".join([", ".join(names[:-1]), names[-1]][len(names) < 2 :])
