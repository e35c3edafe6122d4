"""Lower a program to LLVM's assembly for a CPU: one loop over the elements."""

from __future__ import annotations

from slalom.backends.llvm.elements import Arrays, Elements, array, computed_in, touched
from slalom.ir.program import Program


def lower(program: Program, arrays: Arrays, *, fma: bool, stochastic: bool = False) -> str:
    """Assembly of ``void update(ptr addresses, ptr row, i64 begin, i64 end)`` for this program.

    ``addresses`` points to the address of each of ``arrays`` in order, which must hold all that
    the program touches and must not overlap; ``row`` points to the doubles of
    :attr:`Program.row`. Elements ``begin`` to ``end`` are updated. Arithmetic is done in the
    widest of the element types, and at least in float; what is stored narrower is rounded once,
    to nearest. ``fma`` says whether the machine has multiply-adds; ``stochastic``, whether bfloats
    are rounded by chance, with the random bits that stand in the row behind its scalars.
    """
    kind, names = computed_in(arrays), [n for n, _ in arrays]
    elements = Elements(program, arrays, fma=fma, stochastic=stochastic)
    places = [names.index(n) for n in touched(program, arrays)]
    given = [f"ptr noalias {array(p)}" for p in places]
    given += [f"{kind} %s{i}" for i in range(len(program.scalars))]
    given += ["i32 %noise", "i64 %begin", "i64 %end"]
    return "\n".join(
        [
            *elements.declares,
            f"define internal void @loop({', '.join(given)}) noinline nounwind {{",
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
            "  ret void",
            "}",
            *_entry(places, kind, len(program.scalars), stochastic),
        ]
    )


def _entry(places: list[int], kind: str, scalars: int, stochastic: bool) -> list[str]:
    lines = ["define void @update(ptr %addresses, ptr %row, i64 %begin, i64 %end) nounwind {"]
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
    arguments.append(f"i32 {noise}")
    call = f"  call void @loop({', '.join(arguments)}, i64 %begin, i64 %end)"
    return [*lines, call, "  ret void", "}", ""]


def narrowed(double: str, kind: str) -> str:
    """The instruction that makes the type of arithmetic of a scalar of a row."""
    if kind == "float":
        return f"fptrunc double {double} to float"
    return f"fadd double {double}, -0.0"  # a copy, to the bit
