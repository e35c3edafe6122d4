"""How each rule looks: a colour, a dash and a marker that together no other has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from slalom.racing.result import Result
from slalom.racing.status import Stage

COLOURS = (
    "#1f77d0", "#d55e00", "#00916a", "#c2569b", "#a17500", "#7d6bd6", "#c8373a", "#5d8a00",
)  # fmt: skip
"""Neither light nor dark: each has a contrast of 3 at least with white and with the dark page."""

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKERS = (
    "circle", "square", "diamond", "triangle-up", "cross", "pentagon", "star", "hexagon",
    "triangle-down", "triangle-left", "octagon",
)  # fmt: skip
"""By plotly's names. Their number has no factor in common with that of the colours."""

GREY = "#6f7a84"
"""Of what belongs to no rule."""


@dataclass(frozen=True)
class Style:
    """A look, by plotly's names for dashes and markers."""

    colour: str
    dash: str = "solid"
    marker: str = "circle"


class Key(NamedTuple):
    """A line of the legend: the rule it is of (or what else is drawn), its name, its look."""

    rule: str
    name: str
    style: Style


PLAIN = Style(GREY)
BASELINE = Style(GREY, "dash", "triangle-right")
"""Of the user's current choice, which no rule shares since its colour is grey."""


def style(i: int) -> Style:
    """The i-th: colours first, then dashes; markers go round by themselves."""
    dash = DASHES[i // len(COLOURS) % len(DASHES)]
    return Style(COLOURS[i % len(COLOURS)], dash, MARKERS[i % len(MARKERS)])


def legend(result: Result) -> list[Key]:
    """All that is drawn of a race: rules in the order of the standings, then the baseline."""
    rules = [s.rule for s in result.standings]
    rules += [c.rule for c in result.curves if c.stage != Stage.BASELINE]
    keys = [Key(rule, rule, style(i)) for i, rule in enumerate(_once(rules))]
    usual = [c for c in result.curves if c.stage == Stage.BASELINE]
    return [*keys, *(Key(baseline(c.rule), f"{c.label}, your present choice", BASELINE)
                     for c in usual[:1])]  # fmt: skip


def baseline(rule: str) -> str:
    """What the user's present choice is called among the rules, one of which may be the same."""
    return f"baseline {rule}"


def styles(result: Result) -> dict[str, Style]:
    """Rule -> its look."""
    return {key.rule: key.style for key in legend(result)}


def _once(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
