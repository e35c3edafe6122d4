"""Kernels that write codes of eight bits: updated, then measured, then encoded.

The scale of :data:`slalom.backends.narrow.BLOCK` codes is known when all of them were computed, by
several threads: what their states are to hold waits in the memory that a block of threads shares,
one piece of its chunk after another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence

from slalom.backends.cuda.kernel import CHUNK, found, lanes, opening, width, word
from slalom.backends.cuda.phases import FEW, SHARED, SPACE, own_sum, phased
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.llvm.arithmetic import literal, spread
from slalom.backends.llvm.elements import Elements
from slalom.backends.llvm.memory import CODED, Arrays, Memory, array, coded, computed_in
from slalom.backends.llvm.summing import valued
from slalom.backends.narrow import BLOCK, SCALE, TINY, Code
from slalom.backends.refusals import Unavailable
from slalom.ir.program import Program
from slalom.ir.sweeps import Sweep
from slalom.ir.symbol import Symbol

PIECE = 2048
"""Elements that wait at once."""

BLOCKS = PIECE // BLOCK

PIECES = CHUNK // PIECE

MOST = 5
"""States that may wait."""

ROOM = 12288
"""Floats that a block may share: 48 KiB."""


def has_codes(arrays: Arrays) -> bool:
    """Whether codes are among these."""
    return any(kind in CODED for _, kind in arrays)


def scales_of(arrays: Arrays) -> list[str]:
    """The arrays that hold the scales of others."""
    return [n + SCALE for n, kind in arrays if kind in CODED]


def code_kernel(
    program: Program, arrays: Arrays, target: Target, *, stochastic: bool,
    wide: int | None = None, way: int | None = None,
) -> str:  # fmt: skip
    """As :func:`slalom.backends.cuda.kernel.kernel`, of one program that reads or writes codes.

    Its scales stand among ``arrays`` too, under their names. ``wide`` and ``way`` are as in
    :func:`slalom.backends.cuda.kernel.opening`.
    """
    small = scales_of(arrays)
    kernel = Codes(program.sweeps[0], program.scalars, arrays, small, stochastic)
    start = opening(target, arrays, wide or width([program]), small, way)
    return phased(
        ("segments", "blocks", "rows"), kernel.phases(start), target, shared=kernel.shared,
        declares=kernel.declares, repeats=PIECES,
    )  # fmt: skip


_OF_A_BLOCK = re.compile(r"(%a\d+)\.(by|off|to)\b")
"""The names that numbers of an array's block have in each loop; a function has several."""


class Codes:
    """Writes the phases of a sweep, which are done for each piece.

    Args:
        known: the scalars that stand in the row.
        small: the arrays that are no elements.

    Attributes:
        declares: the functions that they call, once they were written.
        shared: the type of what threads share: what is summed up of each, then what waits.
    """

    def __init__(
        self, sweep: Sweep, known: Sequence[Symbol], arrays: Arrays, small: Collection[str],
        stochastic: bool,
    ):  # fmt: skip
        self._sweep, self._known, self._arrays = sweep, known, arrays
        self._stochastic, self._many = stochastic, lanes(arrays, small)
        self._kind = computed_in(arrays, small)
        order = [n for n, _ in arrays]
        self._array = {n: array(place) for place, n in enumerate(order)}
        self._read = coded(sweep.reads, arrays)
        self.written = coded(sweep.writes, arrays)
        self._place = {name: s for s, name in enumerate(self.written)}
        sums = len(sweep.sums)
        self._ahead = -(-2 * (sums * (THREADS + FEW) + 1) // 4) * 4 if sums else 0
        words = self._ahead + max(1, len(self.written)) * (PIECE + BLOCKS)
        if words > ROOM:
            raise Unavailable(
                f"more than {MOST} states are kept in 8 bits, or too much is summed up"
            )
        self.shared = f"[{words} x float]"
        self.declares: list[str] = []

    def phases(self, opening: Sequence[str]) -> list[list[str]]:
        """Each begins with ``opening``, by which a thread finds its block."""
        start = [
            *opening,
            f"  %behind = mul i64 %piece, {PIECE}",
            "  %from = add i64 %begin, %behind",
            f"  %from.all = add i64 %from, {PIECE}",
            "  %from.over = icmp sgt i64 %from.all, %end",
            "  %to.least = select i1 %from.over, i64 %end, i64 %from.all",
            "  %beyond = icmp slt i64 %to.least, %from",
            "  %to = select i1 %beyond, i64 %from, i64 %to.least",
            "  %length = sub i64 %to, %from",
        ]
        phases = [self.update()]
        if self.written:
            phases += [self.measure(), self.encode()]
        return [[*start, *phase] for phase in phases]

    def update(self) -> list[str]:
        """Update all but what is coded, which is put where it waits."""
        sums = list(enumerate(self._sweep.sums))
        lines = found(self._sweep, self._known, self._kind, self._many, self._stochastic)
        if sums:
            lines += [
                "  %begins = icmp eq i64 %piece, 0",
                "  br i1 %begins, label %none, label %on",
            ]
            lines += ["none:", *(line for n, _ in sums for line in own_sum(n, "0.0"))]
            lines += ["  br label %on", "on:"]
        common = {"fma": True, "stochastic": self._stochastic, "pointer": SPACE}

        def each(place: str, many: int, aligned: bool) -> Iterator[str]:
            yield f"  {place}.block = udiv i64 {place}, {BLOCK}"
            for name in self._read:
                yield from self._per_block(name, place, many)
            prefix = {(True, True): "w", (True, False): "u"}.get((many > 1, aligned), "v")
            text = Elements(
                self._sweep, self._arrays, lanes=many, prefix=prefix, place=place, aligned=aligned,
                **common,
            )  # fmt: skip
            self.declares += text.declares
            yield from text.lines
            for name, value in text.coded.items():
                at = f"%{prefix}.new{self._place[name]}"
                yield from self._waits(at, name, place)
                kind = f"<{many} x float>" if many > 1 else "float"
                yield f"  store {kind} {value}, {SHARED} {at}, align {min(4 * many, 16)}"
            for n, total in sums:
                yield from self._summed(f"{prefix}.sum{n}", n, text.summed[n], total, many)

        return [*lines, *self._loops(each, orderly=bool(sums))]

    def _summed(self, own: str, n: int, value: str, total: Symbol, many: int) -> Iterator[str]:
        """Add what was computed to what this thread has of sum ``n``."""
        vector = f"<{many} x {self._kind}>" if many > 1 else self._kind
        doubles = f"<{many} x double>" if many > 1 else "double"
        lines, value = valued(f"%{own}", value, total.op == "squares", vector, doubles)
        yield from lines
        yield f"  %{own}.place = add i64 %thread, {n * THREADS}"
        yield f"  %{own}.at = getelementptr double, {SHARED} @shared, i64 %{own}.place"
        yield f"  %{own}.before = load double, {SHARED} %{own}.at"
        last = f"%{own}.before"
        for lane in range(many):
            part = value
            if many > 1:
                part = f"%{own}.lane{lane}"
                yield f"  {part} = extractelement {doubles} {value}, i32 {lane}"
            yield f"  %{own}.by{lane} = fadd double {last}, {part}"
            last = f"%{own}.by{lane}"
        yield f"  store double {last}, {SHARED} %{own}.at"

    def measure(self) -> list[str]:
        """The scale of each block, by a thread each, and what its numbers are multiplied by."""
        lines: list[str] = []
        for name, code in self.written.items():
            s = self._place[name]
            own, first = f"%m{s}", s * BLOCKS % THREADS
            lines += [
                f"  {own}.block = sub i64 %thread, {first}",
                f"  {own}.fits = icmp ult i64 {own}.block, {BLOCKS}",
                f"  {own}.base = mul i64 {own}.block, {BLOCK}",
                f"  {own}.left = sub i64 %length, {own}.base",
                f"  {own}.some = icmp sgt i64 {own}.left, 0",
                f"  {own}.do = and i1 {own}.fits, {own}.some",
                f"  br i1 {own}.do, label %look{s}, label %next{s}",
                f"look{s}:",
                f"  br label %one{s}",
                f"one{s}:",
                f"  {own}.k = phi i64 [ 0, %look{s} ], [ {own}.k.next, %one{s} ]",
                f"  {own}.most = phi i32 [ 0, %look{s} ], [ {own}.now, %one{s} ]",
                # one thread begins beside the other, or all would ask one bank of memory
                f"  {own}.turned = add i64 {own}.k, {own}.block",
                f"  {own}.at = and i64 {own}.turned, {BLOCK - 1}",
                f"  {own}.there = icmp slt i64 {own}.at, {own}.left",
                f"  {own}.local = add i64 {own}.base, {own}.at",
                f"  {own}.place = add i64 {own}.local, {self._ahead + s * PIECE}",
                f"  {own}.from = getelementptr i32, {SHARED} @shared, i64 {own}.place",
                f"  {own}.bits = load i32, {SHARED} {own}.from",
                f"  {own}.size = and i32 {own}.bits, {0x7FFFFFFF}",
                f"  {own}.own = select i1 {own}.there, i32 {own}.size, i32 0",
                f"  {own}.more = icmp ugt i32 {own}.own, {own}.most",
                f"  {own}.now = select i1 {own}.more, i32 {own}.own, i32 {own}.most",
                f"  {own}.k.next = add nuw nsw i64 {own}.k, 1",
                f"  {own}.again = icmp slt i64 {own}.k.next, {BLOCK}",
                f"  br i1 {own}.again, label %one{s}, label %known{s}",
                f"known{s}:",
                f"  {own}.first = udiv i64 %from, {BLOCK}",
                f"  {own}.number = add i64 {own}.first, {own}.block",
                *_scaled(own, code, self._array[name + SCALE]),
                f"  {own}.to = add i64 {own}.block, {self._factors(s)}",
                f"  {own}.put = getelementptr float, {SHARED} @shared, i64 {own}.to",
                f"  store float {own}.factor, {SHARED} {own}.put",
                f"  br label %next{s}",
                f"next{s}:",
            ]
        return lines

    def encode(self) -> list[str]:
        """Put what waits into codes."""

        def each(place: str, many: int, _: bool) -> Iterator[str]:
            prefix, kind = ("x", f"<{many} x float>") if many > 1 else ("y", "float")
            chance = self._sweep.rule if self._stochastic else None
            text = Memory(
                "float", self._arrays, chance=chance, lanes=many, prefix=prefix, place=place,
                pointer=SPACE, fma=True,
            )  # fmt: skip
            yield f"  {place}.local = sub i64 {place}, %from"
            yield f"  {place}.block = udiv i64 {place}.local, {BLOCK}"
            for name in self.written:
                s, own = self._place[name], self._array[name]
                at, to = f"%{prefix}.old{s}", f"{own}.to" if many == 1 else f"{own}.many.to"
                text.lines += [
                    *self._waits(at, name, place),
                    f"  {at}.value = load {kind}, {SHARED} {at}, align {min(4 * many, 16)}",
                    f"  {at}.to = add i64 {place}.block, {self._factors(s)}",
                    f"  {at}.factor = getelementptr float, {SHARED} @shared, i64 {at}.to",
                    f"  {to} = load float, {SHARED} {at}.factor",
                ]
                if many > 1:
                    text.lines += spread("float", to, many, f"{own}.to")[0]
                text.encode(name, f"{at}.value")
            self.declares += text.declares
            yield from text.lines

        return [*self._noise(), *self._loops(each)]

    def _noise(self) -> list[str]:
        if not self._stochastic:
            return []
        found = word("noise.double", "%row", "double", "1")
        return [*found, "  %noise = fptoui double %noise.double to i32"]

    def _per_block(self, name: str, place: str, many: int) -> Iterator[str]:
        """What codes are multiplied by, in the block of this place."""
        own, scales = self._array[name], self._array[name + SCALE]
        by = f"{own}.by" if many == 1 else f"{own}.by.w"
        yield f"  {by}.from = getelementptr float, {SPACE} {scales}, i64 {place}.block"
        yield f"  {by} = load float, {SPACE} {by}.from"
        off = by.replace(".by", ".off")
        yield f"  {off} = fmul float {by}, {literal(-self._read[name].base, 'float')}"
        if many > 1:
            for one, both in ((by, f"{own}.by"), (off, f"{own}.off")):
                yield from spread("float", one, many, both)[0]

    def _waits(self, at: str, name: str, place: str) -> Iterator[str]:
        """Where numbers of a state wait."""
        yield f"  {at}.behind = sub i64 {place}, %from"
        yield f"  {at}.place = add i64 {at}.behind, {self._ahead + self._place[name] * PIECE}"
        yield f"  {at} = getelementptr float, {SHARED} @shared, i64 {at}.place"

    def _factors(self, s: int) -> int:
        """Where the factors of a state's blocks begin."""
        return self._ahead + len(self.written) * PIECE + s * BLOCKS

    def _loops(
        self, each: Callable[[str, int, bool], Iterator[str]], *, orderly: bool = False
    ) -> list[str]:  # fmt: skip
        """Over a thread's share of a piece: vectors where arrays lie straight, then singly.

        ``orderly``: where they lie crooked it sees the same elements in the same order.
        """
        many = self._many
        vectors = {"vectors": ("%i", True)} | ({"crooked": ("%h", False)} if orderly else {})
        straight = "i1 %straight, i64 %whole, i64 0"
        lines = [
            f"  %whole = and i64 %length, {-many}",
            "  %vectors.here = " + ("add i64 %whole, 0" if orderly else f"select {straight}"),
            "  %rest = add i64 %from, %vectors.here",
            f"  %ahead = mul i64 %thread, {many}",
            "  %i.first = add i64 %from, %ahead",
            "  br label %enter",
            "enter:",
            "  %i.some = icmp slt i64 %i.first, %rest",
            "  br i1 %i.some, label %which, label %singly",
            "which:",
            "  br i1 %straight, label %vectors, label %crooked"
            if orderly
            else "  br label %vectors",
        ]
        for name, (at, aligned) in vectors.items():
            lines += [
                f"{name}:",
                f"  {at} = phi i64 [ %i.first, %which ], [ {at}.next, %{name} ]",
                *(_OF_A_BLOCK.sub(rf"\1.{name}.\2", line) for line in each(at, many, aligned)),
                f"  {at}.next = add nuw nsw i64 {at}, {many * THREADS}",
                f"  {at}.more = icmp slt i64 {at}.next, %rest",
                f"  br i1 {at}.more, label %{name}, label %singly",
            ]
        return [
            *lines,
            "singly:",
            "  %j.first = add i64 %rest, %thread",
            "  %j.some = icmp slt i64 %j.first, %to",
            "  br i1 %j.some, label %each, label %done",
            "each:",
            "  %j = phi i64 [ %j.first, %singly ], [ %j.next, %each ]",
            *each("%j", 1, True),
            f"  %j.next = add nuw nsw i64 %j, {THREADS}",
            "  %j.more = icmp slt i64 %j.next, %to",
            "  br i1 %j.more, label %each, label %done",
            "done:",
        ]


def _scaled(own: str, code: Code, scales: str) -> Sequence[str]:
    """Store the scale of a block; see :func:`slalom.backends.narrow.encode`."""
    least, reach = literal(TINY, "float"), literal(code.reach, "float")
    return [
        f"  {own}.largest = bitcast i32 {own}.now to float",
        f"  {own}.tiny = fcmp olt float {own}.largest, {least}",
        f"  {own}.real = select i1 {own}.tiny, float {least}, float {own}.largest",
        f"  {own}.none = fsub float {own}.real, {own}.real",  # or NaN, of infinity too
        f"  {own}.part = fmul float {own}.real, {literal(1 / code.reach, 'float')}",
        f"  {own}.scale = fadd float {own}.part, {own}.none",
        f"  {own}.scale.at = getelementptr float, {SPACE} {scales}, i64 {own}.number",
        f"  store float {own}.scale, {SPACE} {own}.scale.at",
        f"  {own}.factor = fdiv float {reach}, {own}.real",
    ]
