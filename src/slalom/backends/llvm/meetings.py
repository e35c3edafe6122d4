"""Halts of machine code: what comes before each, and what is done there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from slalom.backends.crossings import company
from slalom.backends.llvm.code import Code
from slalom.backends.llvm.driver import LINE, Table
from slalom.backends.llvm.multiplied import between, gram
from slalom.backends.llvm.operands import Operands
from slalom.backends.row import Row
from slalom.ir.operations import PRODUCTS
from slalom.ir.squares import Squares
from slalom.rules import matrices
from slalom.rules.definition import Rule


@dataclass(frozen=True, eq=False)
class Asked:
    """Segments that are updated by one code with halts.

    Attributes:
        code: their code.
        rows: of each its row.
        members: their places among the segments of the launch.
        own: their own numbers, a row each.
        operands: their operands of operations on matrices.
        states: gives the state of a name of a segment of the launch.
    """

    code: Code
    rows: Sequence[Row]
    members: np.ndarray
    own: np.ndarray
    operands: Operands
    states: Callable[[str, int], Tensor]


class Meetings:
    """All that a launch does before its last run, in which it counts.

    Up to the last crossing nothing of the user's is changed, so that an exception out of a signal
    between two runs leaves everything as it was. Where matrices are multiplied it may leave states
    that were written before, as torch's own optimizers may. Segments and table are those of the
    launch.
    """

    def __init__(self, asked: Sequence[Asked], segments: np.ndarray, table: Table):
        self._asked = asked
        self._tables: list[tuple[Table, np.ndarray]] = []
        for i in range(max(len(a.code.before) for a in asked)):
            here = [a for a in asked if i < len(a.code.before)]
            part = segments[np.concatenate([a.members for a in here] + [[len(segments) - 1]])]
            part["kept"] = part["states"] = 0  # nothing is counted, nor written
            begin = 0
            for a in here:
                stages = a.code.before[i]
                mine = part[begin : begin + len(a.members)]
                mine["stages"], mine["n_stages"] = stages.ctypes.data, len(stages)
                begin += len(a.members)
            lines = -(-part["numel"][:-1] // LINE)
            part["first_line"][:-1] = np.cumsum(lines) - lines
            fields = {field[0]: getattr(table, field[0]) for field in Table._fields_}
            fields |= {"segments": part.ctypes.data, "n_segments": begin, "lines": lines.sum()}
            self._tables.append((Table(**fields), part))

    def hold(self, run: Callable[[Table], None]) -> None:
        """Run up to the last halt, and do what is to be done at each."""
        multiplying = {
            id(a): _alike(a) for a in self._asked if any(h.products for h in a.code.halts)
        }
        for i, (table, _) in enumerate(self._tables):
            run(table)
            together: dict[Rule, list[Asked]] = {}
            for a in self._asked:
                if i >= len(a.code.before):
                    continue
                if a.code.halts[i].products:
                    for alike in multiplying[id(a)]:
                        alike.multiply(i)
                else:
                    together.setdefault(a.rows[0].rule, []).append(a)
            for asked in together.values():
                for places in zip(*(a.code.places[i] for a in asked), strict=True):
                    _bring_together(asked, places)
        for own in multiplying.values():
            for alike in own:
                alike.squares.keep()


def _alike(asked: Asked) -> list[_Alike]:
    """Segments that have a row and a shape in common, whose matrices are worked at together."""
    alike: dict[tuple[int, int], list[int]] = {}
    for k, (row, member) in enumerate(zip(asked.rows, asked.members.tolist(), strict=True)):
        alike.setdefault((id(row), asked.operands.block_of(member)), []).append(k)
    return [_Alike(asked, mine) for mine in alike.values()]


class _Alike:
    """Some of these: ``mine`` are their places in what was asked."""

    def __init__(self, asked: Asked, mine: Sequence[int]):
        row = asked.rows[mine[0]]
        assert row.program is not None
        scalars = {id(s): v for s, v in zip(row.program.scalars, row.values, strict=False)}
        self._asked, self._mine = asked, mine
        self._members = asked.members[mine].tolist()
        self._scalar = lambda symbol: scalars[id(symbol)]
        names = [n for n in row.program.live_state if n in row.program.rule.squares]
        kept = {n: [asked.states(n, m) for m in self._members] for n in names}
        self.squares = Squares(row.program, kept, self._scalar, between, gram)

    def multiply(self, i: int) -> None:
        """Do the operations on matrices of a halt."""
        asked, members = self._asked, self._members
        products = asked.code.halts[i].products
        own = {name: asked.operands.each(name, members) for name in products}
        self.squares.multiply(products, own)
        places = {id(node): place for place, node in asked.code.places[i]}
        for name, (*_, product) in products.items():
            if product.op != "orthogonal":
                continue
            place = places.get(id(product))
            numbers = [
                a.args[0] if a.op == "constant" else self._scalar(a) for a in product.args[3:]
            ]
            lengths = None if place is None else asked.own[self._mine, place]
            with asked.operands.batch(name, members) as batch:
                matrices.replaced(PRODUCTS[product.op], batch, lengths, product.args[1], numbers)


def _bring_together(asked: Sequence[Asked], places: Sequence[tuple[int, Any]]) -> None:
    """Put in place of a number of each segment what is made of those of its company."""
    kind = places[0][1].args[1]
    values = np.concatenate([a.own[:, p] for a, (p, _) in zip(asked, places, strict=True)])
    members = np.concatenate([a.members for a in asked])
    keys = [company(row, n) for a, (_, n) in zip(asked, places, strict=True) for row in a.rows]
    made = np.empty_like(values)
    for key in dict.fromkeys(keys):
        mine = np.array([k == key for k in keys])
        own = values[mine][np.argsort(members[mine])]  # in their order, whatever code they have
        made[mine] = own.sum() if kind == "total" else own.max()
    begin = 0
    for a, (place, _) in zip(asked, places, strict=True):
        a.own[:, place] = made[begin : begin + len(a.own)]
        begin += len(a.own)
