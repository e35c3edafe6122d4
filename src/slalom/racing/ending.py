"""What a race with a budget says of its finals: who is best at its end."""

from __future__ import annotations

from slalom.racing.design import OUT
from slalom.racing.findings import Rival, Standing, Verdict
from slalom.racing.verdict import Facts, broken, failed, joined, unbegun, under


def at_the_end(facts: Facts) -> Verdict:
    """The verdict of a race with a budget, as far as it has come."""
    standings = facts.standings
    first = standings[0] if standings else None
    if first is None or not first.seeds:
        return unbegun(facts)
    unfinished = not facts.meta.get("finished") and facts.judgement.running
    if facts.judgement.leader is None or first.at_end is None:
        text = "The race was interrupted in its finals, before anything could be told."
        if not unfinished:
            text = f"Nobody came to the end of {facts.meta['budget']}: {_fate(first)}."
        return Verdict(text, None, False)
    rivals = [
        Rival(s.label, s.call, None, None, s.difference)
        for s in standings
        if s.call is not None and s.difference is not None
    ]
    lost = {s.label for s in standings if broken(s)}
    when = f"after {facts.meta['budget']}{under(facts)}"
    ends = f"{facts.meta['metric']} {first.at_end:.4g}"
    if unfinished:
        text = f"The race was interrupted; so far {first.label} leads {when}, at {ends}."
        return Verdict(text, first.label, True, tuple(rivals))
    ends += f" (the median of {first.seeds} seeds)"
    if len(standings) == 1:
        return Verdict(f"{first.label} raced alone: {when} it is at {ends}.", first.label, False)
    tied = [r for r in rivals if r.call not in OUT and r.label not in lost]
    if tied:
        text = f"A tie of {joined([first.label, *(r.label for r in tied)])} {when}"
        text += f": {first.label} is at {ends}"
    elif all(broken(s) for s in standings[1:]):
        text = f"{first.label} is the only one that could be trained: {when} it is at {ends}"
    else:
        text = f"{first.label} is the best {when}, at {ends}"
    shown = [
        s for s in standings[1:]
        if s.call is not None and not broken(s) and (not tied or s.call not in OUT)
    ]  # fmt: skip
    evidence = "".join(f"; {_evidence(s)}" for s in shown[:2])
    text += f"{evidence}{failed(standings)}."
    return Verdict(text, first.label, bool(tied), tuple(rivals))


def _fate(s: Standing) -> str:
    return f"{s.label} {s.status}" + (f", {s.reason}" if s.reason else "")


def _evidence(s: Standing) -> str:
    assert s.difference is not None
    text = f"{s.label} is {s.told.replace('not told apart', 'not told apart from it')}"
    return f"{text} ({s.difference.level:.1%} interval; {s.difference.method})"
