"""What comes between two sweeps, as LLVM's assembly: summaries of one tensor, in double precision.

A segment of a program that sums has numbers of its own (``own``): the row that its next sweep
reads, then what :class:`Place` lists, then every sum over all of it that was taken so far, and what
was made of a number of each of several tensors. What is one number a row or a column has slots
elsewhere, each as long as there are rows or columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum

from slalom.backends.llvm.arithmetic import literal
from slalom.backends.llvm.halts import Halt, halts
from slalom.backends.llvm.memory import SIZES, Arrays, Memory, computed_in
from slalom.ir.operations import COLUMNS, ELEMENTS, KEPT, ROWS, SUMS
from slalom.ir.program import Program
from slalom.ir.sweeps import Sweep
from slalom.ir.symbol import Symbol


class Place(IntEnum):
    """Where a segment's own numbers stand behind the row of its sweep; words are 64 bits each."""

    ELEMENTS = 0
    """How many there are, at least 1, as a double; so are the next two."""
    ROWS = 1
    COLUMNS = 2
    HEIGHT = 3
    """How many rows there are, as a word; so is the next."""
    WIDTH = 4
    ROW_SLOTS = 5
    """Their address, as a word; so is the next."""
    COLUMN_SLOTS = 6
    SUMS = 7
    """The first sum; there are any number of them."""


_SIZE = {ELEMENTS: Place.ELEMENTS, ROWS: Place.ROWS, COLUMNS: Place.COLUMNS}
SLOTS = {ROWS: "%row.slots", COLUMNS: "%column.slots"}
"""The addresses of slots, as code calls them."""
LENGTH = {ROWS: "%height", COLUMNS: "%width"}
"""How many rows and columns there are, as code calls it."""


def sweeps_over(program: Program, arrays: Arrays) -> list[Sweep]:
    """The sweeps of a program over arrays of these types: what is rounded is not read again."""
    small = program.rule.shapes
    widest = SIZES[computed_in(arrays, small)]
    narrow = any(SIZES[kind] < widest for name, kind in arrays if name not in small)
    return program.sweeps_apart if narrow else program.sweeps


class Layout:
    """Where everything stands among a segment's own numbers and in its slots.

    Attributes:
        base: where :class:`Place` begins.
        firsts, first_columns: of each sweep, where among the own numbers, and in which slot, its
            first sum over all and its first one of columns go.
        numbers: how many own numbers there are.
        slots: of rows and of columns, how many slots there are.
    """

    def __init__(self, sweeps: Sequence[Sweep], stops: Sequence[Halt]):
        self.base = max(len(s.scalars) for s in sweeps) + 1  # behind the random bits of a row
        self._own: dict[int, int] = {}
        self._slots: dict[int, int] = {}
        self.firsts, self.first_columns = [], []
        self.numbers, self.slots = self.base + Place.SUMS, {ROWS: 0, COLUMNS: 0}
        for sweep in sweeps:
            self.firsts.append(self.numbers)
            self.first_columns.append(self.slots[COLUMNS])
            for total in sweep.sums:
                if total.along:
                    self._slots[id(total)] = self.slots[total.along]
                    self.slots[total.along] += 1
                else:
                    self._own[id(total)] = self.numbers
                    self.numbers += 1
        for node in (node for stop in stops for node in stop.asked):
            self._own[id(node)] = self.numbers
            self.numbers += 1
        self._operands: dict[tuple[int, int], int] = {}
        summed = dict(self.slots)
        for k, sweep in enumerate(sweeps):
            used = dict(summed)
            for i, symbol in enumerate(sweep.scalars):
                if symbol.along:
                    self._operands[k, i] = used[symbol.along]
                    used[symbol.along] += 1
            self.slots = {a: max(self.slots[a], used[a]) for a in used}

    def of_sum(self, total: Symbol) -> int | None:
        """Where a sum over all elements, or of all tensors, stands among the own numbers."""
        return self._own.get(id(total))

    def slot_of_sum(self, total: Symbol) -> int | None:
        """In which slot the sums of rows or columns lie; None if it is no such."""
        return self._slots.get(id(total))

    def slot(self, k: int, i: int) -> int:
        """In which slot the scalar ``i`` of the sweep ``k`` lies, in the type of arithmetic."""
        return self._operands[k, i]


class Summaries:
    """Writes what is done before each sweep of a program, and after the last."""

    def __init__(self, program: Program, sweeps: Sequence[Sweep], arrays: Arrays, stochastic: bool):
        self._program, self._sweeps, self._arrays = program, sweeps, arrays
        self.halts = halts(program, sweeps)
        self._stochastic, self.layout = stochastic, Layout(sweeps, self.halts)
        self._kind = computed_in(arrays, program.rule.shapes)

    def before(self, k: int) -> tuple[list[str], list[str]]:
        """``void before.k(ptr addresses, ptr row, ptr own)``: declarations, lines.

        It makes the row of the sweep of the update's and of what is known, and fills the slots
        that the sweep reads.
        """
        text = Between(self._program, self._arrays, self.layout)
        scalars = self._sweeps[k].scalars
        single = {i: text.number(s) for i, s in enumerate(scalars) if not s.along}
        for i, value in single.items():
            text.put("double", "%own", i, value)
        if self._stochastic:
            text.put("double", "%own", len(scalars), text.row(len(self._program.scalars)))
        for along in (ROWS, COLUMNS):
            own = {i: s for i, s in enumerate(scalars) if s.along == along}

            def fill(values: Sequence[str], own=own, along=along) -> None:
                for i, value in zip(own, values, strict=True):
                    text.fill(self.layout.slot(k, i), along, self._kind, value)

            text.each(along, list(own.values()), fill)
        return text.function(f"before.{k}")

    def met(self, i: int) -> tuple[list[str], list[str]]:
        """The same function at halt ``i``, which puts down what is asked for there."""
        text = Between(self._program, self._arrays, self.layout)
        for node, asked in self.halts[i].asked.items():
            place = self.layout.of_sum(node)
            assert place is not None
            text.put("double", "%own", place, text.number(asked))
        return text.function(f"met.{i}")

    def after(self) -> tuple[list[str], list[str]]:
        """The same function after the last sweep, which stores the states that are summaries."""
        text = Between(self._program, self._arrays, self.layout)
        small = self._program.small
        kinds = self._program.rule.shapes
        extent = {n: KEPT[kinds[n]] for n in small}
        for symbol in small.values():
            text.prepare(symbol)
        for name, value in [(n, text.number(s)) for n, s in small.items() if not extent[n]]:
            text.keep(name, value)
        for along in (ROWS, COLUMNS):
            own = [n for n in small if extent[n] == along]

            def keep(values: Sequence[str], own=own) -> None:
                for name, value in zip(own, values, strict=True):
                    text.keep(name, value)

            for name in own:
                text.find(name)
            text.each(along, [small[n] for n in own], keep)
        return text.function(f"before.{len(self._sweeps)}")


class Between(Memory):
    """The text of one such function; of a GPU, of a thread."""

    def __init__(self, program: Program, arrays: Arrays, layout: Layout):
        super().__init__("double", arrays, place="0")
        self._scalars = {id(scalar): i for i, scalar in enumerate(program.scalars)}
        self._layout = layout
        self._values: dict[int, str] = {}  # of numbers, and in a loop of what goes along with it
        self._found: set[str] = set()
        self._loops = 0
        self._top: list[str] = []

    def function(self, name: str) -> tuple[list[str], list[str]]:
        """Its declarations and lines."""
        places = (
            (LENGTH[ROWS], "i64", Place.HEIGHT), (LENGTH[COLUMNS], "i64", Place.WIDTH),
            (SLOTS[ROWS], "ptr", Place.ROW_SLOTS), (SLOTS[COLUMNS], "ptr", Place.COLUMN_SLOTS),
        )  # fmt: skip
        words = [
            line for own, kind, place in places
            for line in word(own, kind, self._layout.base + place)
        ]  # fmt: skip
        return self.declares, [
            f"define void @{name}(ptr %addresses, ptr %row, ptr %own) nounwind {{",
            *(words if self._loops else ()),
            *self._top,
            *self.lines,
            "  ret void",
            "}",
        ]

    def number(self, symbol: Symbol) -> str:
        """The value of a scalar or of one number of the tensor; of a comparison 0 or 1."""
        value = self._value(symbol)
        return self._emit(f"uitofp i1 {value} to double") if symbol.is_mask else value

    def row(self, place: int) -> str:
        """A number of the update's row."""
        return self._get("%row", place)

    def put(self, kind: str, base: str, place: int | str, value: str) -> None:
        at = self._emit(f"getelementptr {kind}, ptr {base}, i64 {place}")
        self.lines.append(f"  store {kind} {value}, ptr {at}")

    def keep(self, name: str, value: str) -> None:
        """Store a state, or one number of it within :meth:`each`."""
        self.find(name)
        self._store(name, value)

    def fill(self, slot: int, along: int, kind: str, value: str) -> None:
        """Within :meth:`each`, store a number into a slot."""
        if kind != "double":
            value = self._emit(f"fptrunc double {value} to {kind}")
        self.put(kind, self._slot(slot, along), self._place, value)

    def each(
        self, along: int, symbols: Sequence[Symbol], do: Callable[[Sequence[str]], None]
    ) -> None:
        """A loop over rows or columns, which does something with these summaries of each."""
        if not symbols:
            return
        for symbol in symbols:
            self.prepare(symbol)
        self._loops += 1
        n, outer, place = self._loops, dict(self._values), self._place
        at = f"%at{n}"
        self.lines += [
            f"  br label %enter{n}",
            f"enter{n}:",
            f"  br label %loop{n}",
            f"loop{n}:",
            f"  {at} = phi i64 [ 0, %enter{n} ], [ {at}.next, %body{n} ]",
            f"  {at}.some = icmp slt i64 {at}, {LENGTH[along]}",
            f"  br i1 {at}.some, label %body{n}, label %end{n}",
            f"body{n}:",
        ]
        self._place = at
        do([self.number(symbol) for symbol in symbols])
        self._values, self._place = outer, place
        self.lines += [
            f"  {at}.next = add nuw nsw i64 {at}, 1",
            f"  br label %loop{n}",
            f"end{n}:",
        ]

    def prepare(self, symbol: Symbol) -> None:
        """Have all that stands before a loop: single numbers, and the addresses of states."""
        if not symbol.along:
            self._value(symbol)
        elif symbol.op in KEPT:
            self.find(symbol.args[0])
        elif self._layout.slot_of_sum(symbol) is None:
            for a in symbol.args:
                self.prepare(a)

    def find(self, name: str) -> None:
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
            self.find(node.args[0])
            return self._load(node.args[0])
        if node.op == "size":
            return self._size(*node.args)
        if (place := self._layout.of_sum(node)) is not None:
            return self._get("%own", place)
        if (slot := self._layout.slot_of_sum(node)) is not None:
            return self._get(self._slot(slot, node.along), self._place)
        if node.op in SUMS:
            return self._summed(node)
        return self._apply(node.op, [self._value(a) for a in node.args])

    def _size(self, along: int, least: int) -> str:
        if not along:
            return literal(1.0, "double")
        if least:
            return self._get("%own", self._layout.base + _SIZE[along])
        places = [p for a, p in ((ROWS, Place.HEIGHT), (COLUMNS, Place.WIDTH)) if along & a]
        words = [self._get("%own", self._layout.base + place, "i64") for place in places]
        found = [self._emit(f"sitofp i64 {word} to double") for word in words]
        return found[0] if len(found) == 1 else self._apply("mul", found)

    def _summed(self, node: Symbol) -> str:
        """A sum over rows or columns that are summaries themselves, one after the other."""
        (operand, _), n = node.args, len(self._top)
        self._top += [f"  %total{n} = alloca double", f"  store double 0.0, ptr %total{n}"]

        def add(values: Sequence[str]) -> None:
            (value,) = values
            if node.op == "squares":
                value = self._apply("mul", [value, value])
            so_far = self._emit(f"load double, ptr %total{n}")
            self.lines.append(
                f"  store double {self._apply('add', [so_far, value])}, ptr %total{n}"
            )

        self.each(operand.along, [operand], add)
        return self._emit(f"load double, ptr %total{n}")

    def _slot(self, slot: int, along: int) -> str:
        first = self._emit(f"mul i64 {LENGTH[along]}, {slot}")
        return self._emit(f"getelementptr double, ptr {SLOTS[along]}, i64 {first}")

    def _get(self, base: str, place: int | str, kind: str = "double") -> str:
        at = self._emit(f"getelementptr double, ptr {base}, i64 {place}")
        return self._emit(f"load {kind}, ptr {at}")


def word(name: str, kind: str, place: int) -> list[str]:
    """Load a word of a segment's own numbers."""
    return [
        f"  {name}.at = getelementptr double, ptr %own, i64 {place}",
        f"  {name} = load {kind}, ptr {name}.at",
    ]
