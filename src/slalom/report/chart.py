"""What a chart shows, before anything draws it: traces of numbers, axes, and what is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from slalom.report.style import Style

UNITS = ("steps", "seconds", "samples")
"""What training is counted in; the first unless another is asked for."""

Numbers = Sequence[float | None]
Counts = Mapping[str, Numbers]
"""How far training had come, in each of :data:`UNITS`."""

Mark = Literal["none", "sparse", "own", "stopped", "lost", "middle", "ray"]
"""How points are marked: by the marker of the rule, all or a few of them; as stopped before the
target (an open arrow), as lost (a cross), as a middle (a bar). A ray is a dotted line without
points, which says nothing where it is pointed at."""


@dataclass(frozen=True)
class Trace:
    """A line, or some points.

    Attributes:
        rule: which line of the legend shows and hides it; empty for what belongs to none.
        label: what it is, in words.
        style: its look.
        x, y: the numbers, or :data:`Counts` on the chart's counted axis; None breaks a line. On
            an axis of words, words.
        band: (low, high) around ``y``; None for none.
        mark: how its points are marked.
        joined: whether its points are joined.
        faint: whether it stands back.
        told: of each point, what it is beside its numbers; or nothing.
    """

    rule: str
    label: str
    style: Style
    x: Numbers | Counts | Sequence[str | None]
    y: Numbers | Counts | Sequence[str | None]
    band: tuple[Numbers, Numbers] | None = None
    mark: Mark = "sparse"
    joined: bool = True
    faint: bool = False
    told: Sequence[str] = ()


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        name: a word for files and calls.
        caption: above it.
        traces: in the order in which they are drawn.
        x, y: titles of the axes; that of the counted one is its unit.
        counted: the axis along which training is counted; empty if none.
        log: axes that are logarithmic at first.
        words: the order of an axis of words, from above; empty where it is one of numbers.
        target: where the target lies on the vertical axis; None for nowhere.
        span: the part of the vertical axis that is shown at first; None for all of it.
        said: how it is read, and what it leaves out.
    """

    name: str
    caption: str
    traces: Sequence[Trace]
    x: str
    y: str
    counted: Literal["x", "y", ""]
    said: str
    log: frozenset[str] = frozenset()
    words: Sequence[str] = ()
    target: float | None = None
    span: tuple[float, float] | None = None

    def title(self, axis: str, unit: str) -> str:
        """The title of an axis."""
        return unit if axis == self.counted else getattr(self, axis)


def along(values: Numbers | Counts | Sequence[str | None], unit: str) -> list[float | str | None]:
    """The numbers along an axis, in a unit if it is the counted one; five digits of each."""
    found = values[unit] if isinstance(values, Mapping) else values
    return [rounded(v) if isinstance(v, float) else v for v in found]


def rounded(value: float) -> float | int | None:
    """Five digits of a number, which is more than a chart shows; None of none."""
    if not math.isfinite(value):
        return None
    short = float(f"{value:.5g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def thinned(indices: Sequence[int], points: int) -> list[int]:
    """At most so many of the indices, evenly, the last always among them."""
    if len(indices) <= points:
        return list(indices)
    stride = math.ceil(len(indices) / (points - 1))
    return [*indices[:-1:stride], indices[-1]]


def counted(number: int, what: str) -> str:
    """A number of things, in words."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
