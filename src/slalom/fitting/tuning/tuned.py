"""What was found of a task's levers: the table, what to apply, the code to paste."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slalom.fitting.tuning.levers import LEVERS
from slalom.fitting.tuning.verdict import OTHER, SAME, Verdict, interval, seconds_of
from slalom.fitting.tuning.worker import Turn

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Tuned:
    """What :func:`slalom.fitting.tuning.tune` has found.

    Attributes:
        usual: turns of the task as it is.
        verdicts: of each lever alone.
        repeated: of those that helped, together and the fastest alone, measured anew: what is
            fastest among many by luck is not so twice.
        failed: lever -> why it could not be measured.
        sizes: of updates of so many samples, the turns.
        untried: levers that there was no time for.
    """

    usual: Sequence[Turn]
    verdicts: Sequence[Verdict]
    repeated: Sequence[Verdict] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[int, Sequence[Turn]] = field(default_factory=dict)
    untried: Sequence[str] = ()

    def confirmed(self, *, exact: bool) -> Verdict | None:
        """The fastest that helped when it was measured again and, with ``exact``, changes no bit;
        None where nothing does."""
        able = [v for v in self.repeated if v.helps and (v.numbers == SAME or not exact)]
        return max(able, key=lambda v: v.gain, default=None)

    def best(self, *, exact: bool) -> tuple[str, ...]:
        """The levers of :meth:`confirmed`: what to apply."""
        found = self.confirmed(exact=exact)
        return () if found is None else found.levers

    @property
    def code(self) -> str:
        """Lines to paste."""
        exact, rest = self.best(exact=True), self.best(exact=False)
        lines = [LEVERS[name].code for name in exact]
        for name in (n for n in rest if n not in exact):
            numbers = next((v.numbers for v in self.verdicts if v.levers == (name,)), OTHER)
            how = LEVERS[name].entrant
            how = f': --entrants "NAME,NAME({how})"' if how else ""
            lines.append(f"{LEVERS[name].code}  # {numbers}: race it{how}")
        return "\n".join(lines)

    def rows(self) -> list[dict[str, Any]]:
        """The table: of each, ms a step and how many times as fast with intervals, in how many
        turns, peak MB, numbers. Where turns are too few there is no interval."""
        found = [_row("as it is", self.usual)]
        for i, one in enumerate([*self.verdicts, *self.repeated]):
            again = i >= len(self.verdicts)
            row = _row(one.name + (", again" if again else ""), one.turns)
            row |= {"times": one.gain, "numbers": one.numbers, "helps": one.helps}
            row |= _ends(one.interval, "low", "high")
            if "torch.compile" in one.levers:
                row |= {"first ms": 1e3 * one.turns[0].once, "paid after": one.paid}
            found.append(row)
        return found

    def size_rows(self) -> list[dict[str, Any]]:
        """Of each size of the batch: samples a second with interval, ms an update, peak MB."""
        found = []
        for size, turns in self.sizes.items():
            row = {"batch": size, "samples/s": size / seconds_of(turns)}
            row |= _ends(interval([size / t.seconds for t in turns]), "low", "high")
            found.append(row | {n: _row("", turns)[n] for n in ("ms", "peak MB")})
        return found

    def to_json(self) -> dict[str, Any]:
        """All of it in values that JSON has."""
        return {
            "table": [{n: v for n, v in row.items() if v is not None} for row in self.rows()],
            "batch sizes": self.size_rows(),
            "failed": dict(self.failed), "not tried": list(self.untried),
            "exact": list(self.best(exact=True)), "all": list(self.best(exact=False)),
            "code": self.code,
        }  # fmt: skip

    def plot(self, what: str = "levers") -> go.Figure:
        """The picture, as a plotly figure: of the ``levers``, or of batch ``sizes``."""
        from slalom.fitting.tuning.picture import drawn

        return drawn(self, what)

    def __repr__(self) -> str:
        head = f"{'':44}{'ms a step':>26}{'times as fast':>20}{'turns':>7}{'peak MB':>9}"
        lines = [f"{head}  numbers"]
        for row in self.rows():
            ms = f"{row['ms']:.3f}{_between(row, 'ms low', 'ms high', '.3f')}"
            times = ""
            if "times" in row:
                times = f"{row['times']:.2f}{_between(row, 'low', 'high', '.2f')}"
            lines.append(
                f"{row['name']:44}{ms:>26}{times:>20}{row['turns']:>7}{row['peak MB']:>9.0f}"
                f"  {row.get('numbers', '')}"
            )
            if (paid := row.get("paid after")) is not None:
                lines.append(
                    f"{'':4}its first step takes {row['first ms'] / 1e3:.1f} s, which is paid for "
                    f"after {paid:,.0f} steps"
                )
        lines += [f"{name}: could not be measured: {why}" for name, why in self.failed.items()]
        if self.untried:
            lines.append(f"not tried, for want of time: {', '.join(self.untried)}")
        if self.sizes:
            head = f"{'samples in an update':44}{'samples a second':>26}{'ms a step':>20}"
            lines += ["", f"{head}{'peak MB':>16}"]
        for row in self.size_rows():
            rate = f"{row['samples/s']:,.0f}{_between(row, 'low', 'high', ',.0f')}"
            lines.append(f"{row['batch']:<44,}{rate:>26}{row['ms']:>20.3f}{row['peak MB']:>16.0f}")
        lines += ["", self.code or "nothing here makes an update faster, as far as can be told"]
        return "\n".join(lines)


def _row(name: str, turns: Sequence[Turn]) -> dict[str, Any]:
    ends = interval([1e3 * t.seconds for t in turns])
    return {
        "name": name, "ms": 1e3 * seconds_of(turns), **_ends(ends, "ms low", "ms high"),
        "turns": len(turns), "peak MB": max(t.peak for t in turns) / 1e6,
    }  # fmt: skip


def _ends(interval: tuple[float, float], *names: str) -> dict[str, float]:
    """The interval by these names; nothing where it is infinite."""
    return dict(zip(names, interval, strict=True)) if math.isfinite(interval[0]) else {}


def _between(row: dict[str, Any], low: str, high: str, form: str) -> str:
    return f" ({row[low]:{form}}-{row[high]:{form}})" if low in row else ""
