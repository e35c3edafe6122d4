"""What is done to each number of what lies feature after feature, in LLVM's assembly.

Exponentials and logarithms are polynomials (the coefficients of Moshier's Cephes library: expf,
logf), to about two units in the last place.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from slalom.backends.llvm.functions import ACTIVATIONS, EXP, Text

LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
"""Highest power first."""


def number(value: float) -> str:
    """A float32 as LLVM reads it."""
    rounded = struct.unpack("<f", struct.pack("<f", value))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', rounded))[0]:016X}"


def splat(name: str, value: str, width: int, kind: str = "float") -> Iterator[str]:
    """Makes a vector of one value."""
    v = f"<{width} x {kind}>"
    yield f"  {name}.0 = insertelement {v} poison, {kind} {value}, i32 0"
    yield f"  {name} = shufflevector {v} {name}.0, {v} poison, <{width} x i32> zeroinitializer"


def fields(*names: str) -> Iterator[str]:
    """Reads the fields of a job, of which the first is what it is."""
    for place, name in enumerate(names, 1):
        kind, _, own = name.partition(" ")
        yield f"  {own}.p = getelementptr i64, ptr %job, i64 {place}"
        yield f"  {own} = load {kind}, ptr {own}.p, align 8"


class Vectors:
    """How constants of vectors of this width are written."""

    def __init__(self, width: int):
        self.v, self.i1, self.long = (f"<{width} x {k}>" for k in ("float", "i1", "i64"))
        self._width = width
        self.places = "<" + ", ".join(f"i64 {n}" for n in range(width)) + ">"
        self.true = self._all("i1 1")
        self.none = self._all("i64 -1")

    def _all(self, one: str) -> str:
        return "<" + ", ".join([one] * self._width) + ">"

    def of(self, value: float) -> str:
        return self._all(f"float {number(value)}")

    def bits(self, value: int) -> str:
        return self._all(f"i32 {value}")

    def polynomial(self, name: str, at: str, coefficients: Sequence[float]) -> Iterator[str]:
        last = self.of(coefficients[0])
        for place, c in enumerate(coefficients[1:], 2):
            own = name if place == len(coefficients) else f"{name}.{place}"
            yield f"  {own}.m = fmul {self.v} {last}, {at}"
            yield f"  {own} = fadd {self.v} {own}.m, {self.of(c)}"
            last = own


def vectors(width: int) -> Iterator[str]:
    """What the rest calls: LLVM's own functions of vectors, ``@exp`` of numbers that are not above
    0, and ``@log``."""
    of, v, i1, i = Vectors(width), f"<{width} x float>", f"<{width} x i1>", f"<{width} x i32>"
    yield f"""
declare {v} @llvm.masked.load.v{width}f32.p0(ptr, i32, {i1}, {v})
declare {of.long} @llvm.masked.load.v{width}i64.p0(ptr, i32, {i1}, {of.long})
declare void @llvm.masked.store.v{width}f32.p0({v}, ptr, i32, {i1})
declare float @llvm.vector.reduce.fadd.v{width}f32(float, {v})
define internal {v} @exp({v} %given) alwaysinline #0 {{
  %low = fcmp olt {v} %given, {of.of(-87.0)}
  %x = select {i1} %low, {v} {of.of(-87.0)}, {v} %given
  %scaled = fmul {v} %x, {of.of(1.44269504088896341)}
  %shifted = fadd {v} %scaled, {of.of(1.5 * 2**23)}
  %n = fsub {v} %shifted, {of.of(1.5 * 2**23)}
  %high = fmul {v} %n, {of.of(-0.693359375)}
  %r.most = fadd {v} %x, %high
  %low.part = fmul {v} %n, {of.of(2.12194440e-4)}
  %r = fadd {v} %r.most, %low.part"""
    yield from of.polynomial("%p", "%r", EXP)
    yield f"""  %rr = fmul {v} %r, %r
  %s = fmul {v} %p, %rr
  %t = fadd {v} %s, %r
  %y = fadd {v} %t, {of.of(1.0)}
  %bits = bitcast {v} %shifted to {i}
  %up = shl {i} %bits, {of.bits(23)}
  %power = add {i} %up, {of.bits(0x3F800000)}
  %factor = bitcast {i} %power to {v}
  %most = fmul {v} %y, %factor
  %found = select {i1} %low, {v} zeroinitializer, {v} %most
  ret {v} %found
}}
define internal {v} @log({v} %x) alwaysinline #0 {{
  %bits = bitcast {v} %x to {i}
  %from = sub {i} %bits, {of.bits(0x3F3504F3)}
  %e = ashr {i} %from, {of.bits(23)}
  %of = shl {i} %e, {of.bits(23)}
  %mantissa = sub {i} %bits, %of
  %m = bitcast {i} %mantissa to {v}
  %n = sitofp {i} %e to {v}
  %r = fsub {v} %m, {of.of(1.0)}
  %rr = fmul {v} %r, %r"""
    yield from of.polynomial("%p", "%r", LOG)
    yield f"""  %cubed = fmul {v} %rr, %r
  %y0 = fmul {v} %p, %cubed
  %ln = fmul {v} %n, {of.of(-2.12194440e-4)}
  %y1 = fadd {v} %y0, %ln
  %half = fmul {v} %rr, {of.of(-0.5)}
  %y2 = fadd {v} %y1, %half
  %y3 = fadd {v} %y2, %r
  %hn = fmul {v} %n, {of.of(0.693359375)}
  %y = fadd {v} %y3, %hn
  %nothing = fsub {v} %x, %x
  %found = fadd {v} %y, %nothing
  ret {v} %found
}}"""


def sweep(
    name: str, width: int, given: Sequence[str], body: Iterator[str], *, sums: bool = False
) -> Iterator[str]:
    """The function ``@name(job)`` that takes a matrix vector after vector, row after row.

    Args:
        given: the fields of the job; among them ``%rows``, ``%columns`` and ``%stride``, and
            numbers, of which each has a vector beside it: ``%a`` has ``%a.v``.
        body: what is done with the numbers from ``%o`` on, of row ``%i`` from column ``%j`` on; it
            ends with a block ``after``. Where it ``sums``, it makes ``%sum.next`` of ``%sum``; the
            function is then not ended, and has the whole as ``%loss``.
    """
    v = f"<{width} x float>"
    yield f"define internal void @{name}(ptr %job) #0 {{"
    yield "entry:"
    yield from fields(*given)
    for kind, _, own in (field.partition(" ") for field in given):
        if kind == "float":
            yield from splat(f"{own}.v", own, width)
    yield from splat("%last", "%columns", width, "i64")
    yield "  br label %row\nrow:\n  %i = phi i64 [0, %entry], [%i.next, %row.end]"
    if sums:
        yield f"  %loss = phi {v} [zeroinitializer, %entry], [%sum, %row.end]"
    yield """  %i.more = icmp slt i64 %i, %rows
  br i1 %i.more, label %begin, label %end
begin:
  %start = mul i64 %i, %stride
  br label %next
next:
  %j = phi i64 [0, %begin], [%j.next, %after]"""
    if sums:
        yield f"  %sum = phi {v} [%loss, %begin], [%sum.next, %after]"
    yield """  %j.more = icmp slt i64 %j, %columns
  br i1 %j.more, label %one, label %row.end
one:
  %o = add i64 %start, %j"""
    yield from body
    yield f"""  %j.next = add i64 %j, {width}
  br label %next
row.end:
  %i.next = add i64 %i, 1
  br label %row
end:"""
    if not sums:
        yield "  ret void\n}"


def load(name: str, at: str, width: int) -> Iterator[str]:
    """Reads a vector at ``%o``."""
    yield f"  {name}.p = getelementptr float, ptr {at}, i64 %o"
    yield f"  {name} = load <{width} x float>, ptr {name}.p, align 4"


def store(value: str, at: str, width: int) -> Iterator[str]:
    """Writes one there."""
    yield f"  {value}.to = getelementptr float, ptr {at}, i64 %o"
    yield f"  store <{width} x float> {value}, ptr {value}.to, align 4"


def activations(width: int) -> Iterator[str]:
    """``@silu(job)`` and so on, where numbers lie, with slopes where these are asked for; and
    ``@times(job)``, one matrix by another."""
    given = ("i64 %rows", "i64 %columns", "ptr %at", "i64 %stride", "ptr %slopes")
    numbers = ("float %a", "float %b", "float %c")
    for name, formula in ACTIVATIONS.items():
        text = Text(width)
        value, slope = formula(*map(text.value, ("%x", "%a.v", "%b.v", "%c.v")))
        middle = len(text.lines)
        steep = slope()
        body = [
            *load("%x", "%at", width), *text.lines[:middle], *store(value.name, "%at", width),
            "  %flat = icmp eq ptr %slopes, null",
            "  br i1 %flat, label %after, label %taught\ntaught:",
            *text.lines[middle:], *store(steep.name, "%slopes", width),
            "  br label %after\nafter:",
        ]  # fmt: skip
        yield from text.declares
        yield from sweep(name, width, (*given, *numbers), iter(body))
    text = Text(width)
    both = text.value("%x") * text.value("%f")
    body = [
        *load("%x", "%at", width), *load("%f", "%of", width), *text.lines,
        *store(both.name, "%at", width), "  br label %after\nafter:",
    ]  # fmt: skip
    yield from sweep("times", width, (*given[:-1], "ptr %of"), iter(body))
