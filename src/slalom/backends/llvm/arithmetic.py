"""What a computation is as LLVM's assembly: numbers, operations on them, alone or several abreast.

Every operation is rounded as IEEE 754 says and nothing is left to the optimiser's licence: a
multiply-add is fused where the program says so and nowhere else. So a result depends neither on
how many go abreast nor on who computes it: a loop of the CPU, a thread of a GPU.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from slalom.ir.passes import FUSED

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


class Arithmetic:
    """Writes operations on numbers of one type, ``lanes`` of them abreast.

    Args:
        kind: LLVM's name of the type, ``float`` or ``double``.
        lanes: how many go abreast.
        prefix: how the text's own names begin: two texts in one function differ in it.

    Attributes:
        lines: the text.
    """

    def __init__(self, kind: str, *, lanes: int = 1, prefix: str = "v"):
        self._scalar, self._lanes, self._prefix = kind, lanes, prefix
        self._type = self._abreast(kind)
        self.lines: list[str] = []
        self._intrinsics: dict[str, None] = {}  # a set whose order is the same in every process

    @property
    def declares(self) -> list[str]:
        """The functions of LLVM that the text calls."""
        short = _short(self._scalar, self._lanes)
        return [
            f"declare {self._type} @llvm.{name}.{short}({', '.join([self._type] * _takes(name))})"
            for name in self._intrinsics
        ]

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

    def _apply(self, op: str, args: Sequence[str]) -> str:
        """An operation on values that stand in the text."""
        kind = self._type
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


def narrowed(double: str, kind: str) -> str:
    """The instruction that makes the type of arithmetic of a scalar of a row."""
    if kind == "float":
        return f"fptrunc double {double} to float"
    return f"fadd double {double}, -0.0"  # a copy, to the bit
