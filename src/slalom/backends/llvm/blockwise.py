"""A sweep over codes: some blocks are updated, and then measured and encoded.

What their states are to hold waits on the stack in between, since the scale of a block is known
when all of it was computed: where each block was encoded at once the processor waited for that, and
a step took a third longer. A block goes abreast, and what is left at the end of a tensor one by
one. The largest magnitude is that of bits, which has no order. Sums wait on the stack
too, one a lane of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slalom.backends.llvm.arithmetic import literal, spread
from slalom.backends.llvm.elements import Elements
from slalom.backends.llvm.memory import SIZES, Arrays, Memory, array, coded, computed_in
from slalom.backends.llvm.summing import added, folded
from slalom.backends.narrow import BLOCK, SCALE, TINY, Code
from slalom.ir.sweeps import Sweep

MOST = 16
"""Blocks that are updated before they are encoded; those behind them are fetched meanwhile."""

_LINE = 64
"""Bytes that the processor fetches at once, or more."""

_REALS = f"<{BLOCK} x float>"
_WORDS = f"<{MOST} x i32>"
"""What is left of a block when its largest is looked for, and the largest of so many blocks."""


def blockwise(
    sweep: Sweep, arrays: Arrays, *, fma: bool, stochastic: bool
) -> tuple[list[str], list[str]]:
    """The declarations and lines of the loop; it begins where a block does."""
    options: dict[str, Any] = {"fma": fma, "stochastic": stochastic, "aligned": False}
    wide = Elements(sweep, arrays, lanes=BLOCK, prefix="w", place="%i", **options)
    one = Elements(sweep, arrays, prefix="v", place="%j", **options)
    given: dict[str, Any] = {
        "chance": sweep.rule if stochastic else None,
        "aligned": False,
        "fma": fma,
    }
    many = Memory("float", arrays, lanes=BLOCK, prefix="x", place="%p", **given)
    single = Memory("float", arrays, prefix="y", place="%q", **given)
    order = [n for n, _ in arrays]
    read, written = coded(sweep.reads, arrays), coded(sweep.writes, arrays)
    named = {n: array(order.index(n)) for n in dict.fromkeys([*read, *written])}
    scales = {a: array(order.index(n + SCALE)) for n, a in named.items()}
    own = {named[n]: code for n, code in written.items()}
    before_wide, before_one = [], []
    for a, code in ((named[n], code) for n, code in read.items()):
        before_wide += loaded(f"{a}.i.by", scales[a], "%i.block")
        base = literal(-code.base, "float")
        before_wide += spread("float", f"{a}.i.by", BLOCK, f"{a}.by")[0]
        before_wide += [f"  {a}.off.v = fmul {_REALS} {a}.by.v, splat (float {base})"]
        before_one += loaded(f"{a}.by", scales[a], "%first")
        before_one += [f"  {a}.off = fmul float {a}.by, {base}"]
    largest: dict[str, str] = {}
    for n, a in ((n, named[n]) for n in written):
        wide.lines += [
            *_at(a, "i"),
            f"  store {_REALS} {wide.coded[n]}, ptr {a}.i.at, align 4",
            *_less(f"{a}.i.most", wide.sized(wide.coded[n])),
            f"  {a}.i.place = getelementptr {_WORDS}, ptr {a}.largest, i64 %n",
            f"  store {_WORDS} {a}.i.most, ptr {a}.i.place, align 64",
        ]
        one.lines += [*_at(a, "j"), f"  store float {one.coded[n]}, ptr {a}.j.at"]
        largest[a] = one.extreme("max", f"{a}.most", one.sized(one.coded[n]))
        many.lines += [
            *loaded(f"{a}.p.to", f"{a}.factors", "%m"),
            *spread("float", f"{a}.p.to", BLOCK, f"{a}.to")[0],
            *_at(a, "p"),
            f"  {a}.p = load {_REALS}, ptr {a}.p.at, align 4",
        ]
        many.encode(n, f"{a}.p")
        single.lines += [*_at(a, "q"), f"  {a}.q = load float, ptr {a}.q.at"]
        single.encode(n, f"{a}.q")
    kind = computed_in(arrays, sweep.rule.shapes)
    scalars = range(len(sweep.scalars))
    doubles, stored = f"<{BLOCK} x double>", []
    for k, total in enumerate(sweep.sums):
        square = total.op == "squares"
        wide.lines += _added(f"%sum{k}", wide.summed[k], square, f"<{BLOCK} x {kind}>", doubles)
        one.lines += _added(f"%one{k}", one.summed[k], square, kind, "double")
        stored += [
            f"  %sum{k}.end = load {doubles}, ptr %sum{k}",
            *folded(f"%sum{k}.end", BLOCK),
            f"  %one{k}.end = load double, ptr %one{k}",
            f"  %sum{k}.of = fadd double %sum{k}.end.all, %one{k}.end",
            f"  %sum{k}.at = getelementptr double, ptr %sums, i64 {k}",
            f"  store double %sum{k}.of, ptr %sum{k}.at",
        ]
    declares = [d for text in (wide, one, many, single) for d in text.declares]
    return [*declares, _MOST, _FETCH, _SOME], [
        "entry:",
        *(line for k in range(len(sweep.sums)) for line in (
            f"  %sum{k} = alloca {doubles}, align 64",
            f"  store {doubles} zeroinitializer, ptr %sum{k}",
            f"  %one{k} = alloca double",
            f"  store double 0.0, ptr %one{k}",
        )),
        *(f"  {a}.new = alloca [{MOST * BLOCK} x float], align 64" for a in own),
        *(f"  {a}.largest = alloca [{MOST} x {_WORDS}], align 64" for a in own),
        *(f"  store [{MOST} x {_WORDS}] zeroinitializer, ptr {a}.largest" for a in own),
        *(f"  {a}.factors = alloca <{MOST} x float>, align 64" for a in own),
        *(line for i in scalars for line in spread(kind, f"%s{i}", BLOCK, f"%s{i}")[0]),
        "  br label %chunk",
        "chunk:",
        "  %from = phi i64 [ %begin, %entry ], [ %p.next, %many ]",
        "  %left = sub i64 %end, %from",
        f"  %whole = sdiv i64 %left, {BLOCK}",
        f"  %over = icmp sgt i64 %whole, {MOST}",
        f"  %blocks = select i1 %over, i64 {MOST}, i64 %whole",
        f"  %first = udiv i64 %from, {BLOCK}",
        "  %any = icmp sgt i64 %blocks, 0",
        "  br i1 %any, label %wide, label %rest",
        "wide:",
        "  %n = phi i64 [ 0, %chunk ], [ %n.next, %wide ]",
        f"  %n.behind = mul nuw nsw i64 %n, {BLOCK}",
        "  %i = add nuw nsw i64 %from, %n.behind",
        "  %i.block = add nuw nsw i64 %first, %n",
        *_fetched(sweep, arrays),
        *before_wide,
        *wide.lines,
        *_again("n", "wide", "measure"),
        "measure:",
        *spread("i64", "%blocks", MOST, "%blocks.all")[0],
        f"  %known = icmp ult <{MOST} x i64> <{', '.join(f'i64 {k}' for k in range(MOST))}>, "
        "%blocks.all.v",
        *(line for a, code in own.items() for line in (
            *_across(f"{a}.k", f"{a}.largest"),
            *scaled(f"{a}.k.to", f"{a}.k.all", code, MOST),
            f"  {a}.scales.at = getelementptr float, ptr {scales[a]}, i64 %first",
            f"  call void @llvm.masked.store.v{MOST}f32.p0(<{MOST} x float> {a}.k.to.scale, "
            f"ptr {a}.scales.at, i32 4, <{MOST} x i1> %known)",
            f"  store <{MOST} x float> {a}.k.to, ptr {a}.factors, align 64",
        )),
        "  br label %many",
        "many:",
        "  %m = phi i64 [ 0, %measure ], [ %m.next, %many ]",
        f"  %m.behind = mul nuw nsw i64 %m, {BLOCK}",
        "  %p = add nuw nsw i64 %from, %m.behind",
        f"  %p.next = add nuw nsw i64 %p, {BLOCK}",
        *many.lines,
        *_again("m", "many", "chunk"),
        "rest:",
        "  %some = icmp sgt i64 %left, 0",
        "  br i1 %some, label %each, label %done",
        "each:",
        "  %j = phi i64 [ %from, %rest ], [ %j.next, %each ]",
        *(f"  {a}.most = phi i32 [ 0, %rest ], [ {m}, %each ]" for a, m in largest.items()),
        *before_one,
        *one.lines,
        *_again("j", "each", "measured", "%end"),
        "measured:",
        *(line for a, code in own.items()
          for line in (
              *scaled(f"{a}.to", largest[a], code),
              f"  {a}.to.place = getelementptr float, ptr {scales[a]}, i64 %first",
              f"  store float {a}.to.scale, ptr {a}.to.place",
          )),
        "  br label %single",
        "single:",
        "  %q = phi i64 [ %from, %measured ], [ %q.next, %single ]",
        *single.lines,
        *_again("q", "single", "done", "%end"),
        "done:",
        *stored,
    ]  # fmt: skip


_SOME = f"declare void @llvm.masked.store.v{MOST}f32.p0(<{MOST} x float>, ptr, i32, <{MOST} x i1>)"
_FETCH = "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)"


def _fetched(sweep: Sweep, arrays: Arrays) -> Iterator[str]:
    """Have the memory fetched that comes after these blocks.

    Not of numbers of 16 bits: there a step computes for longer than memory takes.
    """
    if max(SIZES[kind] for n, kind in arrays if n in sweep.reads) < SIZES["float"]:
        return
    yield f"  %ahead = add i64 %i, {MOST * BLOCK}"
    for place, (name, kind) in enumerate(arrays):
        own, size = array(place), SIZES[kind]
        if name not in {*sweep.reads, *sweep.writes}:
            continue
        yield f"  {own}.bytes = mul i64 %ahead, {size}"
        for k in range(-(-BLOCK * size // _LINE)):
            yield f"  {own}.byte.{k} = add i64 {own}.bytes, {k * _LINE}"
            yield f"  {own}.ahead.{k} = getelementptr i8, ptr {own}, i64 {own}.byte.{k}"
            write = int(name in sweep.writes)
            yield f"  call void @llvm.prefetch.p0(ptr {own}.ahead.{k}, i32 {write}, i32 3, i32 1)"


def _added(own: str, value: str, square: bool, kind: str, double: str) -> Iterator[str]:
    """A sum on the stack with some more."""
    yield f"  {own}.so = load {double}, ptr {own}"
    yield from added(f"{own}.so", value, square, kind, double)
    yield f"  store {double} {own}.so.next, ptr {own}"


def _again(count: str, label: str, then: str, end: str = "%blocks") -> Iterator[str]:
    """The end of a loop over blocks or elements."""
    yield f"  %{count}.next = add nuw nsw i64 %{count}, 1"
    yield f"  %{count}.more = icmp slt i64 %{count}.next, {end}"
    yield f"  br i1 %{count}.more, label %{label}, label %{then}"


def loaded(name: str, array: str, place: str) -> Iterator[str]:
    """A number of a block."""
    yield f"  {name}.from = getelementptr float, ptr {array}, i64 {place}"
    yield f"  {name} = load float, ptr {name}.from"


def _at(own: str, place: str) -> Iterator[str]:
    """Where numbers of a state wait."""
    yield f"  {own}.{place}.behind = sub i64 %{place}, %from"
    yield f"  {own}.{place}.at = getelementptr float, ptr {own}.new, i64 {own}.{place}.behind"


def scaled(to: str, largest: str, code: Code, lanes: int = 1) -> Iterator[str]:
    """The scales (``.scale``) of blocks, by their largest bits, and what encodes their numbers."""
    word, real, bits = ("i32", "float", "i1")
    if lanes > 1:
        word, real, bits = (f"<{lanes} x {kind}>" for kind in (word, real, bits))

    def same(value: float) -> str:
        return literal(value, "float") if lanes == 1 else f"splat (float {literal(value, 'float')})"

    yield f"  {to}.bits = bitcast {word} {largest} to {real}"
    yield f"  {to}.tiny = fcmp olt {real} {to}.bits, {same(TINY)}"
    yield f"  {to}.real = select {bits} {to}.tiny, {real} {same(TINY)}, {real} {to}.bits"
    yield f"  {to}.none = fsub {real} {to}.real, {to}.real"  # or NaN, of infinity too
    yield f"  {to}.part = fmul {real} {to}.real, {same(1 / code.reach)}"
    yield f"  {to}.scale = fadd {real} {to}.part, {to}.none"
    yield f"  {to} = fdiv {real} {same(code.reach)}, {to}.real"


_MOST = f"declare {_WORDS} @llvm.umax.v{MOST}i32({_WORDS}, {_WORDS})"


def _umax(name: str, a: str, b: str) -> str:
    return f"  {name} = call {_WORDS} @llvm.umax.v{MOST}i32({_WORDS} {a}, {_WORDS} {b})"


def _less(name: str, bits: str) -> Iterator[str]:
    """Of the bits of a block as many as there are blocks, the largest among them."""
    parts = [f"{name}.{k}" for k in range(BLOCK // MOST)]
    for k, part in enumerate(parts):
        which = ", ".join(f"i32 {k * MOST + i}" for i in range(MOST))
        block = f"<{BLOCK} x i32>"
        yield (f"  {part} = shufflevector {block} {bits}, {block} poison, <{MOST} x i32> <{which}>")
    last = parts[0]
    for k, part in enumerate(parts[1:]):
        own = name if part == parts[-1] else f"{name}.so{k}"
        yield _umax(own, last, part)
        last = own


def _across(name: str, rows: str) -> Iterator[str]:
    """The largest of each row of a square on the stack, as one vector (``.all``), by halves.

    Each pair of rows becomes one, in half of which is what is left of the first.
    """
    own = [f"{name}.row{k}" for k in range(MOST)]
    for k, row in enumerate(own):
        yield f"  {row}.at = getelementptr {_WORDS}, ptr {rows}, i64 {k}"
        yield f"  {row} = load {_WORDS}, ptr {row}.at, align 64"
    for level, halves in enumerate(_HALVES):
        made = []
        for k in range(0, len(own), 2):
            new = f"{name}.all" if len(own) == 2 else f"{name}.{level}.{k}"
            for half, which in enumerate(halves):
                picked = ", ".join(f"i32 {i}" for i in which)
                yield (
                    f"  {new}.h{half} = shufflevector {_WORDS} {own[k]}, {_WORDS} {own[k + 1]}, "
                    f"<{MOST} x i32> <{picked}>"
                )
            yield _umax(new, f"{new}.h0", f"{new}.h1")
            made.append(new)
        own = made


def _halves() -> Iterator[list[list[int]]]:
    """What is picked of two rows, twice, on each level of :func:`_across`.

    Of four neighbours at a time first, as processors interleave them, and then of such fours.
    """
    fours = range(0, MOST, 4)
    for width in (1, 2):
        yield [
            [f + r + k + i for f in fours for k in range(0, 2, width)
             for r in (0, MOST) for i in range(half, half + width)]
            for half in (0, 2)
        ]  # fmt: skip
    for halves in (((0, 4), (8, 12)), ((0, 8), (4, 12))):
        yield [[r + f + i for r in (0, MOST) for f in own for i in range(4)] for own in halves]


_HALVES = list(_halves())
