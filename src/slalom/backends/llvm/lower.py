"""Lower a program to LLVM's assembly for a CPU: one loop over the elements, or one a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from slalom.backends.llvm.arithmetic import spread
from slalom.backends.llvm.elements import Arrays, Elements, array, computed_in, touched
from slalom.backends.llvm.summaries import Summaries, sweeps_over
from slalom.ir.program import Program
from slalom.ir.sweeps import Sweep

LANES = 16
"""Elements that go abreast where something is summed up: as many sums run side by side."""


def names(program: Program, arrays: Arrays) -> list[str]:
    """The functions that :func:`lower` defines, in the order in which they are called.

    ``update``, or where something is summed up ``before.0``, ``sweep.0``, ``before.1`` ... and
    after the last sweep one more ``before``.
    """
    if not program.sums:
        return ["update"]
    count = len(sweeps_over(program, arrays))
    between = [f"{name}.{k}" for k in range(count) for name in ("before", "sweep")]
    return [*between, f"before.{count}"]


def lower(program: Program, arrays: Arrays, *, fma: bool, stochastic: bool = False) -> str:
    """Assembly of ``void update(ptr addresses, ptr row, i64 begin, i64 end, ptr sums)``.

    ``addresses`` points to the address of each of ``arrays`` in order, which must hold all that
    the program touches and must not overlap; ``row`` points to the doubles of
    :attr:`Program.row`. Elements ``begin`` to ``end`` are updated. Arithmetic is done in the
    widest of the element types, and at least in float; what is stored narrower is rounded once,
    to nearest. ``fma`` says whether the machine has multiply-adds; ``stochastic``, whether bfloats
    are rounded by chance, with the random bits that stand in the row behind its scalars.

    Of a program that sums there is such a function for each sweep, ``sweep.0`` ..., whose row is
    one that the function before it makes (:mod:`slalom.backends.llvm.summaries`) and which writes
    to ``sums`` what it summed up over these elements, in float64 and in an order that hangs on
    their number alone.
    """
    options = {"fma": fma, "stochastic": stochastic}
    if not program.sums:
        declares, lines = _function("update", program.sweeps[0], arrays, **options)
        return _module(declares, lines)
    declares, lines = [], []
    sweeps = sweeps_over(program, arrays)
    summaries = Summaries(program, sweeps, arrays, stochastic)
    for k, sweep in enumerate(sweeps):
        for more, text in (
            summaries.before(k), _function(f"sweep.{k}", sweep, arrays, **options)
        ):  # fmt: skip
            declares += more
            lines += text
    more, text = summaries.after()
    return _module([*declares, *more], [*lines, *text])


def _module(declares: Sequence[str], lines: Sequence[str]) -> str:
    return "\n".join([*dict.fromkeys(declares), *lines, ""])


def _function(
    name: str, sweep: Sweep, arrays: Arrays, *, fma: bool, stochastic: bool
) -> tuple[list[str], list[str]]:
    """A sweep as a function of this name: what it declares, and its lines."""
    kind, order = computed_in(arrays, sweep.rule.shapes), [n for n, _ in arrays]
    places = [order.index(n) for n in touched(sweep, arrays)]
    given = [f"ptr noalias {array(p)}" for p in places]
    given += [f"{kind} %s{i}" for i in range(len(sweep.scalars))]
    given += ["i32 %noise", "i64 %begin", "i64 %end", "ptr noalias %sums"]
    loop = _abreast if sweep.sums else _singly
    declares, lines = loop(sweep, arrays, fma=fma, stochastic=stochastic)
    return declares, [
        f"define internal void @loop.{name}({', '.join(given)}) noinline nounwind {{",
        *lines,
        "  ret void",
        "}",
        *_entry(name, places, kind, len(sweep.scalars), stochastic),
    ]


def _singly(
    sweep: Sweep, arrays: Arrays, *, fma: bool, stochastic: bool
) -> tuple[list[str], list[str]]:
    """One element after another: what goes abreast is for LLVM to say."""
    elements = Elements(sweep, arrays, fma=fma, stochastic=stochastic)
    return elements.declares, [
        "entry:",
        "  %some = icmp slt i64 %begin, %end",
        "  br i1 %some, label %body, label %done",
        "body:",
        "  %i = phi i64 [ %begin, %entry ], [ %next, %body ]",
        *elements.lines,
        "  %next = add nuw nsw i64 %i, 1",
        "  %more = icmp slt i64 %next, %end",
        "  br i1 %more, label %body, label %done",
        "done:",
    ]


def _abreast(
    sweep: Sweep, arrays: Arrays, *, fma: bool, stochastic: bool
) -> tuple[list[str], list[str]]:
    """:data:`LANES` elements at once, each lane with sums of its own, and then what is left.

    LLVM may not change the order of a sum, so it would go one by one.
    """
    options = {"fma": fma, "stochastic": stochastic, "aligned": False}
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
    added_wide, added_one, folded, stored = [], [], [], []
    for k in which:
        added_wide += _added(f"%sum{k}", wide.summed[k], squares[k], f"<{LANES} x {kind}>", doubles)
        added_one += _added(f"%one{k}", one.summed[k], squares[k], kind, "double")
        folded += _folded(f"%sum{k}")
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
        *folded,
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


def _added(own: str, value: str, square: bool, kind: str, double: str) -> list[str]:
    """A sum with one more value, or its square."""
    lines = []
    if kind != double:
        lines, value = [f"  {own}.value = fpext {kind} {value} to {double}"], f"{own}.value"
    if square:
        lines.append(f"  {own}.square = fmul {double} {value}, {value}")
        value = f"{own}.square"
    return [*lines, f"  {own}.next = fadd {double} {own}, {value}"]


def _folded(own: str) -> list[str]:
    """The sum of all lanes, by halves."""
    lines, last, width = [], own, LANES
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


def _entry(name: str, places: list[int], kind: str, scalars: int, stochastic: bool) -> list[str]:
    lines = [
        f"define void @{name}(ptr %addresses, ptr %row, i64 %begin, i64 %end, ptr %sums) "
        "nounwind {"
    ]
    for p in places:
        lines += [
            f"  {array(p)}.at = getelementptr ptr, ptr %addresses, i64 {p}",
            f"  {array(p)} = load ptr, ptr {array(p)}.at",
        ]
    for i in range(scalars):
        lines += [
            f"  %s{i}.at = getelementptr double, ptr %row, i64 {i}",
            f"  %s{i}.double = load double, ptr %s{i}.at",
            f"  %s{i} = {narrowed(f'%s{i}.double', kind)}",
        ]
    arguments = [f"ptr {array(p)}" for p in places] + [f"{kind} %s{i}" for i in range(scalars)]
    noise = "0"
    if stochastic:
        lines += [
            f"  %noise.at = getelementptr double, ptr %row, i64 {scalars}",
            "  %noise.double = load double, ptr %noise.at",
            "  %noise = fptoui double %noise.double to i32",
        ]
        noise = "%noise"
    arguments += [f"i32 {noise}", "i64 %begin", "i64 %end", "ptr %sums"]
    return [*lines, f"  call void @loop.{name}({', '.join(arguments)})", "  ret void", "}"]


def narrowed(double: str, kind: str) -> str:
    """The instruction that makes the type of arithmetic of a scalar of a row."""
    if kind == "float":
        return f"fptrunc double {double} to float"
    return f"fadd double {double}, -0.0"  # a copy, to the bit
