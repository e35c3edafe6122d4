"""What an element of an update goes through, as LLVM's assembly: one alone, or several abreast."""

from __future__ import annotations

from typing import Any

from slalom.backends.llvm.arithmetic import literal
from slalom.backends.llvm.memory import CODED, SIZES, Arrays, Memory, computed_in
from slalom.backends.narrow import owner
from slalom.ir.sweeps import SUMMED, Sweep
from slalom.ir.symbol import Symbol


def touched(sweep: Sweep, arrays: Arrays) -> list[str]:
    """The arrays that a sweep reads or writes, in their order, with what belongs to them."""
    names, used = dict(arrays), {*sweep.reads, *sweep.writes, *sweep.operands}
    return [n for n in names if n in used or owner(n, names) in used]


class Elements(Memory):
    """Writes a sweep over the elements from ``place`` on, ``lanes`` of them.

    The text takes for granted what that of :class:`Memory` does, and the sweep's scalars ``%s0``,
    ``%s1`` ... in the type of arithmetic (with several lanes ``%s0.v``: the same in each lane).
    Of what is one number for each of these neighbours ``%s0.at`` is the address of all of them.

    Args:
        sweep: what is computed.
        arrays: all of its arrays.
        fma: whether the machine multiplies and adds in one rounding.
        stochastic: whether bfloats are rounded by chance.
        inner: what neighbours are of each other, columns or rows, where that matters.
        number: which of these the first element is.
        memory: as :class:`Memory` takes it.

    Attributes:
        summed: what is summed up, as the text calls it, in the order of ``sweep.sums``.
        coded: what is yet to be encoded, when all of its block is known: name -> floats.
    """

    def __init__(
        self, sweep: Sweep, arrays: Arrays, *, fma: bool, stochastic: bool, inner: int = 0,
        number: str = "", **memory: Any,
    ):  # fmt: skip
        kind = computed_in(arrays, sweep.rule.shapes)
        chance = sweep.rule if stochastic else None
        super().__init__(kind, arrays, chance=chance, fma=fma, **memory)
        self._values: dict[int, str] = {}
        self._inner, self._number = inner, number
        # not list.index: two symbols compare as numbers do, by their present values
        self._places = {id(scalar): i for i, scalar in enumerate(sweep.scalars)}
        body = sweep.fused if fma else sweep.body
        for node in body.nodes:
            self._values[id(node)] = self._element(node)
        self.summed: list[str] = []
        self.coded: dict[str, str] = {}
        for name, symbol in body.outputs.items():
            if name.startswith(SUMMED):
                self.summed.append(self._operand(symbol))
            elif self._dtypes[name] in CODED:
                self.coded[name] = self._narrowed(self._operand(symbol))
            else:
                self._store(name, self._operand(symbol))

    def _operand(self, symbol: Symbol) -> str:
        if symbol.is_element:
            return self._values[id(symbol)]
        if symbol.op == "constant":
            return self._same(literal(symbol.args[0], self._scalar), self._scalar)
        value = f"%s{self._places[id(symbol)]}"
        if symbol.along and symbol.along == self._inner:
            at = self._emit(f"getelementptr {self._scalar}, ptr {value}.at, i64 {self._number}")
            value = self._emit(f"load {self._type}, ptr {at}, align {SIZES[self._scalar]}")
        elif self._lanes > 1:
            value = f"{value}.v"
        if symbol.is_mask:  # of summaries: handed in as 0 or 1
            return self._apply("ne", [value, self._same(literal(0.0, self._scalar), self._scalar)])
        return value

    def _element(self, node: Symbol) -> str:
        if node.op == "tensor":
            return self._load(node.args[0])
        if node.op == "spread":
            return self._operand(node.args[0])
        return self._apply(node.op, [self._operand(a) for a in node.args])
