"""What a symbol answers that looks further than one element: sums, sizes, matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slalom.ir.operations import COLUMNS, ELEMENTS, ROWS, SQUARE, SUMS, left_of
from slalom.rules import functions
from slalom.rules.definition import RuleError


class Whole:
    """The part of :class:`slalom.ir.symbol.Symbol` that is of a whole tensor."""

    __slots__ = ()

    graph: Any
    along: int

    def _sum(self, op: str, axis: int | None, over: str | None) -> Any:
        found = self.graph.sum(op, self, left_of(functions.reach(axis, over)))
        return found if over is None else self.graph.across(found, "total", over)

    def total(self, axis: int | None = None, over: str | None = None) -> Any:
        return self._sum("total", axis, over)

    def mean(self, axis: int | None = None, over: str | None = None) -> Any:
        """The total over how many there are, both of them numbers that the tensor tells."""
        found, graph = self.total(axis, over), self.graph
        gone = self.along & ~left_of(axis)
        if over is None:
            return found / graph.size(gone) if gone else found
        return found / graph.across(graph.size(gone, 0), "total", over).maximum(1)

    def norm(self, axis: int | None = None, over: str | None = None) -> Any:
        found = self._sum("squares", axis, over)
        return found.sqrt() if found.op in (*SUMS, "across") else self.graph.make("abs", self)

    def highest(self, over: str) -> Any:
        functions.reach(None, over)
        return self.graph.across(self, "highest", over)

    def rows(self) -> Any:
        return self.graph.size(ROWS)

    def columns(self) -> Any:
        return self.graph.size(COLUMNS)

    def orthogonal(self, polynomials: Sequence[Sequence[Any]], dtype: str | None) -> Any:
        flat = [number for polynomial in polynomials for number in polynomial]
        return self.graph.product("orthogonal", self, dtype, 1.0, *flat)

    def between(self, left: Any, right: Any) -> Any:
        squares = _square(left, ROWS), _square(right, COLUMNS)
        return self.graph.product("between", self, None, 1.0, *squares)

    def gram(self, axis: int, onto: Any, keep: Any, share: Any) -> Any:
        onto = _square(onto, left_of(axis))
        return self.graph.product("gram", self, None, 1.0, axis, onto, keep, share)

    def decomposed(self, op: str, *others: Any) -> Any:
        if op in ("refined", "whitened"):
            _square(others[0], self.along & ELEMENTS)
        return self.graph.decomposed(op, _square(self), *others)


def _square(symbol: Any, along: int = 0) -> Any:
    """It, if it is a square matrix (of rows by rows, of columns by columns): RuleError else."""
    kinds = {ROWS: " of rows by rows", COLUMNS: " of columns by columns"}
    if isinstance(symbol, Whole) and symbol.along & SQUARE and symbol.along & along == along:
        return symbol
    raise RuleError(f"it multiplies by what is no square matrix{kinds.get(along, '')}")
