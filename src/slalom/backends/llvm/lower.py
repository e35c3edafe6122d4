"""Lower a program to LLVM's assembly for a CPU: one loop over the elements, or one a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from slalom.backends.llvm.arithmetic import narrowed
from slalom.backends.llvm.blockwise import blockwise
from slalom.backends.llvm.elements import Elements, touched
from slalom.backends.llvm.halts import halts
from slalom.backends.llvm.memory import Arrays, array, coded, computed_in
from slalom.backends.llvm.rows import by_rows
from slalom.backends.llvm.summaries import Summaries, sweeps_over
from slalom.backends.llvm.summing import abreast
from slalom.ir.program import Program
from slalom.ir.sweeps import Sweep


def names(program: Program, arrays: Arrays) -> list[str]:
    """The functions that :func:`lower` defines, in the order in which they are called.

    ``update``, or where something is summed up ``before.0``, ``sweep.0``, ``before.1`` ... and
    after the last sweep one more ``before``; then ``met.0`` ..., one a halt.
    """
    if not program.sums:
        return ["update"]
    sweeps = sweeps_over(program, arrays)
    count = len(sweeps)
    between = [f"{name}.{k}" for k in range(count) for name in ("before", "sweep")]
    return [*between, f"before.{count}", *(f"met.{i}" for i in range(len(halts(program, sweeps))))]


def lower(program: Program, arrays: Arrays, *, fma: bool, stochastic: bool = False) -> str:
    """Assembly of ``void update(ptr addresses, ptr row, i64 begin, i64 end, ptr sums)``.

    ``addresses`` points to the address of each of ``arrays`` in order, which must hold all that
    the program touches and must not overlap; ``row`` points to the doubles of
    :attr:`Program.row`. Elements ``begin`` to ``end`` are updated; where there are codes among
    them, ``begin`` is where a block of these does. Arithmetic is done in the
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
        name = f"sweep.{k}"
        if program.by_rows:
            text = by_rows(name, k, sweep, arrays, summaries.layout, **options)
        else:
            text = _function(name, sweep, arrays, **options)
        for more, own in (summaries.before(k), text):
            declares += more
            lines += own
    met = (summaries.met(i) for i in range(len(summaries.halts)))
    for more, own in (summaries.after(), *met):
        declares += more
        lines += own
    return _module(declares, lines)


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
    codes = coded([*sweep.reads, *sweep.writes], arrays)
    loop = blockwise if codes else abreast if sweep.sums else _singly
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
