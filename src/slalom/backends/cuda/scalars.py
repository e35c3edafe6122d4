"""The rows of a step, computed on the GPU: a thread a tensor, in double precision.

What :meth:`slalom.engine.there.Part.prepare` does by torch's operations, in a kernel of one launch:
which program serves, its scalars, the random bits; and the count and the numbers of the rule go on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from slalom.backends.base import BEFORE
from slalom.backends.cuda.kernel import width
from slalom.backends.cuda.phases import SPACE
from slalom.backends.cuda.powers import NAMES, functions
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.llvm.arithmetic import Arithmetic, literal
from slalom.ir.operations import COMPARISONS, MASKS
from slalom.ir.passes import ordered
from slalom.ir.program import Program
from slalom.ir.symbol import Symbol
from slalom.rules.treated import SCALE


class Head(IntEnum):
    """What the inputs begin with, words of 64 bits."""

    SLOTS = 0
    """How many tensors there are."""
    FOUND = 1
    """The address of what says that the step is to be skipped, where it is not 0."""
    DIVIDES = 2
    """The address of what gradients are divided by."""
    BOUND = 3
    """What the norm of all gradients is brought to at most, as a double."""
    BLOCKS = 4
    """How many blocks the last launch that measures has."""
    PARTS = 5
    """How many sums all launches that measure leave."""


AHEAD = 2
"""Words of a slot before its addresses: its share of the random bits, and its row of inputs."""

WORDS = len(Head)


@dataclass(frozen=True)
class Asked:
    """What the rows of some tensors are made of.

    Attributes:
        programs: those of every way that the rule may go.
        inputs: of each hyper-parameter (``betas[0]``) its name and its kind: ``value`` of a double
            among the inputs, else the type of the number whose address is there.
        kinds: the type of the count, and of each number of the rule.
        chance: whether something is rounded by chance.
        found, divides: the types of what :class:`Head` has addresses of; None where there is none.
        clips: whether it is bounded.
        skips: whether a step is skipped that has a gradient which is not finite.
    """

    programs: tuple[Program, ...]
    inputs: tuple[tuple[str, str], ...]
    kinds: tuple[str, ...]
    chance: bool
    found: str | None
    divides: str | None
    clips: bool
    skips: bool

    @property
    def measures(self) -> bool:
        """Whether the sum of the squares of all gradients is asked for."""
        return self.clips or self.skips

    @property
    def words(self) -> int:
        """Of a slot."""
        return AHEAD + len(self.kinds)


def known_operations() -> set[str]:
    """Those that rows may be made of."""
    return {
        *NAMES, *COMPARISONS, "number", "constant", "add", "sub", "mul", "div", "neg", "sqrt",
        "abs", "sign", "maximum", "minimum", "where", "and", "or", "not",
    }  # fmt: skip


def refused(programs: Sequence[Program]) -> bool:
    """Whether rows of these are to be made by torch's operations."""
    roots = [s for p in programs for s in (*p.scalars, *p.numbers, *(g for g, _ in p.guards))]
    return any(node.op not in known_operations() for node in ordered(roots))


def rows_kernel(asked: Asked, target: Target) -> str:
    """Assembly of the kernel ``update(slots, inputs, rows, square)``, a thread for each slot.

    ``inputs`` points to :class:`Head` and rows of as many words as there are inputs, ``slots`` to
    rows of words: the share of the random bits, the number of the row of inputs, and the addresses
    of the count and the numbers. ``rows`` are as :func:`slalom.backends.cuda.kernel.kernel` has
    them; the row of a slot has its number. ``square`` points to the sum of the squares of all
    gradients, where it is asked for.
    """
    own = [] if target.own else [f"declare i32 @{n}()" for n in (target.block, target.thread)]
    given = f"{SPACE} %slots, {SPACE} %inputs, {SPACE} %rows"
    lines = [
        *dict.fromkeys([*own, *declared(asked)]), target.own, *rows_function(asked),
        f"define {target.kernel} void @update({given}, {SPACE} %squares) {target.attributes} {{",
        "entry:",
        f"  %square = load double, {SPACE} %squares",
        f"  %block = call i32 @{target.block}()",
        f"  %thread.32 = call i32 @{target.thread}()",
        "  %place = zext i32 %block to i64",
        "  %thread = zext i32 %thread.32 to i64",
        f"  %first = mul i64 %place, {THREADS}",
        "  %i = add i64 %first, %thread",
        f"  %slots.many = load i64, {SPACE} %inputs",
        "  %some = icmp slt i64 %i, %slots.many",
        "  br i1 %some, label %do, label %out",
        "do:",
        f"  call void @row({given}, i64 %i, double %square)",
        "  br label %out",
        "out:",
        "  ret void",
        "}",
        "!0 = !{}",
        target.flags,
    ]  # fmt: skip
    return "\n".join([*lines, ""])


def declared(asked: Asked) -> list[str]:
    """The declarations that :func:`rows_function` takes for granted."""
    return [
        *_Row(asked).declares,
        *(line for line in functions(_powers(asked.programs)) if line.startswith("declare")),
    ]


def rows_function(asked: Asked) -> list[str]:
    """``void row(slots, inputs, rows, i64 slot, double square)`` and what it calls.

    ``square`` is the sum of the squares of all gradients, where it is asked for.
    """
    given = f"{SPACE} %slots, {SPACE} %inputs, {SPACE} %rows, i64 %i, double %square"
    own = _Row(asked)
    return [
        *(line for line in functions(_powers(asked.programs)) if not line.startswith("declare")),
        f"define internal void @row({given}) alwaysinline nounwind {{",
        *own.lines,
        "  ret void",
        "}",
    ]


def _powers(programs: Sequence[Program]) -> list[str]:
    roots = [s for p in programs for s in (*p.scalars, *p.numbers, *(g for g, _ in p.guards))]
    used = {node.op for node in ordered(roots)}
    return [name for name in NAMES if name in used]


class _Row(Arithmetic):
    """The text of one row."""

    def __init__(self, asked: Asked):
        super().__init__("double", prefix="r")
        self._asked = asked
        self._values: dict[int, str] = {}
        self._slot = self._at("slots", "i64", self._whole("mul", "%i", asked.words))
        group = self._word(self._slot, 1)
        place = self._whole("add", self._whole("mul", group, len(asked.inputs)), WORDS)
        self._group = self._at("inputs", "i64", place)
        self._kept = [self._word(self._slot, AHEAD + k) for k in range(len(asked.kinds))]
        self._kept = [self._pointer(word) for word in self._kept]
        count, *numbers = map(self._loaded, self._kept, asked.kinds)
        self._given = {
            "step": self._apply("add", [count, self._number(1.0)]),
            **dict(zip(asked.programs[0].rule.numbers, numbers, strict=True)),
        }
        skip = self._treated()
        self._serve(count, numbers, skip)

    def _treated(self) -> str:
        """Whether the step is to be skipped; and the scale of the gradients is known then."""
        asked, square = self._asked, "%square"
        one, scale, skip = self._number(1.0), None, "false"
        if asked.divides is not None:
            scale = self._apply("div", [one, self._told(Head.DIVIDES, asked.divides)])
        if asked.clips:
            norm = self._apply("sqrt", [square])
            scale = one if scale is None else scale
            size = self._apply("abs", [scale])
            bound = self._emit(f"load double, {SPACE} {self._at('inputs', 'i64', Head.BOUND)}")
            norm = self._apply("mul", [norm, size])
            coefficient = self._apply(
                "div", [bound, self._apply("add", [norm, self._number(1e-6)])]
            )
            above = self._apply("gt", [coefficient, one])  # NaN stays
            scale = self._apply("mul", [scale, self._apply("where", [above, one, coefficient])])
        if asked.skips:
            skip = self._emit(f"fcmp uge double {square}, {self._number(math.inf)}")  # or NaN
        if asked.found is not None:
            found = self._apply("gt", [self._told(Head.FOUND, asked.found), self._number(0.0)])
            skip = self._emit(f"or i1 {skip}, {found}")
        if scale is not None:
            self._given[SCALE] = scale
        return skip

    def _serve(self, count: str, numbers: Sequence[str], skip: str) -> None:
        """Find the program that serves, store its row, and let count and numbers go on."""
        asked, zero = self._asked, self._number(0.0)
        first = self._apply("eq", [count, zero])
        which, wide = self._number(-1.0), width(asked.programs)
        columns, after = [zero] * (wide - BEFORE), list(numbers)
        for k, program in enumerate(asked.programs):
            serves = self._emit(f"xor i1 {skip}, true")
            for condition, outcome in program.guards:
                value = self._mask(condition)
                holds = value if outcome else self._emit(f"xor i1 {value}, true")
                serves = self._emit(f"and i1 {serves}, {holds}")
            if "first" in program.flags:
                holds = first if program.flags["first"] else self._emit(f"xor i1 {first}, true")
                serves = self._emit(f"and i1 {serves}, {holds}")
            which = self._apply("where", [serves, self._number(float(k)), which])
            for own, symbols in ((columns, program.scalars), (after, program.numbers)):
                for j, symbol in enumerate(symbols):
                    own[j] = self._apply("where", [serves, self._double(symbol), own[j]])
        row = self._whole("mul", "%i", wide)
        noise = self._noise(count) if asked.chance else zero
        for j, value in enumerate([which, noise, *columns]):
            at = self._at("rows", "double", self._whole("add", row, j))
            self.lines.append(f"  store double {value}, {SPACE} {at}")
        counted = self._apply("where", [skip, count, self._given["step"]])
        for at, kind, value in zip(self._kept, asked.kinds, [counted, *after], strict=True):
            if kind != "double":
                value = self._emit(f"fptrunc double {value} to {kind}")
            self.lines.append(f"  store {kind} {value}, {SPACE} {at}")

    def _noise(self, count: str) -> str:
        """See :func:`slalom.backends.rounding.noises_of`; the slot's word has all but the count."""
        steps = self._emit(f"fptosi double {count} to i64")
        x = self._whole("add", self._whole("mul", steps, _signed(_STEP)), self._word(self._slot, 0))
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = self._whole("xor", x, self._whole("lshr", x, shift))
            x = self._whole("mul", x, _signed(factor))
        x = self._whole("xor", x, self._whole("lshr", x, 31))
        return self._emit(f"uitofp i64 {self._whole('lshr', x, 32)} to double")

    def _value(self, symbol: Symbol) -> str:
        for node in ordered([symbol], lambda n: id(n) not in self._values):
            if id(node) not in self._values:
                self._values[id(node)] = self._made(node)
        return self._values[id(symbol)]

    def _made(self, node: Symbol) -> str:
        if node.op == "constant":
            return self._number(node.args[0])
        if node.op == "number":
            return self._input(node.args[0])
        if node.op in ("and", "or", "not"):
            return self._apply(node.op, [self._mask(a) for a in node.args])
        args = [self._mask(a) if node.op == "where" and not i else self._double(a)
                for i, a in enumerate(node.args)]  # fmt: skip
        if node.op in NAMES:
            given = ", ".join(f"double {a}" for a in args)
            return self._emit(f"call double @{NAMES[node.op]}({given})")
        return self._apply(node.op, args)

    def _double(self, symbol: Symbol) -> str:
        """A value; of a condition 0 or 1."""
        value = self._value(symbol)
        return self._emit(f"uitofp i1 {value} to double") if symbol.op in MASKS else value

    def _mask(self, symbol: Symbol) -> str:
        value = self._value(symbol)
        return value if symbol.op in MASKS else self._apply("ne", [value, self._number(0.0)])

    def _input(self, name: str) -> str:
        if name not in self._given:
            names = [own for own, _ in self._asked.inputs]
            place = names.index(name)
            kind = self._asked.inputs[place][1]
            at = self._emit(f"getelementptr i64, {SPACE} {self._group}, i64 {place}")
            if kind == "value":
                self._given[name] = self._emit(f"load double, {SPACE} {at}")
            else:
                word = self._emit(f"load i64, {SPACE} {at}")
                self._given[name] = self._loaded(self._pointer(word), kind)
        return self._given[name]

    def _told(self, place: Head, kind: str) -> str:
        """A number whose address stands at the beginning of the inputs."""
        word = self._emit(f"load i64, {SPACE} {self._at('inputs', 'i64', place)}")
        return self._loaded(self._pointer(word), kind)

    def _loaded(self, at: str, kind: str) -> str:
        value = self._emit(f"load {kind}, {SPACE} {at}")
        return value if kind == "double" else self._emit(f"fpext {kind} {value} to double")

    def _word(self, base: str, place: int) -> str:
        at = self._emit(f"getelementptr i64, {SPACE} {base}, i64 {place}")
        return self._emit(f"load i64, {SPACE} {at}")

    def _pointer(self, word: str) -> str:
        return self._emit(f"inttoptr i64 {word} to {SPACE}")

    def _at(self, base: str, kind: str, place: str | int) -> str:
        place = int(place) if isinstance(place, int) else place  # of an enumeration its number
        return self._emit(f"getelementptr {kind}, {SPACE} %{base}, i64 {place}")

    def _whole(self, operation: str, a: str, b: str | int) -> str:
        return self._emit(f"{operation} i64 {a}, {b}")

    def _number(self, value: float) -> str:
        return literal(value, "double")


_STEP = 0x2545F4914F6CDD1D


def _signed(word: int) -> int:
    word &= (1 << 64) - 1
    return word - (word >> 63 << 64)
