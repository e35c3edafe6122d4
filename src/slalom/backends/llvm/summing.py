"""A sweep that sums up: sixteen elements abreast, each with sums of its own in float64.

LLVM may not change the order of a sum, so it would go one by one.
"""

from __future__ import annotations

from typing import Any

from slalom.backends.llvm.arithmetic import spread
from slalom.backends.llvm.elements import Elements
from slalom.backends.llvm.memory import Arrays, computed_in
from slalom.ir.sweeps import Sweep

LANES = 16
"""Elements that go abreast: as many sums run side by side."""


def abreast(
    sweep: Sweep, arrays: Arrays, *, fma: bool, stochastic: bool
) -> tuple[list[str], list[str]]:
    """The declarations and lines of a loop: :data:`LANES` at once, and then what is left."""
    options: dict[str, Any] = {"fma": fma, "stochastic": stochastic, "aligned": False}
    wide = Elements(sweep, arrays, lanes=LANES, prefix="w", place="%i", **options)
    one = Elements(sweep, arrays, prefix="v", place="%j", **options)
    kind = computed_in(arrays, sweep.rule.shapes)
    doubles = f"<{LANES} x double>"
    spreads = [
        line
        for i in range(len(sweep.scalars))
        for line in spread(kind, f"%s{i}", LANES, f"%s{i}")[0]
    ]
    squares = [total.op == "squares" for total in sweep.sums]
    which = range(len(squares))
    added_wide, added_one, made_one, stored = [], [], [], []
    for k in which:
        added_wide += added(f"%sum{k}", wide.summed[k], squares[k], f"<{LANES} x {kind}>", doubles)
        added_one += added(f"%one{k}", one.summed[k], squares[k], kind, "double")
        made_one += folded(f"%sum{k}")
        stored += [
            f"  %sum{k}.at = getelementptr double, ptr %sums, i64 {k}",
            f"  store double %one{k}, ptr %sum{k}.at",
        ]
    return [*wide.declares, *one.declares], [
        "entry:",
        *spreads,
        "  br label %wide",
        "wide:",
        "  %i = phi i64 [ %begin, %entry ], [ %i.next, %wide.body ]",
        *(
            f"  %sum{k} = phi {doubles} [ zeroinitializer, %entry ], [ %sum{k}.next, %wide.body ]"
            for k in which
        ),
        f"  %i.next = add nuw nsw i64 %i, {LANES}",
        "  %full = icmp sle i64 %i.next, %end",
        "  br i1 %full, label %wide.body, label %rest",
        "wide.body:",
        *wide.lines,
        *added_wide,
        "  br label %wide",
        "rest:",
        *made_one,
        "  br label %each",
        "each:",
        "  %j = phi i64 [ %i, %rest ], [ %j.next, %each.body ]",
        *(
            f"  %one{k} = phi double [ %sum{k}.all, %rest ], [ %one{k}.next, %each.body ]"
            for k in which
        ),
        "  %j.next = add nuw nsw i64 %j, 1",
        "  %some = icmp slt i64 %j, %end",
        "  br i1 %some, label %each.body, label %done",
        "each.body:",
        *one.lines,
        *added_one,
        "  br label %each",
        "done:",
        *stored,
    ]


def valued(own: str, value: str, square: bool, kind: str, double: str) -> tuple[list[str], str]:
    """What is summed up of a value, in double precision: lines, and how they call it."""
    lines = []
    if kind != double:
        lines, value = [f"  {own}.value = fpext {kind} {value} to {double}"], f"{own}.value"
    if square:
        lines.append(f"  {own}.square = fmul {double} {value}, {value}")
        value = f"{own}.square"
    return lines, value


def added(own: str, value: str, square: bool, kind: str, double: str) -> list[str]:
    """A sum with one more value, or its square."""
    lines, value = valued(own, value, square, kind, double)
    return [*lines, f"  {own}.next = fadd {double} {own}, {value}"]


def folded(own: str, width: int = LANES) -> list[str]:
    """The sum of so many lanes, by halves."""
    lines, last = [], own
    while width > 1:
        half, vector = width // 2, f"<{width} x double>"
        for name, begin in (("low", 0), ("high", half)):
            picked = ", ".join(f"i32 {begin + i}" for i in range(half))
            lines.append(
                f"  {own}.{name}{half} = shufflevector {vector} {last}, {vector} poison, "
                f"<{half} x i32> <{picked}>"
            )
        lines.append(f"  {own}.by{half} = fadd <{half} x double> {own}.low{half}, {own}.high{half}")
        last, width = f"{own}.by{half}", half
    return [*lines, f"  {own}.all = extractelement <1 x double> {last}, i32 0"]
