"""What was found of a task's levers: the table, what to apply, the code to paste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slalom.fitting.tuning.levers import LEVERS
from slalom.fitting.tuning.verdict import (
    OTHER,
    SAME,
    Measured,
    Verdict,
    interval,
    verdict,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Tuned:
    """What :func:`slalom.fitting.tuning.tune` has found.

    Attributes:
        usual: the task as it is.
        again: the same once more, which tells what chance does.
        verdicts: of each lever alone.
        repeated: of those that helped, together and the fastest alone, measured anew in other
            processes: what is fastest among many by luck is not so twice.
        failed: lever -> why it could not be measured.
        sizes: updates of so many samples.
    """

    usual: Measured
    again: Measured
    verdicts: Sequence[Verdict]
    repeated: Sequence[Verdict] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    sizes: Sequence[Measured] = ()

    def best(self, *, exact: bool) -> tuple[str, ...]:
        """What to apply: the fastest that helped when it was measured again and, with ``exact``,
        changes no bit; nothing where nothing does."""
        able = [v for v in self.repeated if v.helps and (v.numbers == SAME or not exact)]
        return max(able, key=lambda v: v.gain).measured.levers if able else ()

    @property
    def applied(self) -> tuple[str, ...]:
        """What ``fit(..., tune=True)`` applies: of :meth:`best` what changes no bit by its
        nature."""
        return tuple(n for n in self.best(exact=True) if LEVERS[n].neutral)

    @property
    def code(self) -> str:
        """Lines to paste."""
        exact, rest = self.best(exact=True), self.best(exact=False)
        lines = [LEVERS[name].code for name in exact]
        for name in (n for n in rest if n not in exact):
            numbers = next(
                (v.numbers for v in self.verdicts if v.measured.levers == (name,)), OTHER
            )
            how = LEVERS[name].entrant
            how = f': --entrants "NAME,NAME({how})"' if how else ""
            lines.append(f"{LEVERS[name].code}  # {numbers}: race it{how}")
        return "\n".join(lines)

    def rows(self) -> list[dict[str, Any]]:
        """The table: of each, ms a step and how many times as fast with intervals, peak MB,
        numbers."""
        found = [_row("as it is", self.usual)]
        every = [verdict(self.usual, self.again, self.again), *self.verdicts, *self.repeated]
        for i, one in enumerate(every):
            name = one.measured.name
            if one.measured is self.again or i > len(self.verdicts):  # the second time
                name += ", again"
            paid = one.paid if "torch.compile" in one.measured.levers else None
            found.append(
                _row(name, one.measured)
                | {"times": one.gain, "low": one.low, "high": one.high, "numbers": one.numbers}
                | {"first ms": 1e3 * one.measured.once, "paid after": paid}
            )
        return found

    def size_rows(self) -> list[dict[str, Any]]:
        """Of each size of the batch: samples a second with interval, ms an update, peak MB."""
        found = []
        for one in self.sizes:
            low, high = interval([(one.size or 0) / s for s in one.seconds])
            found.append(
                {"batch": one.size, "samples/s": (one.size or 0) / one.update}
                | {"low": low, "high": high}
                | {n: v for n, v in _row("", one).items() if n in ("ms", "peak MB")}
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """All of it in values that JSON has."""
        return {
            "table": [{n: v for n, v in row.items() if v is not None} for row in self.rows()],
            "batch sizes": self.size_rows(),
            "failed": dict(self.failed), "exact": list(self.best(exact=True)),
            "all": list(self.best(exact=False)), "code": self.code,
        }  # fmt: skip

    def plot(self, what: str = "levers") -> go.Figure:
        """The picture, as a plotly figure: of the ``levers``, or of batch ``sizes``."""
        from slalom.fitting.tuning.picture import drawn

        return drawn(self, what)

    def __repr__(self) -> str:
        lines = [f"{'':44}{'ms a step':>26}{'times as fast':>20}{'peak MB':>9}  numbers"]
        for row in self.rows():
            ms = f"{row['ms']:.3f} ({row['ms low']:.3f}-{row['ms high']:.3f})"
            times = (
                f"{row['times']:.2f} ({row['low']:.2f}-{row['high']:.2f})" if "times" in row else ""
            )
            lines.append(
                f"{row['name']:44}{ms:>26}{times:>20}{row['peak MB']:>9.0f}"
                f"  {row.get('numbers', '')}"
            )
            if (paid := row.get("paid after")) is not None:
                lines.append(
                    f"{'':4}its first step takes {row['first ms'] / 1e3:.1f} s, which is paid for "
                    f"after {paid:,.0f} steps"
                )
        lines += [f"{name}: could not be measured: {why}" for name, why in self.failed.items()]
        if self.sizes:
            head = f"{'samples in an update':44}{'samples a second':>26}{'ms a step':>20}"
            lines += ["", f"{head}{'peak MB':>9}"]
        for row in self.size_rows():
            rate = f"{row['samples/s']:,.0f} ({row['low']:,.0f}-{row['high']:,.0f})"
            lines.append(f"{row['batch']:<44,}{rate:>26}{row['ms']:>20.3f}{row['peak MB']:>9.0f}")
        lines += ["", self.code or "nothing here makes an update faster, as far as can be told"]
        return "\n".join(lines)


def _row(name: str, measured: Measured) -> dict[str, Any]:
    low, high = interval(measured.seconds)
    return {
        "name": name, "ms": 1e3 * measured.update, "ms low": 1e3 * low, "ms high": 1e3 * high,
        "peak MB": measured.peak / 1e6,
    }  # fmt: skip
