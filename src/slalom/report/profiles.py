"""Performance profiles: how often each rule is there within so many times the least.

Of the seeds of one race, or of the seeds of several races, each of its own task.

Source: Dolan and More, "Benchmarking optimization software with performance profiles", Mathematical
Programming 91 (2002), equation 2.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from slalom.errors import InputError
from slalom.racing.needs import Run
from slalom.racing.result import Result
from slalom.report.chart import Chart, Trace, counted
from slalom.report.style import Key, Style, style, styles


@dataclass(frozen=True)
class Profile:
    """The shares of some problems, a problem being one seed of one task.

    Attributes:
        ratios: rule -> of each problem that it solved, its work over the least of that problem, in
            ascending order, and the problem's weight. The weights of all problems sum to 1.
        known_to: the ratio up to which the shares are known: beyond it, somebody was stopped who
            might have arrived.
        stopped: who was, first; None where nobody was.
    """

    ratios: Mapping[str, Sequence[tuple[float, float]]]
    known_to: float
    stopped: str | None

    def share(self, rule: str, ratio: float) -> float | None:
        """The share of problems on which a rule needed at most so many times the least; None
        where that is not known."""
        if ratio >= self.known_to:
            return None
        return math.fsum(weight for own, weight in self.ratios[rule] if own <= ratio)


def profile_of(results: Sequence[Result], rules: Sequence[str]) -> Profile:
    """The profile of these rules, every race weighing as much as every other."""
    ratios: dict[str, list[tuple[float, float]]] = {rule: [] for rule in rules}
    known_to, stopped = math.inf, None
    for result in results:
        places = _places(result, rules)
        for place in places:
            runs: dict[str, Run] = {rule: result.finals[rule][place] for rule in rules}
            least = min((run.work for run in runs.values() if run.arrived), default=math.inf)
            for rule, run in runs.items():
                if run.arrived:
                    ratios[rule].append((run.work / least, 1 / len(places) / len(results)))
                elif not (run.ended or result.meta["full"]) and run.work / least < known_to:
                    known_to, stopped = max(1.0, run.work / least), rule
    return Profile({rule: sorted(own) for rule, own in ratios.items()}, known_to, stopped)


def profile(result: Result) -> Chart | None:
    """The profile of a full race; None of another, whose runs end as soon as all is known.

    On the seeds that all have run on: of a race that was interrupted, they may be fewer, or none.
    """
    if not result.meta["full"] or not result.finals or result.meta["budget"] is not None:
        return None
    rules = [standing.rule for standing in result.standings]
    if not (places := _places(result, rules)):
        return None
    return _chart(
        profile_of([result], rules), styles(result), counted(len(places), "seed"),
        "times the least on the seed", "share of seeds",
    )  # fmt: skip


def profile_of_tasks(results: Sequence[Result]) -> tuple[Profile, Chart, list[Key]]:
    """The profile of several races over the rules that all of them have, and its legend.

    A race that is not full ends runs once they are known to be slower: the profile is drawn up to
    the ratio where that first was so. Raises :class:`InputError` for fewer than two races, the same
    one twice, one without finals on common seeds, one with a budget, and fewer than two rules in
    common.
    """
    if len(results) < 2:
        raise InputError("a profile over tasks needs two races at least")
    known = set()
    for result in results:
        if result.path.resolve() in known:
            raise InputError(f"{result.path} is given twice; each race counts once")
        known.add(result.path.resolve())
        if result.meta["budget"] is not None:
            raise InputError(
                f"{result.path} is a race to the end of {result.meta['budget']}; a profile is of "
                "races to a target"
            )
    named = [list(result.finals) for result in results]
    rules = [rule for rule in named[0] if all(rule in own for own in named)]
    if len(rules) < 2:
        raise InputError(
            "a profile compares rules that all races have in their finals, and these have "
            f"{rules[0] + ' alone' if rules else 'none'} in common"
        )
    for result in results:
        if not _places(result, rules):
            raise InputError(
                f"{result.path} has no seed that all of {', '.join(rules)} have run on"
            )
    found = profile_of(results, rules)
    rules.sort(key=lambda rule: -(found.share(rule, 1.0) or 0.0))
    found = replace(found, ratios={rule: found.ratios[rule] for rule in rules})
    looks = {rule: style(i) for i, rule in enumerate(rules)}
    chart = _chart(
        found, looks, f"{counted(len(results), 'task')} (each task weighing the same)",
        "times the least on the seed of the task", "share of tasks",
    )  # fmt: skip
    left = list(dict.fromkeys(rule for own in named for rule in own if rule not in rules))
    said = chart.said + (f" Not in all races, so left out: {', '.join(left)}." if left else "")
    keys = [Key(rule, rule, look) for rule, look in looks.items()]
    return found, replace(chart, said=said), keys


def _places(result: Result, rules: Sequence[str]) -> list[int]:
    """The seeds that all of these have run on, by their places."""
    return sorted(set.intersection(*(set(result.finals[rule]) for rule in rules)))


def _chart(found: Profile, looks: Mapping[str, Style], what: str, x: str, y: str) -> Chart:
    solved = [own for ratios in found.ratios.values() for own, _ in ratios]
    cut = found.known_to < math.inf
    widest = max([1.0, *(r for r in solved if r < found.known_to)])
    end = found.known_to if cut else widest
    traces = []
    for rule, ratios in found.ratios.items():
        xs, ys = [1.0], [0.0]
        for own, weight in ratios:  # a stair, drawn as one
            if own >= found.known_to:
                break
            xs += [own, own]
            ys += [ys[-1], ys[-1] + weight]
        traces.append(Trace(rule, rule, looks[rule], [*xs, end], [*ys, ys[-1]]))
    said = (
        f"At each ratio: the share of the {what} on which a rule was at the target within so many "
        "times what the least on that seed took. Higher is better; the left edge is how often it "
        "was the first"
    )
    said += (
        f". Nothing is known beyond {found.known_to:.3g}, where {found.stopped} was stopped "
        "without having arrived; races with --full go on."
        if cut
        else ", the right edge how often it arrived at all."
    )
    return Chart(
        "profile", "Performance profile: how often each is there within so many times the least",
        traces, x, y, "", said, frozenset("x"),
    )  # fmt: skip
