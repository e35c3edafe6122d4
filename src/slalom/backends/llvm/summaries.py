"""What comes between two sweeps, as LLVM's assembly: summaries of one tensor, in double precision.

A segment of a program that sums has numbers of its own: the row that its next sweep reads, then
how many elements it has, then every sum that was taken so far.
"""

from __future__ import annotations

from collections.abc import Sequence

from slalom.backends.llvm.arithmetic import literal
from slalom.backends.llvm.elements import SIZES, Arrays, Memory, computed_in
from slalom.ir.program import Program
from slalom.ir.sweeps import Sweep
from slalom.ir.symbol import KEPT, Symbol


def sweeps_over(program: Program, arrays: Arrays) -> list[Sweep]:
    """The sweeps of a program over arrays of these types: what is rounded is not read again."""
    small = program.rule.shapes
    widest = SIZES[computed_in(arrays, small)]
    narrow = any(SIZES[kind] < widest for name, kind in arrays if name not in small)
    return program.sweeps_apart if narrow else program.sweeps


class Summaries:
    """Writes what is done before each sweep of a program, and after the last.

    Attributes:
        size: where among a segment's own numbers that of its elements stands.
        firsts: where the sums of each sweep begin.
        numbers: how many of them there are.
    """

    def __init__(self, program: Program, sweeps: Sequence[Sweep], arrays: Arrays, stochastic: bool):
        self._program, self._sweeps, self._arrays = program, sweeps, arrays
        self._stochastic = stochastic
        self.size = max(len(s.scalars) for s in sweeps) + 1  # behind the random bits of a row
        self.firsts = [
            self.size + 1 + sum(len(s.sums) for s in sweeps[:k]) for k in range(len(sweeps))
        ]
        self.numbers = self.firsts[-1] + len(sweeps[-1].sums)

    def before(self, k: int) -> tuple[list[str], list[str]]:
        """``void before.k(ptr addresses, ptr row, ptr own)``: declarations, lines.

        It makes the row of the sweep of the update's and of what is known.
        """
        text = self._text()
        scalars = self._sweeps[k].scalars
        for i, value in enumerate([text.number(s) for s in scalars]):
            text.put("double", "%own", i, value)
        if self._stochastic:
            text.put("double", "%own", len(scalars), text.row(len(self._program.scalars)))
        return self._function(k, text)

    def after(self) -> tuple[list[str], list[str]]:
        """The same function after the last sweep, which stores the states that are one number."""
        text = self._text()
        small = self._program.small.items()
        for name, value in [(name, text.number(s)) for name, s in small]:
            text.keep(name, value)
        return self._function(len(self._sweeps), text)

    def _text(self) -> _Between:
        own = {
            id(total): first + i
            for first, sweep in zip(self.firsts, self._sweeps, strict=True)
            for i, total in enumerate(sweep.sums)
        }
        return _Between(self._program, self._arrays, own, self.size)

    def _function(self, k: int, text: _Between) -> tuple[list[str], list[str]]:
        return text.declares, [
            f"define void @before.{k}(ptr %addresses, ptr %row, ptr %own) nounwind {{",
            *text.lines,
            "  ret void",
            "}",
        ]


class _Between(Memory):
    """The text of one such function; ``sums`` and ``size`` say where these stand in ``%own``."""

    def __init__(self, program: Program, arrays: Arrays, sums: dict[int, int], size: int):
        super().__init__("double", arrays, place="0")
        self._scalars = {id(scalar): i for i, scalar in enumerate(program.scalars)}
        self._sums, self._size = sums, size
        self._values: dict[int, str] = {}
        self._found: set[str] = set()

    def number(self, symbol: Symbol) -> str:
        """The value of a scalar or a summary as a double; of a comparison 0 or 1."""
        value = self._value(symbol)
        return self._emit(f"uitofp i1 {value} to double") if symbol.is_mask else value

    def row(self, place: int) -> str:
        """A number of the update's row."""
        return self._get("%row", place)

    def put(self, kind: str, base: str, place: int, value: str) -> None:
        at = self._emit(f"getelementptr {kind}, ptr {base}, i64 {place}")
        self.lines.append(f"  store {kind} {value}, ptr {at}")

    def keep(self, name: str, value: str) -> None:
        """Store a state that is one number."""
        self._find(name)
        self._store(name, value)

    def _value(self, node: Symbol) -> str:
        if id(node) not in self._values:
            self._values[id(node)] = self._made(node)
        return self._values[id(node)]

    def _made(self, node: Symbol) -> str:
        if node.op == "constant":
            return literal(node.args[0], "double")
        if node.is_known:
            return self.row(self._scalars[id(node)])
        if node.op in KEPT:
            self._find(node.args[0])
            return self._load(node.args[0])
        if node.op == "size":
            return self._get("%own", self._size)
        if (place := self._sums.get(id(node))) is not None:
            return self._get("%own", place)
        return self._apply(node.op, [self._value(a) for a in node.args])

    def _get(self, base: str, place: int) -> str:
        at = self._emit(f"getelementptr double, ptr {base}, i64 {place}")
        return self._emit(f"load double, ptr {at}")

    def _find(self, name: str) -> None:
        """Have the address of an array."""
        own = self.array(name)
        if own in self._found:
            return
        self._found.add(own)
        place = self._names.index(name)
        self.lines += [
            f"  {own}.at = getelementptr ptr, ptr %addresses, i64 {place}",
            f"  {own} = load ptr, ptr {own}.at",
        ]
