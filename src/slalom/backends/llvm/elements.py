"""What an element of an update goes through, as LLVM's assembly: one alone, or several abreast.

Every operation is rounded as IEEE 754 says and nothing is left to the optimiser's licence: a
multiply-add is fused where the program says so and nowhere else. So an element's result depends
neither on how many go abreast nor on who computes it: a loop of the CPU, a thread of a GPU.
"""

from __future__ import annotations

import math
import struct

from slalom.backends.rounding import place_of
from slalom.ir.passes import FUSED
from slalom.ir.program import Program
from slalom.ir.symbol import Symbol

Arrays = tuple[tuple[str, str], ...]
"""Name (``param``, ``grad``, a state) and LLVM's name of the element type of each array."""

SIZES = {"bfloat": 2, "half": 2, "float": 4, "double": 8}
"""The element types served, and their bytes. Arithmetic is in float at least."""

_ARITHMETIC = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_COMPARE = {"gt": "ogt", "ge": "oge", "lt": "olt", "le": "ole", "eq": "oeq", "ne": "une"}
_INTRINSIC = {"sqrt": "sqrt", "abs": "fabs", "maximum": "maximum", "minimum": "minimum"}
_ATAN = {
    "float": (
        0.05047937432040091, -0.08624598215196126, 0.11071354571201351, -0.14284150629730288,
        0.1999997724823353, -0.3333333327922454,
    ),
    "double": (
        0.016284375050043393, -0.03456931506332609, 0.045515447340221615, -0.05230443640686948,
        0.05878927554473807, -0.0666642476020052, 0.07692296368042296, -0.09090908753259112,
        0.11111111105150588, -0.14285714285659779, 0.19999999999999804, -0.3333333333333333,
    ),
}  # fmt: skip
"""Polynomials p, the highest power first: atan(b) = b + b z p(z), z = b b, for b to tan(pi / 8).

Interpolated at Chebyshev's points with 50 digits; what is left out is below half a unit in the last
place."""

_LOGIC = {"and": "and", "or": "or"}


def computed_in(arrays: Arrays) -> str:
    """The type of arithmetic over these arrays: the widest of theirs, and at least float."""
    return max(("float", *(kind for _, kind in arrays)), key=SIZES.__getitem__)


def touched(program: Program, arrays: Arrays) -> list[str]:
    """The arrays that a program reads or writes, in their order."""
    return [n for n, _ in arrays if n in program.reads or n in program.writes]


class Elements:
    """Writes the update of the elements from ``place`` on, ``lanes`` of them.

    The text takes for granted the address of each array (:meth:`array`), the scalars ``%s0``,
    ``%s1`` ... in the type of arithmetic (with several lanes ``%s0.v``: the same in each lane),
    and the random bits ``%noise``.

    Args:
        program: what is computed.
        arrays: all of its arrays; what is stored narrower than :func:`computed_in` is rounded
            once, to nearest.
        fma: whether the machine multiplies and adds in one rounding.
        stochastic: whether bfloats are rounded by chance.
        lanes: how many neighbours go abreast; each array is then loaded and stored as one vector,
            and must lie where such a vector may.
        prefix, place: how the text's own names begin, and the place of the first element: two
            texts in one function differ in both.
        pointer: LLVM's type of an address of an array.

    Attributes:
        lines: the text.
        declares: the functions of LLVM that it calls.
    """

    def __init__(
        self, program: Program, arrays: Arrays, *, fma: bool, stochastic: bool, lanes: int = 1,
        prefix: str = "v", place: str = "%i", pointer: str = "ptr",
    ):  # fmt: skip
        self._program, self._names, self._dtypes = program, [n for n, _ in arrays], dict(arrays)
        self._lanes, self._prefix, self._place, self._pointer = lanes, prefix, place, pointer
        self._stochastic = stochastic
        self._scalar = computed_in(arrays)
        self._type = self._abreast(self._scalar)
        self.lines: list[str] = []
        self._values: dict[int, str] = {}
        self._intrinsics: dict[str, None] = {}  # a set whose order is the same in every process
        # not list.index: two symbols compare as numbers do, by their present values
        self._places = {id(scalar): i for i, scalar in enumerate(program.scalars)}
        body = program.fused if fma else program.body
        for node in body.nodes:
            self._values[id(node)] = self._element(node)
        for name, symbol in body.outputs.items():
            self._store(name, self._operand(symbol))
        short = _short(self._scalar, lanes)
        self.declares = [
            f"declare {self._type} @llvm.{name}.{short}({', '.join([self._type] * _takes(name))})"
            for name in self._intrinsics
        ]

    def array(self, name: str) -> str:
        """An array as the code calls it; the user's names are not ours to write there."""
        return array(self._names.index(name))

    def _abreast(self, kind: str) -> str:
        return kind if self._lanes == 1 else f"<{self._lanes} x {kind}>"

    def _same(self, literal: object, kind: str) -> str:
        """A number in every lane."""
        return f"{literal}" if self._lanes == 1 else f"splat ({kind} {literal})"

    def _emit(self, instruction: str) -> str:
        name = f"%{self._prefix}{len(self.lines)}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def _call(self, intrinsic: str, *operands: str) -> str:
        self._intrinsics[intrinsic] = None
        arguments = ", ".join(f"{self._type} {o}" for o in operands)
        short = _short(self._scalar, self._lanes)
        return self._emit(f"call {self._type} @llvm.{intrinsic}.{short}({arguments})")

    def _address(self, name: str, kind: str) -> str:
        return self._emit(
            f"getelementptr {kind}, {self._pointer} {self.array(name)}, i64 {self._place}"
        )

    def _load(self, name: str) -> str:
        stored = self._dtypes[name]
        # bfloat as its bits: where the machine lacks it, LLVM would call a library for it
        kind = "i16" if stored == "bfloat" else stored
        at, size = self._address(name, kind), SIZES[stored] * self._lanes
        value = self._emit(f"load {self._abreast(kind)}, {self._pointer} {at}, align {size}")
        if stored == "bfloat":
            word = self._abreast("i32")
            value = self._emit(f"zext {self._abreast(kind)} {value} to {word}")
            value = self._emit(f"shl {word} {value}, {self._same(16, 'i32')}")
            value = self._emit(f"bitcast {word} {value} to {self._abreast('float')}")
            stored = "float"
        if stored != self._scalar:
            value = self._emit(f"fpext {self._abreast(stored)} {value} to {self._type}")
        return value

    def _store(self, name: str, value: str) -> None:
        stored = kind = self._dtypes[name]
        if stored == "bfloat":
            value, kind = self._bfloat(value, name), "i16"
        elif stored != self._scalar:
            value = self._emit(f"fptrunc {self._type} {value} to {self._abreast(stored)}")
        at, size = self._address(name, kind), SIZES[stored] * self._lanes
        stored = f"{self._abreast(kind)} {value}"
        self.lines.append(f"  store {stored}, {self._pointer} {at}, align {size}")

    def _bfloat(self, value: str, name: str) -> str:
        """The bits of the nearest bfloat, the even one of two as near, or of one by chance.

        NaN stays NaN, and infinity what it is.
        """
        word, real = self._abreast("i32"), self._abreast("float")
        if self._scalar == "double":
            value = self._emit(f"fptrunc {self._type} {value} to {real}")
        bits = self._emit(f"bitcast {real} {value} to {word}")
        if self._stochastic:
            drawn, infinity = self._drawn(name), self._same(0x7F800000, "i32")
            size = self._emit(f"and {word} {bits}, {infinity}")
            finite = self._emit(f"icmp ne {word} {size}, {infinity}")
            none = self._same(0, "i32")
            half = self._select(finite, word, drawn, none)
        else:
            odd = self._emit(f"lshr {word} {bits}, {self._same(16, 'i32')}")
            odd = self._emit(f"and {word} {odd}, {self._same(1, 'i32')}")
            half = self._emit(f"add {word} {odd}, {self._same(0x7FFF, 'i32')}")
        rounded = self._emit(f"add {word} {bits}, {half}")
        nan = self._emit(f"fcmp uno {real} {value}, {value}")
        rounded = self._select(nan, word, self._same(0x7FC0 << 16, "i32"), rounded)
        rounded = self._emit(f"lshr {word} {rounded}, {self._same(16, 'i32')}")
        return self._emit(f"trunc {word} {rounded} to {self._abreast('i16')}")

    def _drawn(self, name: str) -> str:
        """Sixteen random bits for this element of this array: murmur3's last mix of its place."""
        word = self._abreast("i32")
        salt = 0x9E3779B9 * (1 + place_of(self._program.rule, name)) & 0xFFFFFFFF
        x = self._spread("i32", self._emit(f"trunc i64 {self._place} to i32"), count=True)
        x = self._emit(f"mul {word} {x}, {self._same(0x9E3779B1, 'i32')}")
        x = self._emit(f"add {word} {x}, {self._same(salt, 'i32')}")
        x = self._emit(f"xor {word} {x}, {self._spread('i32', '%noise')}")
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            shifted = self._emit(f"lshr {word} {x}, {self._same(shift, 'i32')}")
            x = self._emit(f"xor {word} {x}, {shifted}")
            x = self._emit(f"mul {word} {x}, {self._same(factor, 'i32')}")
        return self._emit(f"lshr {word} {x}, {self._same(16, 'i32')}")

    def _spread(self, kind: str, value: str, count: bool = False) -> str:
        """A number in every lane; with ``count``, one more in each."""
        if self._lanes == 1:
            return value
        lines, value = spread(kind, value, self._lanes, f"%{self._prefix}{len(self.lines)}")
        self.lines += lines
        if count:
            places = ", ".join(f"{kind} {k}" for k in range(self._lanes))
            value = self._emit(f"add {self._abreast(kind)} {value}, <{places}>")
        return value

    def _select(self, mask: str, kind: str, a: str, b: str) -> str:
        return self._emit(f"select {self._abreast('i1')} {mask}, {kind} {a}, {kind} {b}")

    def _angle(self, y: str, x: str) -> str:
        """atan2: the angle within the nearest eighth of a turn, brought to where (x, y) lies.

        By arithmetic, since no machine has it and a library rounds as it likes; within three units
        in the last place. Signs of zeros and infinities are as in C.
        """

        def do(operation: str, a: str, b: str) -> str:
            return self._emit(f"{operation} {self._type} {a}, {b}")

        def same(value: float) -> str:
            return self._same(literal(value, self._scalar), self._scalar)

        def where(mask: str, a: str, b: str) -> str:
            return self._select(mask, self._type, a, b)

        wide, high = self._call("fabs", x), self._call("fabs", y)
        less, more = self._call("minimum", wide, high), self._call("maximum", wide, high)
        diagonal = where(do("fcmp oeq", more, same(0.0)), same(0.0), same(1.0))
        ratio = where(do("fcmp oeq", less, more), diagonal, do("fdiv", less, more))
        far = do("fcmp ogt", ratio, same(math.tan(math.pi / 8)))
        turned = do("fdiv", do("fsub", ratio, same(1.0)), do("fadd", ratio, same(1.0)))
        b = where(far, turned, ratio)
        z = do("fmul", b, b)
        first, *others = map(same, _ATAN[self._scalar])
        p = first
        for factor in others:
            p = do("fadd", do("fmul", p, z), factor)
        angle = do("fadd", b, do("fmul", b, do("fmul", z, p)))
        angle = where(far, do("fadd", angle, same(math.pi / 4)), angle)
        steep = do("fcmp ogt", high, wide)
        angle = where(steep, do("fsub", same(math.pi / 2), angle), angle)
        side = self._call("copysign", same(1.0), x)  # which tells zeros apart too
        left = do("fcmp olt", side, same(0.0))
        angle = where(left, do("fsub", same(math.pi), angle), angle)
        return self._call("copysign", angle, y)

    def _operand(self, symbol: Symbol) -> str:
        if symbol.is_element:
            return self._values[id(symbol)]
        if symbol.op == "constant":
            return self._same(literal(symbol.args[0], self._scalar), self._scalar)
        return f"%s{self._places[id(symbol)]}" + ("" if self._lanes == 1 else ".v")

    def _element(self, node: Symbol) -> str:
        op, kind = node.op, self._type
        if op == "tensor":
            return self._load(node.args[0])
        args = [self._operand(a) for a in node.args]
        if op in FUSED:
            a, b, c = args
            if op == "fnma":
                b = self._emit(f"fneg {kind} {b}")
            if op == "fms":
                c = self._emit(f"fneg {kind} {c}")
            return self._call("fma", a, b, c)
        if op in _ARITHMETIC:
            return self._emit(f"{_ARITHMETIC[op]} {kind} {args[0]}, {args[1]}")
        if op == "neg":
            return self._emit(f"fneg {kind} {args[0]}")
        if op in _COMPARE:
            return self._emit(f"fcmp {_COMPARE[op]} {kind} {args[0]}, {args[1]}")
        if op in _INTRINSIC:
            return self._call(_INTRINSIC[op], *args)
        if op == "atan2":
            return self._angle(*args)
        if op == "sign":
            zero, one, minus = (
                self._same(literal(x, self._scalar), self._scalar) for x in (0.0, 1.0, -1.0)
            )
            below = self._emit(f"fcmp olt {kind} {args[0]}, {zero}")
            above = self._emit(f"fcmp ogt {kind} {args[0]}, {zero}")
            return self._select(above, kind, one, self._select(below, kind, minus, zero))
        if op == "where":
            return self._select(args[0], kind, args[1], args[2])
        mask = self._abreast("i1")
        if op in _LOGIC:
            return self._emit(f"{_LOGIC[op]} {mask} {args[0]}, {args[1]}")
        assert op == "not", op
        return self._emit(f"xor {mask} {args[0]}, {self._same('true', 'i1')}")


def array(place: int) -> str:
    """The address of the array at this place, as the code calls it."""
    return f"%a{place}"


def spread(kind: str, value: str, lanes: int, name: str) -> tuple[list[str], str]:
    """Lines that put a number into every lane of a vector, whose name begins so; and that name."""
    vector = f"<{lanes} x {kind}>"
    return [
        f"  {name}.one = insertelement {vector} poison, {kind} {value}, i32 0",
        f"  {name}.v = shufflevector {vector} {name}.one, {vector} poison, "
        f"<{lanes} x i32> zeroinitializer",
    ], f"{name}.v"


def _short(kind: str, lanes: int = 1) -> str:
    own = {"float": "f32", "double": "f64"}[kind]
    return own if lanes == 1 else f"v{lanes}{own}"


def _takes(intrinsic: str) -> int:
    return {"fma": 3, "maximum": 2, "minimum": 2, "copysign": 2}.get(intrinsic, 1)


def literal(value: float, kind: str) -> str:
    """A number as LLVM writes it: the hexadecimal of a double that ``kind`` holds exactly."""
    if kind == "float":
        try:
            (value,) = struct.unpack("<f", struct.pack("<f", value))
        except OverflowError:
            value = float("inf") if value > 0 else float("-inf")
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
