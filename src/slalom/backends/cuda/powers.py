"""Powers, logarithms and remainders of doubles by arithmetic, as text of LLVM's assembly.

No GPU has them, and LLVM's target for NVIDIA's ends the process where its library is not linked.
Logarithms are found to some 58 bits, so that ``x ** y`` is off by one unit in the last place and
by 2**-57 of ``y log x`` more: by two units where that is below 32. Zeros, infinities, NaN and
signs come out as in C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from slalom.backends.llvm.arithmetic import literal

NAMES = {"pow": "slalom.pow", "log": "slalom.log", "mod": "slalom.mod"}
"""The functions that stand for operations."""

_LN2_HIGH = float.fromhex("0x1.62e42feep-1")
"""The upper 32 bits of log 2: times an exponent of two it is exact."""
_LN2_LOW = 1.90821492927058770002e-10
"""The rest of it."""


def _d(value: float) -> str:
    return literal(value, "double")


def _horner(name: str, at: str, factors: Sequence[float]) -> list[str]:
    """``%name``: a polynomial at a value, the highest power first."""
    lines, last = [], _d(factors[0])
    for k, factor in enumerate(factors[1:], 1):
        own = f"%{name}" if k == len(factors) - 1 else f"%{name}.{k}"
        lines.append(f"  {own} = call double @llvm.fma.f64({_s(last)}, {_s(at)}, {_s(_d(factor))})")
        last = own
    return lines


def _s(value: str) -> str:
    return f"double {value}"


def _logarithm() -> list[str]:
    """``%high`` and ``%low``: the logarithm of ``%a``, a number above 0 that is finite."""
    odd = [2 * float(Fraction(1, 2 * k + 1)) for k in range(12, 0, -1)]
    return [
        "  %tiny = fcmp olt double %a, 0x0010000000000000",
        f"  %raised = fmul double %a, {_d(2.0**54)}",
        "  %normal = select i1 %tiny, double %raised, double %a",
        "  %bits = bitcast double %normal to i64",
        # from the root of 1/2 on the exponent is the next one
        f"  %turned = sub i64 %bits, {0x3FE6A09E667F3BCD}",
        "  %exponent = ashr i64 %turned, 52",
        "  %off = shl i64 %exponent, 52",
        "  %mantissa = sub i64 %bits, %off",
        "  %m = bitcast i64 %mantissa to double",
        "  %lowered = sub i64 %exponent, 54",
        "  %power = select i1 %tiny, i64 %lowered, i64 %exponent",
        "  %e = sitofp i64 %power to double",
        # log m = 2 atanh s of s = f / (2 + f), which is q and a rest
        "  %f = fsub double %m, 1.0",
        "  %t = fadd double %f, 2.0",
        "  %t.less = fsub double %t, 2.0",
        "  %t.rest = fsub double %f, %t.less",
        "  %q = fdiv double %f, %t",
        "  %q.minus = fneg double %q",
        "  %r.first = call double @llvm.fma.f64(double %q.minus, double %t, double %f)",
        "  %r = call double @llvm.fma.f64(double %q.minus, double %t.rest, double %r.first)",
        "  %q.rest = fdiv double %r, %t",
        "  %z = fmul double %q, %q",
        *_horner("p.of", "%z", odd),
        "  %p = fmul double %z, %p.of",
        "  %rest.twice = fmul double %q.rest, 2.0",
        "  %small = call double @llvm.fma.f64(double %q, double %p, double %rest.twice)",
        "  %twice = fmul double %q, 2.0",
        f"  %big = fmul double %e, {_d(_LN2_HIGH)}",
        "  %sum = fadd double %big, %twice",
        "  %sum.less = fsub double %sum, %big",
        "  %sum.back = fsub double %sum, %sum.less",
        "  %lost.one = fsub double %big, %sum.back",
        "  %lost.other = fsub double %twice, %sum.less",
        "  %lost = fadd double %lost.one, %lost.other",
        f"  %beside = call double @llvm.fma.f64(double %e, double {_d(_LN2_LOW)}, double %small)",
        "  %rest = fadd double %lost, %beside",
        "  %high = fadd double %sum, %rest",
        "  %high.less = fsub double %high, %sum",
        "  %low = fsub double %rest, %high.less",
    ]


def _exponential() -> list[str]:
    """``%raised.to``: e to the power of ``%v`` and ``%v.low`` together."""
    factors = [1 / math.factorial(k) for k in range(14, 1, -1)]
    return [
        # beyond these all is infinite, or zero
        f"  %v.most = fcmp ogt double %v, {_d(1000.0)}",
        f"  %v.capped = select i1 %v.most, double {_d(1000.0)}, double %v",
        f"  %v.least = fcmp olt double %v.capped, {_d(-1000.0)}",
        f"  %v.now = select i1 %v.least, double {_d(-1000.0)}, double %v.capped",
        f"  %n.of = fmul double %v.now, {_d(1 / math.log(2))}",
        "  %n = call double @llvm.rint.f64(double %n.of)",
        "  %n.minus = fneg double %n",
        f"  %w.first = call double @llvm.fma.f64(double %n.minus, double {_d(_LN2_HIGH)}, "
        "double %v.now)",
        f"  %w.second = call double @llvm.fma.f64(double %n.minus, double {_d(_LN2_LOW)}, "
        "double %v.low)",
        "  %w = fadd double %w.first, %w.second",
        *_horner("e.of", "%w", factors),
        "  %w.square = fmul double %w, %w",
        "  %e.rest = call double @llvm.fma.f64(double %w.square, double %e.of, double %w)",
        "  %e.near = fadd double %e.rest, 1.0",
        # two to the power of n in two steps, or what is next to nothing would be nothing
        "  %n.whole = fptosi double %n to i64",
        "  %n.half = ashr i64 %n.whole, 1",
        "  %n.other = sub i64 %n.whole, %n.half",
        *(
            line
            for name in ("half", "other")
            for line in (
                f"  %two.{name}.e = add i64 %n.{name}, 1023",
                f"  %two.{name}.bits = shl i64 %two.{name}.e, 52",
                f"  %two.{name} = bitcast i64 %two.{name}.bits to double",
            )
        ),
        "  %e.once = fmul double %e.near, %two.half",
        "  %raised.to = fmul double %e.once, %two.other",
    ]


def functions(operations: Sequence[str]) -> list[str]:
    """The text of these, with declarations; see :data:`NAMES`."""
    inf, nan = _d(math.inf), _d(math.nan)
    texts = {
        "mod": [
            # of the divisor's sign, as Python has it
            "define internal double @slalom.mod(double %x, double %y) alwaysinline nounwind {",
            "  %ratio = fdiv double %x, %y",
            "  %q = call double @llvm.floor.f64(double %ratio)",
            "  %q.minus = fneg double %q",
            "  %r = call double @llvm.fma.f64(double %q.minus, double %y, double %x)",
            "  %r.below = fcmp olt double %r, 0.0",
            "  %y.below = fcmp olt double %y, 0.0",
            "  %r.some = fcmp une double %r, 0.0",
            "  %differ = xor i1 %r.below, %y.below",
            "  %astray = and i1 %differ, %r.some",
            "  %brought = fadd double %r, %y",
            "  %found = select i1 %astray, double %brought, double %r",
            "  ret double %found",
            "}",
        ],
        "log": [
            "define internal double @slalom.log(double %x) nounwind {",
            "  %a = call double @llvm.fabs.f64(double %x)",
            *_logarithm(),
            "  %zero = fcmp oeq double %x, 0.0",
            "  %below = fcmp olt double %x, 0.0",
            f"  %endless = fcmp oeq double %x, {inf}",
            "  %unreal = fcmp uno double %x, %x",
            "  %amiss = or i1 %below, %unreal",
            f"  %one = select i1 %zero, double {_d(-math.inf)}, double %high",
            f"  %two = select i1 %endless, double {inf}, double %one",
            f"  %three = select i1 %amiss, double {nan}, double %two",
            "  ret double %three",
            "}",
        ],
        "pow": [
            "define internal double @slalom.pow(double %x, double %y) nounwind {",
            "  %a.of = call double @llvm.fabs.f64(double %x)",
            # of zero and infinity the logarithm is put in below
            f"  %a.endless = fcmp oeq double %a.of, {inf}",
            "  %a.zero = fcmp oeq double %a.of, 0.0",
            "  %a.special = or i1 %a.endless, %a.zero",
            "  %a = select i1 %a.special, double 1.0, double %a.of",
            *_logarithm(),
            "  %y.size = call double @llvm.fabs.f64(double %y)",
            f"  %y.far = fcmp ogt double %y.size, {_d(2.0**70)}",
            f"  %y.signed = call double @llvm.copysign.f64(double {_d(2.0**70)}, double %y)",
            "  %y.now = select i1 %y.far, double %y.signed, double %y",
            "  %v.of = fmul double %y.now, %high",
            "  %v.minus = fneg double %v.of",
            "  %v.lost = call double @llvm.fma.f64(double %y.now, double %high, double %v.minus)",
            "  %v.low.of = call double @llvm.fma.f64(double %y.now, double %low, double %v.lost)",
            # where all is known to be infinite or zero the lost part may be anything
            "  %v.size = call double @llvm.fabs.f64(double %v.of)",
            f"  %v.far = fcmp ogt double %v.size, {_d(1000.0)}",
            "  %v.low = select i1 %v.far, double 0.0, double %v.low.of",
            "  %v = fadd double %v.of, 0.0",
            *_exponential(),
            "  %y.below = fcmp olt double %y, 0.0",
            f"  %of.zero = select i1 %y.below, double {inf}, double 0.0",
            f"  %of.endless = select i1 %y.below, double 0.0, double {inf}",
            "  %one = select i1 %a.zero, double %of.zero, double %raised.to",
            "  %two = select i1 %a.endless, double %of.endless, double %one",
            # of a negative number whole powers alone are real, and odd ones negative
            "  %y.floor = call double @llvm.floor.f64(double %y)",
            "  %y.whole = fcmp oeq double %y.floor, %y",
            "  %y.half = fmul double %y, 0.5",
            "  %y.half.floor = call double @llvm.floor.f64(double %y.half)",
            "  %y.uneven = fcmp une double %y.half.floor, %y.half",
            "  %y.odd = and i1 %y.whole, %y.uneven",
            "  %x.side = call double @llvm.copysign.f64(double 1.0, double %x)",
            "  %x.below = fcmp olt double %x.side, 0.0",
            "  %turn = and i1 %x.below, %y.odd",
            "  %two.minus = fneg double %two",
            "  %three = select i1 %turn, double %two.minus, double %two",
            "  %y.broken = xor i1 %y.whole, true",
            "  %x.negative = fcmp olt double %x, 0.0",
            "  %x.finite = xor i1 %a.endless, true",
            "  %unreal.one = and i1 %x.negative, %y.broken",
            "  %unreal = and i1 %unreal.one, %x.finite",
            f"  %four = select i1 %unreal, double {nan}, double %three",
            "  %amiss = fcmp uno double %x, %y",
            f"  %five = select i1 %amiss, double {nan}, double %four",
            "  %y.zero = fcmp oeq double %y, 0.0",
            "  %x.one = fcmp oeq double %x, 1.0",
            "  %is.one = or i1 %y.zero, %x.one",
            "  %six = select i1 %is.one, double 1.0, double %five",
            "  ret double %six",
            "}",
        ],
    }
    used = [*dict.fromkeys(operations)]
    return (
        [
            "declare double @llvm.fma.f64(double, double, double)",
            *(f"declare double @llvm.{n}.f64(double)" for n in ("floor", "fabs", "rint")),
            "declare double @llvm.copysign.f64(double, double)",
            *(line for name in used for line in texts[name]),
        ]
        if used
        else []
    )
