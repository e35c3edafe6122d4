"""Lower a program to LLVM's assembly: one loop over the elements.

Every operation is rounded as IEEE 754 says and nothing is left to the optimiser's licence: a
multiply-add is fused where the program says so and nowhere else. So an element's result depends
neither on how the loop is vectorised nor on where threads divide it.
"""

from __future__ import annotations

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
_LOGIC = {"and": "and", "or": "or"}


def lower(program: Program, arrays: Arrays, *, fma: bool, stochastic: bool = False) -> str:
    """Assembly of ``void update(ptr addresses, ptr row, i64 begin, i64 end)`` for this program.

    ``addresses`` points to the address of each of ``arrays`` in order, which must hold all that
    the program touches and must not overlap; ``row`` points to the doubles of
    :attr:`Program.row`. Elements ``begin`` to ``end`` are updated. Arithmetic is done in the
    widest of the element types, and at least in float; what is stored narrower is rounded once,
    to nearest. ``fma`` says whether the machine has multiply-adds; ``stochastic``, whether bfloats
    are rounded by chance, with the random bits that stand in the row behind its scalars.
    """
    return _Loop(program, dict(arrays), fma, stochastic).text()


class _Loop:
    def __init__(self, program: Program, arrays: dict[str, str], fma: bool, stochastic: bool):
        self.program = program
        self.names = list(arrays)
        self.dtypes = arrays
        self.type = max(("float", *arrays.values()), key=SIZES.__getitem__)
        self.body = program.fused if fma else program.body
        self.stochastic = stochastic
        self.lines: list[str] = []
        self.values: dict[int, str] = {}
        self.intrinsics: dict[str, None] = {}  # a set whose order is the same in every process
        # not list.index: two symbols compare as numbers do, by their present values
        self.places = {id(scalar): i for i, scalar in enumerate(program.scalars)}

    def text(self) -> str:
        for node in self.body.nodes:
            self.values[id(node)] = self._element(node)
        touched = [n for n in self.names if n in self.program.reads or n in self.program.writes]
        for name, symbol in self.body.outputs.items():
            self._store(name, self._operand(symbol))
        arrays = [f"ptr noalias {self._array(name)}" for name in touched]
        scalars = [f"{self.type} %s{i}" for i in range(len(self.program.scalars))]
        span = ["i32 %noise", "i64 %begin", "i64 %end"]
        return "\n".join(
            [
                *(f"declare {self.type} @llvm.{_suffixed(i, self.type)}" for i in self.intrinsics),
                f"define internal void @loop({', '.join([*arrays, *scalars, *span])}) "
                "noinline nounwind {",
                "entry:",
                "  %some = icmp slt i64 %begin, %end",
                "  br i1 %some, label %body, label %done",
                "body:",
                "  %i = phi i64 [ %begin, %entry ], [ %next, %body ]",
                *self.lines,
                "  %next = add nuw nsw i64 %i, 1",
                "  %more = icmp slt i64 %next, %end",
                "  br i1 %more, label %body, label %done",
                "done:",
                "  ret void",
                "}",
                *self._entry(touched),
            ]
        )

    def _entry(self, touched: list[str]) -> list[str]:
        lines = ["define void @update(ptr %addresses, ptr %row, i64 %begin, i64 %end) nounwind {"]
        for name in touched:
            lines += [
                f"  {self._array(name)}.at = getelementptr ptr, ptr %addresses, "
                f"i64 {self.names.index(name)}",
                f"  {self._array(name)} = load ptr, ptr {self._array(name)}.at",
            ]
        for i in range(len(self.program.scalars)):
            lines += [
                f"  %s{i}.at = getelementptr double, ptr %row, i64 {i}",
                f"  %s{i}.double = load double, ptr %s{i}.at",
                f"  %s{i} = "
                + (
                    f"fptrunc double %s{i}.double to float"
                    if self.type == "float"
                    else f"fadd double %s{i}.double, -0.0"  # a copy, to the bit
                ),
            ]
        arguments = [f"ptr {self._array(name)}" for name in touched]
        arguments += [f"{self.type} %s{i}" for i in range(len(self.program.scalars))]
        noise = "0"
        if self.stochastic:
            lines += [
                f"  %noise.at = getelementptr double, ptr %row, i64 {len(self.program.scalars)}",
                "  %noise.double = load double, ptr %noise.at",
                "  %noise = fptoui double %noise.double to i32",
            ]
            noise = "%noise"
        arguments.append(f"i32 {noise}")
        call = f"  call void @loop({', '.join(arguments)}, i64 %begin, i64 %end)"
        return [*lines, call, "  ret void", "}", ""]

    def _emit(self, instruction: str) -> str:
        name = f"%v{len(self.lines)}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def _call(self, intrinsic: str, *operands: str) -> str:
        self.intrinsics[intrinsic] = None
        arguments = ", ".join(f"{self.type} {o}" for o in operands)
        return self._emit(f"call {self.type} @llvm.{intrinsic}.{_short(self.type)}({arguments})")

    def _address(self, name: str, kind: str) -> str:
        return self._emit(f"getelementptr {kind}, ptr {self._array(name)}, i64 %i")

    def _array(self, name: str) -> str:
        """An array as the code calls it; the user's names are not ours to write there."""
        return f"%a{self.names.index(name)}"

    def _load(self, name: str) -> str:
        stored = self.dtypes[name]
        # bfloat as its bits: where the machine lacks it, LLVM would call a library for it
        kind = "i16" if stored == "bfloat" else stored
        value = self._emit(f"load {kind}, ptr {self._address(name, kind)}, align {SIZES[stored]}")
        if stored == "bfloat":
            value = self._emit(f"zext i16 {value} to i32")
            value = self._emit(f"shl i32 {value}, 16")
            value, stored = self._emit(f"bitcast i32 {value} to float"), "float"
        if stored != self.type:
            value = self._emit(f"fpext {stored} {value} to {self.type}")
        return value

    def _store(self, name: str, value: str) -> None:
        stored = kind = self.dtypes[name]
        if stored == "bfloat":
            value, kind = self._bfloat(value, name), "i16"
        elif stored != self.type:
            value = self._emit(f"fptrunc {self.type} {value} to {stored}")
        address = self._address(name, kind)
        self.lines.append(f"  store {kind} {value}, ptr {address}, align {SIZES[stored]}")

    def _bfloat(self, value: str, name: str) -> str:
        """The bits of the nearest bfloat, the even one of two as near, or of one by chance.

        NaN stays NaN, and infinity what it is.
        """
        if self.type == "double":
            value = self._emit(f"fptrunc double {value} to float")
        bits = self._emit(f"bitcast float {value} to i32")
        if self.stochastic:
            drawn = self._drawn(name)
            size = self._emit(f"and i32 {bits}, {0x7F800000}")
            finite = self._emit(f"icmp ne i32 {size}, {0x7F800000}")
            half = self._emit(f"select i1 {finite}, i32 {drawn}, i32 0")
        else:
            odd = self._emit(f"lshr i32 {bits}, 16")
            odd = self._emit(f"and i32 {odd}, 1")
            half = self._emit(f"add i32 {odd}, {0x7FFF}")
        rounded = self._emit(f"add i32 {bits}, {half}")
        nan = self._emit(f"fcmp uno float {value}, {value}")
        rounded = self._emit(f"select i1 {nan}, i32 {0x7FC0 << 16}, i32 {rounded}")
        rounded = self._emit(f"lshr i32 {rounded}, 16")
        return self._emit(f"trunc i32 {rounded} to i16")

    def _drawn(self, name: str) -> str:
        """Sixteen random bits for this element of this array: murmur3's last mix of its place."""
        salt = 0x9E3779B9 * (1 + place_of(self.program.rule, name)) & 0xFFFFFFFF
        place = self._emit("trunc i64 %i to i32")
        x = self._emit(f"mul i32 {place}, {0x9E3779B1}")
        x = self._emit(f"add i32 {x}, {salt}")
        x = self._emit(f"xor i32 {x}, %noise")
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            shifted = self._emit(f"lshr i32 {x}, {shift}")
            x = self._emit(f"xor i32 {x}, {shifted}")
            x = self._emit(f"mul i32 {x}, {factor}")
        return self._emit(f"lshr i32 {x}, 16")

    def _operand(self, symbol: Symbol) -> str:
        if symbol.is_element:
            return self.values[id(symbol)]
        if symbol.op == "constant":
            return _literal(symbol.args[0], self.type)
        return f"%s{self.places[id(symbol)]}"

    def _element(self, node: Symbol) -> str:
        op, kind = node.op, self.type
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
        if op == "sign":
            zero, one, minus = (_literal(x, kind) for x in (0.0, 1.0, -1.0))
            below = self._emit(f"fcmp olt {kind} {args[0]}, {zero}")
            above = self._emit(f"fcmp ogt {kind} {args[0]}, {zero}")
            low = self._emit(f"select i1 {below}, {kind} {minus}, {kind} {zero}")
            return self._emit(f"select i1 {above}, {kind} {one}, {kind} {low}")
        if op == "where":
            return self._emit(f"select i1 {args[0]}, {kind} {args[1]}, {kind} {args[2]}")
        if op in _LOGIC:
            return self._emit(f"{_LOGIC[op]} i1 {args[0]}, {args[1]}")
        assert op == "not", op
        return self._emit(f"xor i1 {args[0]}, true")


def _short(kind: str) -> str:
    return {"float": "f32", "double": "f64"}[kind]


def _suffixed(intrinsic: str, kind: str) -> str:
    count = {"fma": 3, "maximum": 2, "minimum": 2}.get(intrinsic, 1)
    return f"{intrinsic}.{_short(kind)}({', '.join([kind] * count)})"


def _literal(value: float, kind: str) -> str:
    """A number as LLVM writes it: the hexadecimal of a double that ``kind`` holds exactly."""
    if kind == "float":
        try:
            (value,) = struct.unpack("<f", struct.pack("<f", value))
        except OverflowError:
            value = float("inf") if value > 0 else float("-inf")
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
