"""Where a hyper-parameter may lie: intervals as they are written in mathematics."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

_HALF = re.compile(r"(>=|<=|>|<)\s*(\S+)")
_WHOLE = re.compile(r"([\[(])\s*([^\s,]+)\s*,\s*([^\s,]+)\s*([\])])")


@dataclass(frozen=True)
class Interval:
    """The numbers from ``low`` to ``high``; ``closed`` says of each end whether it belongs."""

    text: str
    low: float
    high: float
    closed: tuple[bool, bool]

    @classmethod
    def of(cls, text: str) -> Interval:
        """Read ``">= 0"``, ``"< 1"``, ``"[0, 1)"`` or ``"(0, inf)"``; ValueError for others.

        A half line holds infinity, as torch takes it for its arguments; ``inf)`` leaves it out.
        """
        try:
            if half := _HALF.fullmatch(text.strip()):
                sign, end = half[1], float(half[2])
                upwards, closed = sign[0] == ">", sign[-1] == "="
                low, high = (end, math.inf) if upwards else (-math.inf, end)
                closed = (closed, True) if upwards else (True, closed)
            elif whole := _WHOLE.fullmatch(text.strip()):
                low, high = float(whole[2]), float(whole[3])
                closed = (whole[1] == "[", whole[4] == "]")
            else:
                raise ValueError
        except ValueError:
            raise ValueError(f'{text!r} is no interval; write ">= 0" or "[0, 1)"') from None
        if not (low < high or (low == high and all(closed))):
            raise ValueError(f"the interval {text!r} holds no number")
        return cls(text.strip(), low, high, closed)

    def __contains__(self, value: Any) -> bool:
        above = self.low <= value if self.closed[0] else self.low < value
        below = value <= self.high if self.closed[1] else value < self.high
        return bool(above) and bool(below)

    def __str__(self) -> str:
        return self.text if self.text[0] in "<>" else f"in {self.text}"


@dataclass(frozen=True)
class Choice:
    """The words that a hyper-parameter may be."""

    words: tuple[str, ...]

    def __contains__(self, value: Any) -> bool:
        return value in self.words

    def __str__(self) -> str:
        return " or ".join(map(repr, self.words))


Bound = Interval | Choice


def bound(written: str | Collection[str]) -> Bound:
    """The bound that is written as an interval, or as the words of a choice."""
    if isinstance(written, str):
        return Interval.of(written)
    words = tuple(written)
    if not words or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{written!r} is no choice; name the words that are allowed")
    return Choice(words)


COMMON: Mapping[str, Interval] = {
    **{
        name: Interval.of(">= 0")
        for name in (
            "lr", "eps", "weight_decay", "momentum", "alpha", "lr_decay",
            "initial_accumulator_value", "momentum_decay",
        )
    },
    "rho": Interval.of("[0, 1]"),
    "betas": Interval.of("[0, 1)"),
}  # fmt: skip
"""The bounds of every hyper-parameter of these names, as in torch, where a rule sets no others."""


def place(name: str) -> tuple[str, int | None]:
    """``"betas[1]"`` as ``("betas", 1)``, ``"lr"`` as ``("lr", None)``."""
    match = re.fullmatch(r"(\w+)\[(\d+)\]", name)
    return (match[1], int(match[2])) if match else (name, None)
