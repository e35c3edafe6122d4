"""Where machine code stops for what it does not do itself: crossings, and products of matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from slalom.ir.program import Program
from slalom.ir.sweeps import Sweep
from slalom.ir.symbol import Symbol


@dataclass(frozen=True, eq=False)
class Halt:
    """One such stop.

    Attributes:
        before: the place of the sweep that comes next.
        asked: what is put down then among a segment's own numbers, and under which symbol.
        products: name of an operand -> the operations on it; none at a crossing.
    """

    before: int
    asked: Mapping[Symbol, Symbol]
    products: Mapping[str, Sequence[Symbol]] = field(default_factory=dict)


def halts(program: Program, sweeps: Sequence[Sweep]) -> list[Halt]:
    """Those of a program, in order. It has not both crossings and products."""
    met = [Halt(c.before, {n: n.args[0] for n in c.nodes}) for c in program.crossings]
    for k, sweep in enumerate(sweeps):
        if sweep.products:
            each = (p for own in sweep.products.values() for p in own)
            lengths = {p: p.args[2] for p in each if p.args[2].op != "constant"}
            met.append(Halt(k + 1, lengths, sweep.products))
    return met
