"""What measurements of levers say: which help, and what they do to the numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slalom.fitting.tuning.levers import LEVERS

LEVEL = 0.95
"""Of intervals, at least."""

NEAR = 1e-4
"""What a first gradient differs by at most, relatively in norm, where it is by rounding. bfloat16
differs by 1e-3 and more; of later ones and of weights rounding makes any difference in time."""

SAME, ROUNDING, OTHER = "same to the bit", "rounding", "other arithmetic"


@dataclass(frozen=True)
class Measured:
    """What was seen of a task with levers.

    Attributes:
        levers: their names.
        seconds: of an update, in each turn; in the order of everybody's turns.
        loss, gradient: of the first update; of the latter some numbers.
        digest: of all weights after some.
        peak: bytes that its process has held at most.
        once: seconds of the very first update.
    """

    levers: tuple[str, ...]
    seconds: Sequence[float]
    loss: float = 0.0
    gradient: Sequence[float] = ()
    digest: str = ""
    peak: int = 0
    once: float = 0.0

    @property
    def name(self) -> str:
        """The levers, in words."""
        return " + ".join(self.levers) or "as it is"


@dataclass(frozen=True)
class Verdict:
    """What a measurement says beside that of the task as it is.

    Attributes:
        gain, low, high: how many times as fast: the median of the turns, and its interval.
        noise: how many times as fast the task as it is was as itself, or slower: what chance does.
        numbers: :data:`SAME`, :data:`ROUNDING`, :data:`OTHER`.
        paid: updates after which the seconds of its first one are made good; None if never.
    """

    measured: Measured
    gain: float
    low: float
    high: float
    noise: float
    numbers: str
    paid: float | None

    @property
    def helps(self) -> bool:
        """Whether it is faster, as far as can be told from chance."""
        return self.low > self.noise


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Of the median of what these are drawn from, whatever its distribution: order statistics.

    From six values on it holds with :data:`LEVEL` at least; with fewer it is infinite.
    """
    n, ordered = len(values), sorted(values)
    beyond, kept = 0.0, 0
    while kept < n // 2:
        beyond += 2 * math.comb(n, kept) / 2**n
        if beyond > 1 - LEVEL:
            break
        kept += 1
    return (ordered[kept - 1], ordered[n - kept]) if kept else (-math.inf, math.inf)


def verdict(usual: Measured, again: Measured, other: Measured) -> Verdict:
    """Of ``other``, beside the task as it is, which was measured twice."""
    ratios = [u / o for u, o in zip(usual.seconds, other.seconds, strict=True)]
    low, high = interval(ratios)
    chance = statistics.median(u / a for u, a in zip(usual.seconds, again.seconds, strict=True))
    saved = statistics.median(usual.seconds) - statistics.median(other.seconds)
    extra = max(0.0, other.once - usual.once)
    return Verdict(
        other, statistics.median(ratios), low, high, max(chance, 1 / chance),
        _numbers(usual, again, other),
        extra / saved if saved > 0 else None,
    )  # fmt: skip


def _numbers(usual: Measured, again: Measured, other: Measured) -> str:
    if usual.digest == again.digest == other.digest:
        return SAME  # and where it differs from itself, nothing is
    pairs = list(zip(usual.gradient, other.gradient, strict=True))
    apart = math.sqrt(sum((a - b) ** 2 for a, b in pairs))
    near = apart <= NEAR * math.sqrt(sum(a * a for a, _ in pairs))
    return ROUNDING if near and math.isclose(usual.loss, other.loss, rel_tol=NEAR) else OTHER


def chosen(verdicts: Sequence[Verdict], *, exact: bool) -> tuple[str, ...]:
    """Levers that help, the fastest of those that exclude one another; with ``exact``, of those
    that change no bit alone."""
    found: dict[str, Verdict] = {}
    for one in verdicts:
        (name,) = one.measured.levers
        if one.helps and (one.numbers == SAME or not exact):
            group = LEVERS[name].group or name
            if group not in found or one.gain > found[group].gain:
                found[group] = one
    return tuple(v.measured.levers[0] for v in found.values())


@dataclass(frozen=True)
class Tuned:
    """What :func:`slalom.fitting.tuning.tune` has found.

    Attributes:
        usual: the task as it is.
        again: the same once more, which tells what chance does.
        verdicts: of each lever alone, and of those together that help.
        failed: lever -> why it could not be measured.
    """

    usual: Measured
    again: Measured
    verdicts: Sequence[Verdict]
    failed: Mapping[str, str] = field(default_factory=dict)

    def best(self, *, exact: bool) -> tuple[str, ...]:
        """What to apply: the fastest that was measured to help and, with ``exact``, changes no bit;
        nothing where nothing does."""
        able = [v for v in self.verdicts if v.helps and (v.numbers == SAME or not exact)]
        return max(able, key=lambda v: v.gain).measured.levers if able else ()

    @property
    def applied(self) -> tuple[str, ...]:
        """What ``fit(..., tune=True)`` applies: of :meth:`best` what changes no bit by its nature,
        where that helps by itself."""
        alone = {
            v.measured.levers[0] for v in self.verdicts if len(v.measured.levers) == 1 and v.helps
        }
        return tuple(n for n in self.best(exact=True) if LEVERS[n].neutral and n in alone)

    @property
    def code(self) -> str:
        """Lines to paste."""
        exact, rest = self.best(exact=True), self.best(exact=False)
        lines = [LEVERS[name].code for name in exact]
        for name in (n for n in rest if n not in exact):
            numbers = next(
                (v.numbers for v in self.verdicts if v.measured.levers == (name,)), OTHER
            )
            lines.append(f"{LEVERS[name].code}  # {numbers}: race it")
        return "\n".join(lines)

    def rows(self) -> list[dict[str, Any]]:
        """The table: of each, ms a step, how many times as fast with interval, peak MB, numbers."""
        every = [verdict(self.usual, self.again, self.again), *self.verdicts]
        found = [_row("as it is", self.usual)]
        for one in every:
            name = "as it is, again" if one.measured is self.again else one.measured.name
            low, high = one.low, one.high
            found.append(
                _row(name, one.measured)
                | {"times": one.gain, "low": low, "high": high, "numbers": one.numbers}
                | {"paid after": one.paid if one.measured.levers == ("torch.compile",) else None}
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """All of it in values that JSON has."""
        return {
            "table": [{n: v for n, v in row.items() if v is not None} for row in self.rows()],
            "failed": dict(self.failed), "exact": list(self.best(exact=True)),
            "all": list(self.best(exact=False)), "code": self.code,
        }  # fmt: skip

    def __repr__(self) -> str:
        lines = [f"{'':44}{'ms a step':>10}{'times as fast':>22}{'peak MB':>9}  numbers"]
        for row in self.rows():
            times = (
                f"{row['times']:.2f} ({row['low']:.2f}-{row['high']:.2f})" if "times" in row else ""
            )
            lines.append(
                f"{row['name']:44}{row['ms']:>10.3f}{times:>22}{row['peak MB']:>9.0f}"
                f"  {row.get('numbers', '')}"
            )
            if (paid := row.get("paid after")) is not None:
                lines.append(f"{'':4}compiling is paid for after {paid:,.0f} steps")
        lines += [f"{name}: could not be measured: {why}" for name, why in self.failed.items()]
        lines += ["", self.code or "nothing here makes an update faster, as far as can be told"]
        return "\n".join(lines)


def _row(name: str, measured: Measured) -> dict[str, Any]:
    ms = 1e3 * statistics.median(measured.seconds)
    return {"name": name, "ms": ms, "peak MB": measured.peak / 1e6}
