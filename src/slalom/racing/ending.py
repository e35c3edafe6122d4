"""What a race with a budget says of its finals: who is best at its end."""

from __future__ import annotations

from slalom.racing.design import OPEN, OUT
from slalom.racing.findings import Rival, Standing, Verdict
from slalom.racing.status import Status
from slalom.racing.verdict import (
    UNTOLD,
    Facts,
    broken,
    failed,
    joined,
    said,
    unbegun,
    under,
    untold,
)  # fmt: skip


def at_the_end(facts: Facts) -> Verdict:
    """The verdict of a race with a budget, as far as it has come."""
    standings = facts.standings
    first = standings[0] if standings else None
    if first is None or not first.seeds:
        return unbegun(facts)
    unfinished = not facts.meta.get("finished") and facts.judgement.running
    if facts.judgement.leader is None:
        if untold(facts):
            return Verdict(UNTOLD, None, False, over=False)
        text = f"Nobody came to the end of {facts.meta['budget']}: {_fate(first)}."
        return Verdict(text, None, False)
    rivals = tuple(
        Rival(s.label, s.call, None, None, s.difference, None, s.against)
        for s in standings
        if s.call is not None and s.difference is not None
    )
    tied = [r for r in rivals if r.call in OPEN]
    when, ends = f"after {facts.meta['budget']}{under(facts)}", _ends(facts, first)
    if unfinished:
        text = f"The race was interrupted; so far {first.label} leads {when}, at {ends}."
        return Verdict(text, first.label, bool(tied), rivals, over=False)
    if len(standings) == 1:
        return Verdict(f"{first.label} raced alone: {when} it is at {ends}.", first.label, False)
    if tied:
        text = f"A tie of {joined([first.label, *(r.label for r in tied)])} {when}"
        text += f": {first.label} is at {ends}"
    elif all(broken(s) for s in standings[1:]):
        text = f"{first.label} is the only one that could be trained: {when} it is at {ends}"
    else:
        text = f"{first.label} is the best {when}, at {ends}"
    calls = OPEN if tied else OUT
    evidence = "".join(f"; {_evidence(s)}" for s in [s for s in standings if s.call in calls][:2])
    text += f"{evidence}{failed(standings)}."
    return Verdict(text, first.label, bool(tied), rivals)


def _ends(facts: Facts, first: Standing) -> str:
    """Where the one that leads is at the end, and how many of its runs came there."""
    metric, own = facts.meta["metric"], facts.runs[first.rule].values()
    through, seeds = (
        sum(r.told for r in own),
        f"{first.seeds} {'seed' if first.seeds == 1 else 'seeds'}",
    )
    if first.at_end is None:
        return f"no median {metric}, since it came to the end on {through} of {seeds}"
    text = f"{metric} {first.at_end:.4g} (the median of {seeds}"
    return f"{text})" if through == first.seeds else f"{text}, on {through} of which it came there)"


def _fate(s: Standing) -> str:
    return f"{s.label} {s.status}" + (f", {s.reason}" if s.reason else "")


def _evidence(s: Standing) -> str:
    assert s.difference is not None
    text = said(s).replace("not told apart", "not told apart from it")
    if s.told.startswith(Status.DIVERGED):
        return text
    level = "" if s.difference.seen else f"{s.difference.level:.1%} interval; "
    return f"{text} ({level}{s.difference.method})"
