"""A program as a kernel: one launch updates the tensors of a whole table.

The update of an element is what a CPU runs (:mod:`slalom.backends.llvm.elements`). A block of
threads takes :data:`CHUNK` neighbouring elements of one tensor; a thread takes as many at once as
fill a load of 16 bytes, and what is left over or lies crooked one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from slalom.backends.base import BEFORE
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.llvm.arithmetic import literal, narrowed, spread
from slalom.backends.llvm.elements import Elements
from slalom.backends.llvm.memory import SIZES, Arrays, array, computed_in
from slalom.ir.program import Program
from slalom.ir.sweeps import Sweep
from slalom.ir.symbol import Symbol

CHUNK = 4096
"""Elements that one block updates."""

AHEAD = 2
"""Words of a segment before its addresses: how many elements it has, and its row."""

_SPACE = "ptr addrspace(1)"

ADDRESSES = (
    f"  %table = addrspacecast {_SPACE} %segments to ptr",
    f"  %addresses.place = add i64 %segment, {AHEAD}",
    "  %addresses = getelementptr i64, ptr %table, i64 %addresses.place",
    f"  %scalars.there = getelementptr double, {_SPACE} %row, i64 {BEFORE}",
    f"  %scalars = addrspacecast {_SPACE} %scalars.there to ptr",
    f"  %own.here = addrspacecast {_SPACE} %own to ptr",
)
"""What code between sweeps is handed, as it is called on the CPU too: addresses of any memory."""


def lanes(arrays: Arrays, small: Collection[str] = ()) -> int:
    """Elements that a thread takes at once: 16 bytes of the widest array but the ``small`` ones."""
    return 16 // max(SIZES[kind] for name, kind in arrays if name not in small)


def width(programs: Sequence[Program]) -> int:
    """Doubles in a row that serves whichever of these programs."""
    return BEFORE + max(len(p.scalars) for p in programs)


def kernel(
    programs: Sequence[Program], arrays: Arrays, target: Target, *, stochastic: bool = False,
    chosen: bool = False,
) -> str:  # fmt: skip
    """Assembly of the kernel ``update(segments, blocks, rows)`` for a target.

    ``blocks`` points to one int64 a block of threads: the number of its segment in the upper half,
    that of its :data:`CHUNK` elements in the lower. ``segments`` points to words of 64 bits: for
    each tensor how many elements it has, the number of its row, and the address of each of
    ``arrays`` in order, which must hold all that the programs touch and must not overlap. ``rows``
    points to rows of :func:`width` doubles. Arithmetic is that of
    :func:`slalom.backends.llvm.lower.lower`. Where there are several programs, or ``chosen`` says
    so, a row says which of them serves; below 0 none does.
    """
    parts = [_walk(k, p, arrays, stochastic) for k, p in enumerate(programs)]
    lines = [
        f"define {target.kernel} void @update({_SPACE} noalias readonly %segments, "
        f"{_SPACE} noalias readonly %blocks, {_SPACE} noalias readonly %rows) "
        f"{target.attributes} {{",
        *opening(target, arrays, width(programs)),
    ]
    arguments = ", ".join(
        [f"{_SPACE} {array(p)}" for p in range(len(arrays))]
        + [f"{_SPACE} %row", "i64 %begin", "i64 %end", "i1 %straight", "i64 %thread"]
    )
    if chosen or len(programs) > 1:
        lines += [
            *word("which.double", "%row", "double", "0"),
            "  %which = fptosi double %which.double to i32",
            "  switch i32 %which, label %done ["
            + " ".join(f"i32 {k}, label %serve.{k}" for k in range(len(programs)))
            + "]",
        ]
        for k in range(len(programs)):
            lines += [f"serve.{k}:", f"  call void @walk.{k}({arguments})", "  br label %done"]
        lines.append("done:")
    else:
        lines.append(f"  call void @walk.0({arguments})")
    lines += ["  ret void", "}"]
    declares = dict.fromkeys(d for _, of_part in parts for d in of_part)
    own = [] if target.own else [f"declare i32 @{n}()" for n in (target.block, target.thread)]
    texts = ["\n".join(text) for text, _ in parts]
    return "\n".join([*declares, *own, target.own, *texts, *lines, "!0 = !{}", target.flags, ""])


def opening(
    target: Target, arrays: Arrays, wide: int, small: Collection[str] = (), way: int | None = None
) -> list[str]:  # fmt: skip
    """Lines by which a thread finds its share, from ``begin`` to ``end``, and all that it needs.

    ``wide`` is how many doubles a row has; ``small`` are the arrays that are no elements. Where
    ``way`` is given, the share is empty but in rows that name this program; ``%serves`` says so.
    """
    lines = [
        f"  %block = call i32 @{target.block}()",
        f"  %thread.32 = call i32 @{target.thread}()",
        "  %thread = zext i32 %thread.32 to i64",
        "  %place = zext i32 %block to i64",
        *word("chunk.of", "%blocks", "i64", "%place"),
        "  %number = lshr i64 %chunk.of, 32",
        "  %chunk = and i64 %chunk.of, 4294967295",
        f"  %begin = mul i64 %chunk, {CHUNK}",
        f"  %segment = mul i64 %number, {AHEAD + len(arrays)}",
        *word("numel", "%segments", "i64", "%segment"),
        "  %segment.row = add i64 %segment, 1",
        *word("row.number", "%segments", "i64", "%segment.row"),
        f"  %row.first = mul i64 %row.number, {wide}",
        f"  %row = getelementptr double, {_SPACE} %rows, i64 %row.first",
    ]
    # Each array's own size divides 16: what all need is asked of all at once.
    crooked, many = "0", lanes(arrays, small)
    for place, (name, kind) in enumerate(arrays):
        own = array(place)
        lines += [
            f"  {own}.place = add i64 %segment, {AHEAD + place}",
            *word(f"{own[1:]}.bits", "%segments", "i64", f"{own}.place"),
            f"  {own} = inttoptr i64 {own}.bits to {_SPACE}",
        ]
        if name not in small:
            lines += [
                f"  {own}.lies = and i64 {own}.bits, {SIZES[kind] * many - 1}",
                f"  %off.{place} = or i64 {crooked}, {own}.lies",
            ]
            crooked = f"%off.{place}"
    return [
        *lines,
        f"  %straight = icmp eq i64 {crooked}, 0",
        f"  %all = add i64 %begin, {CHUNK}",
        "  %over = icmp sgt i64 %all, %numel",
        *(
            ("  %end = select i1 %over, i64 %numel, i64 %all",)
            if way is None
            else (
                "  %end.served = select i1 %over, i64 %numel, i64 %all",
                *serves(way),
                "  %end = select i1 %serves, i64 %end.served, i64 %begin",
            )
        ),
    ]


def serves(way: int) -> list[str]:
    """``%serves``: whether the row names the program of this number."""
    found = word("which.double", "%row", "double", "0")
    return [*found, f"  %serves = fcmp oeq double %which.double, {literal(way, 'double')}"]


def word(name: str, base: str, kind: str, place: str) -> list[str]:
    """Load what no kernel changes that reads it."""
    return [
        f"  %{name}.at = getelementptr {kind}, {_SPACE} {base}, i64 {place}",
        f"  %{name} = load {kind}, {_SPACE} %{name}.at, !invariant.load !0",
    ]


def found(
    sweep: Sweep, known: Sequence[Symbol], kind: str, many: int, stochastic: bool
) -> list[str]:  # fmt: skip
    """The scalars of a sweep, and the random bits.

    Those that are ``known`` stand in the row, others among a segment's own numbers.
    """
    lines, places = [], {id(s): BEFORE + i for i, s in enumerate(known)}
    for i, scalar in enumerate(sweep.scalars):
        if scalar.is_known:
            lines += word(f"s{i}.double", "%row", "double", str(places[id(scalar)]))
        else:
            lines += [
                f"  %s{i}.from = getelementptr double, {_SPACE} %own, i64 {i}",
                f"  %s{i}.double = load double, {_SPACE} %s{i}.from",
            ]
        lines.append(f"  %s{i} = {narrowed(f'%s{i}.double', kind)}")
        lines += spread(kind, f"%s{i}", many, f"%s{i}")[0] if many > 1 else ()
    if stochastic:
        lines += word("noise.double", "%row", "double", "1")
        lines.append("  %noise = fptoui double %noise.double to i32")
    return lines


def _walk(
    number: int, program: Program, arrays: Arrays, stochastic: bool
) -> tuple[list[str], list[str]]:
    """The function by which a thread updates its share of ``begin`` to ``end``; its declarations.

    Whole vectors first, where the arrays lie straight, and then one by one.
    """
    kind, many = computed_in(arrays), lanes(arrays)
    common = {"fma": True, "stochastic": stochastic, "pointer": _SPACE}
    wide = Elements(program.sweeps[0], arrays, lanes=many, prefix="w", place="%i", **common)
    one = Elements(program.sweeps[0], arrays, prefix="v", place="%j", **common)
    given = [f"{_SPACE} {array(p)}" for p in range(len(arrays))]
    given += [f"{_SPACE} %row", "i64 %begin", "i64 %end", "i1 %straight", "i64 %thread"]
    lines = [
        f"define internal void @walk.{number}({', '.join(given)}) alwaysinline nounwind {{",
        "entry:",
    ]
    lines += [
        *found(program.sweeps[0], program.scalars, kind, many, stochastic),
        "  %length = sub i64 %end, %begin",
        f"  %whole = and i64 %length, {-many}",
        "  %in.vectors = select i1 %straight, i64 %whole, i64 0",
        "  %rest = add i64 %begin, %in.vectors",
        f"  %ahead = mul i64 %thread, {many}",
        "  %i.first = add i64 %begin, %ahead",
        "  %i.some = icmp slt i64 %i.first, %rest",
        "  br i1 %i.some, label %vectors, label %singly",
        "vectors:",
        "  %i = phi i64 [ %i.first, %entry ], [ %i.next, %vectors ]",
        *wide.lines,
        f"  %i.next = add nuw nsw i64 %i, {many * THREADS}",
        "  %i.more = icmp slt i64 %i.next, %rest",
        "  br i1 %i.more, label %vectors, label %singly",
        "singly:",
        "  %j.first = add i64 %rest, %thread",
        "  %j.some = icmp slt i64 %j.first, %end",
        "  br i1 %j.some, label %each, label %done",
        "each:",
        "  %j = phi i64 [ %j.first, %singly ], [ %j.next, %each ]",
        *one.lines,
        f"  %j.next = add nuw nsw i64 %j, {THREADS}",
        "  %j.more = icmp slt i64 %j.next, %end",
        "  br i1 %j.more, label %each, label %done",
        "done:",
        "  ret void",
        "}",
    ]
    return lines, [*wide.declares, *one.declares]
