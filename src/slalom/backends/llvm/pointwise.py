"""Activations of what lies feature after feature, and their gradients, in LLVM's assembly.

Exponentials, logarithms and tanh are polynomials (the coefficients of Moshier's Cephes library:
expf, logf, tanhf), to about two units in the last place.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

EXP = (
    1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
    5.0000001201e-1,
)  # fmt: skip
LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
TANH = (
    -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1,
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
declare {v} @llvm.fabs.v{width}f32({v})
declare {v} @llvm.copysign.v{width}f32({v}, {v})
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
  %found = fmul {v} %y, %factor
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


def activations(width: int) -> Iterator[str]:
    """``@tanh(job)`` and ``@sigmoid(job)``, where numbers lie; and what their gradients are
    multiplied by, of what came of them: ``@tanh_slope(job)``, ``@relu_slope(job)``, ..."""
    of = Vectors(width)
    v, i1, one = of.v, of.i1, of.of(1.0)
    tanh = f"""  %size = call {v} @llvm.fabs.v{width}f32({v} %x)
  %twice = fmul {v} %size, {of.of(-2.0)}
  %e = call {v} @exp({v} %twice)
  %w = fadd {v} %e, {one}
  %share = fdiv {v} %e, %w
  %lost = fmul {v} %share, {of.of(-2.0)}
  %far = fadd {v} %lost, {one}
  %signed = call {v} @llvm.copysign.v{width}f32({v} %far, {v} %x)
  %xx = fmul {v} %x, %x"""
    near = f"""  %cubed = fmul {v} %xx, %x
  %more = fmul {v} %p, %cubed
  %near = fadd {v} %more, %x
  %small = fcmp olt {v} %size, {of.of(0.625)}
  %y = select {i1} %small, {v} %near, {v} %signed"""
    sigmoid = f"""  %size = call {v} @llvm.fabs.v{width}f32({v} %x)
  %minus = fneg {v} %size
  %e = call {v} @exp({v} %minus)
  %w = fadd {v} %e, {one}
  %below = fcmp olt {v} %x, zeroinitializer
  %top = select {i1} %below, {v} %e, {v} {one}
  %y = fdiv {v} %top, %w"""
    bodies: dict[str, list[str]] = {
        "tanh": [tanh, *of.polynomial("%p", "%xx", TANH), near], "sigmoid": [sigmoid],
        "relu_slope": [f"""  %none = fcmp ole {v} %h, zeroinitializer
  %y = select {i1} %none, {v} zeroinitializer, {v} %x"""],
        "tanh_slope": [f"""  %hh = fmul {v} %h, %h
  %slope = fsub {v} {one}, %hh
  %y = fmul {v} %x, %slope"""],
        "sigmoid_slope": [f"""  %other = fsub {v} {one}, %h
  %slope = fmul {v} %h, %other
  %y = fmul {v} %x, %slope"""],
    }  # fmt: skip
    for name, body in bodies.items():
        yield f"define internal void @{name}(ptr %job) #0 {{"
        yield "entry:"
        yield from fields("i64 %rows", "i64 %columns", "ptr %at", "i64 %stride", "ptr %of")
        yield """  br label %row
row:
  %i = phi i64 [0, %entry], [%i.next, %row.end]
  %i.more = icmp slt i64 %i, %rows
  br i1 %i.more, label %begin, label %end
begin:
  %start = mul i64 %i, %stride
  br label %next
next:
  %j = phi i64 [0, %begin], [%j.next, %one]
  %j.more = icmp slt i64 %j, %columns
  br i1 %j.more, label %one, label %row.end
one:
  %o = add i64 %start, %j
  %x.p = getelementptr float, ptr %at, i64 %o"""
        yield f"  %x = load {v}, ptr %x.p, align 4"
        if name.endswith("slope"):
            yield "  %h.p = getelementptr float, ptr %of, i64 %o"
            yield f"  %h = load {v}, ptr %h.p, align 4"
        yield from body
        yield f"""  store {v} %y, ptr %x.p, align 4
  %j.next = add i64 %j, {width}
  br label %next
row.end:
  %i.next = add i64 %i, 1
  br label %row
end:
  ret void
}}"""
