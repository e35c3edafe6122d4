"""What numbers go through between an array and the loop: widened, decoded, joined, and back."""

from __future__ import annotations

import struct
from collections.abc import Collection

import torch

from slalom.backends.llvm.arithmetic import Arithmetic, literal, spread
from slalom.backends.narrow import CODES, LOST, LOW, REMAINDER, Code
from slalom.backends.rounding import place_of
from slalom.rules.definition import Rule

Arrays = tuple[tuple[str, str], ...]
"""Name (``param``, ``grad``, a state) and LLVM's name of the element type of each array."""

NAMES = {
    torch.float32: "float", torch.float64: "double", torch.bfloat16: "bfloat",
    torch.float16: "half", torch.complex64: "float", torch.complex128: "double",
}  # fmt: skip
"""The dtypes served, as LLVM calls them; complex numbers are pairs of reals."""

CODED = {"i8": CODES[torch.int8], "u8": CODES[torch.uint8]}
"""What states of eight bits are called here, and their codes."""

KEPT = {**NAMES, torch.int8: "i8", torch.uint8: "u8", torch.int16: "i16"}
"""The dtypes of states, those of :mod:`slalom.backends.narrow` among them."""

SIZES = {"bfloat": 2, "half": 2, "float": 4, "double": 8, "i8": 1, "u8": 1, "i16": 2}
"""The element types served, and their bytes. Arithmetic is in float at least."""


def computed_in(arrays: Arrays, small: Collection[str] = ()) -> str:
    """The type of arithmetic over these arrays: the widest of theirs, and at least float.

    ``small`` are the arrays that are no elements, which do not count.
    """
    kinds = (kind for name, kind in arrays if name not in small)
    return max(("float", *kinds), key=SIZES.__getitem__)


def coded(names: Collection[str], arrays: Arrays) -> dict[str, Code]:
    """Those of these arrays that hold codes."""
    return {n: CODED[kind] for n, kind in arrays if kind in CODED and n in names}


class Memory(Arithmetic):
    """Arithmetic on what is loaded from arrays and stored there, from ``place`` on.

    The text takes for granted the address of each array (:func:`array`) and, where something is
    rounded by chance, the random bits ``%noise``. Of an array of codes it takes what they are
    multiplied by (``.by`` behind its name, ``.by.v`` for several lanes), what is added then
    (``.off``), and what numbers are multiplied by to be encoded (``.to``, ``.to.v``).

    Args:
        kind: the type of arithmetic; what is stored narrower is rounded once, to nearest.
        arrays: all of the arrays.
        chance: the rule whose bfloats are rounded by chance, if any.
        lanes: how many neighbours are loaded and stored as one vector.
        aligned: whether each array lies where such a vector may, and not only an element.
        place: the place of the first element.
        pointer: LLVM's type of an address of an array.
        fma: whether codes are multiplied and added to in one rounding.
    """

    def __init__(
        self, kind: str, arrays: Arrays, *, chance: Rule | None = None, lanes: int = 1,
        aligned: bool = True, prefix: str = "v", place: str = "%i", pointer: str = "ptr",
        fma: bool = False,
    ):  # fmt: skip
        super().__init__(kind, lanes=lanes, prefix=prefix)
        self._fma = fma and kind == "float"
        self._names, self._dtypes = [n for n, _ in arrays], dict(arrays)
        self._chance, self._place, self._pointer = chance, place, pointer
        self._aligned = lanes if aligned else 1

    def array(self, name: str) -> str:
        """An array as the code calls it; the user's names are not ours to write there."""
        return array(self._names.index(name))

    def _address(self, name: str, kind: str) -> str:
        return self._emit(
            f"getelementptr {kind}, {self._pointer} {self.array(name)}, i64 {self._place}"
        )

    def _load(self, name: str) -> str:
        """What an array holds here, in the type of arithmetic."""
        stored = self._dtypes[name]
        if stored in CODED:
            return self._widened(self._decoded(name), "float")
        if name == "param" and REMAINDER in self._dtypes:
            return self._widened(self._joined(), "float")
        if name == "param" and LOST in self._dtypes:
            pair = [self._real(*self._plain(n)) for n in ("param", LOST)]
            return self._widened(
                self._emit(f"fadd {self._abreast('float')} {', '.join(pair)}"), "float"
            )
        return self._widened(*self._plain(name))

    def _real(self, value: str, kind: str) -> str:
        """A value of at most float's bits as float."""
        if kind == "float":
            return value
        return self._emit(f"fpext {self._abreast(kind)} {value} to {self._abreast('float')}")

    def _widened(self, value: str, kind: str) -> str:
        if kind == self._scalar:
            return value
        return self._emit(f"fpext {self._abreast(kind)} {value} to {self._type}")

    def _bits(self, name: str, kind: str) -> str:
        """Whole numbers as they lie in an array."""
        at, size = self._address(name, kind), SIZES[kind] * self._aligned
        return self._emit(f"load {self._abreast(kind)}, {self._pointer} {at}, align {size}")

    def _put(self, name: str, kind: str, value: str) -> None:
        at, size = self._address(name, kind), SIZES[kind] * self._aligned
        self.lines.append(
            f"  store {self._abreast(kind)} {value}, {self._pointer} {at}, align {size}"
        )

    def _plain(self, name: str) -> tuple[str, str]:
        """What an array of floats holds, and its type."""
        stored = self._dtypes[name]
        if stored != "bfloat":
            return self._bits(name, stored), stored
        # as its bits: where the machine lacks bfloat, LLVM would call a library for it
        return self._from_bfloat(self._bits(name, "i16")), "float"

    def _from_bfloat(self, bits: str) -> str:
        return self._together(self._same(0, "i16"), bits)

    def _joined(self) -> str:
        """The parameter, of its upper half and its remainder."""
        half = self._abreast("i16")
        high, low = self._bits("param", "i16"), self._bits(REMAINDER, "i16")
        below = self._emit(f"ashr {half} {low}, {self._same(15, 'i16')}")
        return self._together(low, self._emit(f"add {half} {high}, {below}"))

    def _together(self, low: str, high: str) -> str:
        """Floats of the halves of their bits."""
        half, real = self._abreast("i16"), self._abreast("float")
        if self._lanes == 1:
            low = self._emit(f"zext i16 {low} to i32")
            high = self._emit(f"zext i16 {high} to i32")
            high = self._emit(f"shl i32 {high}, 16")
            bits = self._emit(f"or i32 {high}, {low}")
            return self._emit(f"bitcast i32 {bits} to float")
        n = self._lanes
        places, both = ", ".join(f"i32 {k}, i32 {k + n}" for k in range(n)), f"<{2 * n} x i32>"
        bits = self._emit(f"shufflevector {half} {low}, {half} {high}, {both} <{places}>")
        return self._emit(f"bitcast <{2 * n} x i16> {bits} to {real}")

    def _decoded(self, name: str) -> str:
        """The numbers of codes; see :func:`slalom.backends.narrow.decode`."""
        code, word, real = CODED[self._dtypes[name]], self._abreast("i32"), self._abreast("float")
        sign = self._same(-(1 << 31), "i32")
        extend = "sext" if code.signed else "zext"
        bits = self._emit(f"{extend} {self._abreast('i8')} {self._bits(name, 'i8')} to {word}")
        bits = self._emit(f"shl {word} {bits}, {self._same(code.shift, 'i32')}")
        if code.signed:
            of_code = self._same((code.top << code.shift) - (1 << 31), "i32")
            bits = self._emit(f"and {word} {bits}, {of_code}")
        bits = self._emit(f"or {word} {bits}, {self._same(LOW, 'i32')}")
        x = self._emit(f"bitcast {word} {bits} to {real}")
        off = self._per_block(name, "off")
        if not self._fma:
            off = self._same(literal(-code.base, "float"), "float")
        if code.signed:
            turned = self._emit(f"bitcast {real} {off} to {word}")
            below = self._emit(f"and {word} {bits}, {sign}")
            turned = self._emit(f"xor {word} {turned}, {below}")
            off = self._emit(f"bitcast {word} {turned} to {real}")
        if self._fma:
            return self._call("fma", x, self._per_block(name, "by"), off)
        x = self._emit(f"fadd {real} {x}, {off}")
        return self._emit(f"fmul {real} {x}, {self._per_block(name, 'by')}")

    def _per_block(self, name: str, what: str) -> str:
        return f"{self.array(name)}.{what}{'.v' if self._lanes > 1 else ''}"

    def encode(self, name: str, value: str) -> None:
        """Put floats into codes; see :func:`slalom.backends.narrow.encode`.

        By halves of words as soon as may be, which are twice as many abreast.
        """
        code, word, real = CODED[self._dtypes[name]], self._abreast("i32"), self._abreast("float")
        half, base = self._abreast("i16"), self._same(literal(code.base, "float"), "float")
        sign = self._same(-(1 << 31), "i32")
        if code.signed:
            below = self._emit(f"bitcast {real} {value} to {word}")
            below = self._emit(f"and {word} {below}, {sign}")
            (bits,) = struct.unpack("<i", struct.pack("<f", code.base))
            base = self._emit(f"or {word} {below}, {self._same(bits, 'i32')}")
            base = self._emit(f"bitcast {word} {base} to {real}")
        if self._fma:
            x = self._call("fma", value, self._per_block(name, "to"), base)
        else:
            x = self._emit(f"fmul {real} {value}, {self._per_block(name, 'to')}")
            x = self._emit(f"fadd {real} {x}, {base}")
        number = self._emit(f"bitcast {real} {x} to {word}")
        shift = code.shift - 16
        if self._chance is None:
            number = self._upper(number)
            number = self._emit(f"add {half} {number}, {self._same(1 << (shift - 1), 'i16')}")
        else:
            size = self._emit(f"and {word} {number}, {self._same(0x7FFFFFFF, 'i32')}")
            chance = self._emit(f"shl {word} {self._drawn(name)}, {self._same(shift, 'i32')}")
            size = self._emit(f"add {word} {size}, {chance}")
            size = self.extreme("max", size, self._same(LOW, "i32"))
            most = self._same(LOW + (code.top << code.shift), "i32")
            size = self.extreme("min", size, most)
            number = self._emit(f"and {word} {number}, {sign}")
            number = self._upper(self._emit(f"or {word} {number}, {size}"))
        bits = self._emit(f"shl {half} {number}, {self._same(8 - shift, 'i16')}")
        if code.signed:
            other = self._emit(f"xor {half} {bits}, {number}")
            other = self._emit(f"and {half} {other}, {self._same(-0x8000, 'i16')}")
            bits = self._emit(f"xor {half} {bits}, {other}")
        self._put(name, "i8", self._picked(bits, "i16", "i8", 1))

    def _upper(self, bits: str) -> str:
        """The upper halves of words."""
        return self._picked(bits, "i32", "i16", 1)

    def _picked(self, bits: str, kind: str, half: str, which: int) -> str:
        """The lower (0) or upper halves of whole numbers.

        Several abreast are picked by their places: told to truncate, LLVM does it one vector of
        the machine at a time.
        """
        if self._lanes == 1:
            if which:
                shift = self._same(8 * SIZES[half], kind)
                bits = self._emit(f"lshr {self._abreast(kind)} {bits}, {shift}")
            return self._emit(f"trunc {self._abreast(kind)} {bits} to {self._abreast(half)}")
        both = f"<{2 * self._lanes} x {half}>"
        bits = self._emit(f"bitcast {self._abreast(kind)} {bits} to {both}")
        places = ", ".join(f"i32 {2 * k + which}" for k in range(self._lanes))
        return self._emit(
            f"shufflevector {both} {bits}, {both} poison, <{self._lanes} x i32> <{places}>"
        )

    def sized(self, value: str) -> str:
        """The bits of floats without the sign: as numbers they have the floats' order."""
        word = self._abreast("i32")
        bits = self._emit(f"bitcast {self._abreast('float')} {value} to {word}")
        return self._emit(f"and {word} {bits}, {self._same(0x7FFFFFFF, 'i32')}")

    def extreme(self, which: str, a: str, b: str) -> str:
        """The larger (``max``) or smaller of whole numbers without a sign."""
        word = self._abreast("i32")
        mask = self._emit(f"icmp {'ugt' if which == 'max' else 'ult'} {word} {a}, {b}")
        return self._select(mask, word, a, b)

    def _store(self, name: str, value: str) -> None:
        if name == "param" and REMAINDER in self._dtypes:
            self._part(value)
            return
        exact = value
        stored = kind = self._dtypes[name]
        kept = name == "param" and LOST in self._dtypes
        if stored == "bfloat":
            value, kind = self._bfloat(value, name, by_chance=not kept), "i16"
        elif stored != self._scalar:
            computed = self._type
            if stored == "half" and self._scalar == "double":  # as torch; at once is a library's
                value = self._emit(f"fptrunc {computed} {value} to {self._abreast('float')}")
                computed = self._abreast("float")
            value = self._emit(f"fptrunc {computed} {value} to {self._abreast(stored)}")
        self._put(name, kind, value)
        if kept:
            self._keep_lost(exact, value)

    def _narrowed(self, value: str) -> str:
        """A value as float."""
        if self._scalar == "float":
            return value
        return self._emit(f"fptrunc {self._type} {value} to {self._abreast('float')}")

    def _part(self, value: str) -> None:
        """Store the parameter in two halves; see :func:`slalom.backends.narrow.parted`."""
        word, real = self._abreast("i32"), self._abreast("float")
        value = self._narrowed(value)
        bits = self._emit(f"bitcast {real} {value} to {word}")
        nan = self._emit(f"fcmp uno {real} {value}, {value}")
        bits = self._select(nan, word, self._same(0x7FC0 << 16, "i32"), bits)
        high = self._emit(f"add {word} {bits}, {self._same(0x8000, 'i32')}")
        self._put("param", "i16", self._upper(high))
        # what is above the lower half of the difference is of no account
        self._put(REMAINDER, "i16", self._picked(bits, "i32", "i16", 0))

    def _keep_lost(self, exact: str, stored: str) -> None:
        """Store what a parameter lost when it was rounded to what was stored."""
        real, kind = self._abreast("float"), self._dtypes["param"]
        bfloat = kind == "bfloat"
        held = self._from_bfloat(stored) if bfloat else self._real(stored, kind)
        lost = self._emit(f"fsub {real} {self._narrowed(exact)}, {held}")
        word = self._abreast("i32")
        size = self._emit(f"bitcast {real} {lost} to {word}")
        size = self._emit(f"and {word} {size}, {self._same(0x7F800000, 'i32')}")
        finite = self._emit(f"icmp ne {word} {size}, {self._same(0x7F800000, 'i32')}")
        lost = self._select(finite, real, lost, self._same(literal(0.0, "float"), "float"))
        self._store(LOST, self._widened(lost, "float"))

    def _bfloat(self, value: str, name: str, by_chance: bool = True) -> str:
        """The bits of the nearest bfloat, the even one of two as near, or of one by chance.

        NaN stays NaN, and infinity what it is.
        """
        word, real = self._abreast("i32"), self._abreast("float")
        if self._scalar == "double":
            value = self._emit(f"fptrunc {self._type} {value} to {real}")
        bits = self._emit(f"bitcast {real} {value} to {word}")
        if self._chance is not None and by_chance and name != LOST:
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
        return self._upper(rounded)

    def _drawn(self, name: str) -> str:
        """Sixteen random bits for this element of this array: murmur3's last mix of its place."""
        word = self._abreast("i32")
        assert self._chance is not None
        salt = 0x9E3779B9 * (1 + place_of(self._chance, name)) & 0xFFFFFFFF
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


def array(place: int) -> str:
    """The address of the array at this place, as the code calls it."""
    return f"%a{place}"
