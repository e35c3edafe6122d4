"""Kernels whose threads wait for one another: phases, each of which all threads of a block do.

What a phase leaves for the next one lies in memory that a block shares. Nothing else is handed on,
so that a machine without threads can do a phase for one thread after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slalom.backends.cuda.target import THREADS, Target

SPACE = "ptr addrspace(1)"

SHARED = "ptr addrspace(3)"

FEW = 8
"""Threads that add up what all of a block have: in two steps, each of them a few additions."""


def phased(
    arguments: Sequence[str], phases: Sequence[Sequence[str]], target: Target, *,
    shared: str, declares: Sequence[str] = (), texts: Sequence[str] = (), repeats: int = 1,
    then: Sequence[Sequence[str]] = (), until: Sequence[str] = (),
) -> str:  # fmt: skip
    """Assembly of the kernel ``update`` of pointers of these names, which does phase after phase.

    ``shared`` is LLVM's type of ``@shared``. Each phase is the body of a function of the same
    arguments, without its end. All of them are done ``repeats`` times, ``%piece`` being how often
    before, and then those behind them once. Where ``until`` is given, its lines define how often as
    ``%repeats``, at most so often; a machine without threads does them as often as that all the
    same, and they are to do nothing then.
    """
    given = ", ".join(f"{SPACE} %{name}" for name in arguments)
    own = [] if target.own else [f"declare i32 @{n}()" for n in (target.block, target.thread)]
    lines = [
        *dict.fromkeys([*declares, *own, *target.barriers]),
        target.own,
        f"@shared = internal addrspace(3) global {shared} poison, align 16",
        *texts,
    ]
    names = ", ".join(f"{SPACE} %{name}" for name in arguments)
    for k, phase in enumerate([*phases, *then]):
        lines += [
            f"define internal void @part.{k}({given}, i64 %piece) alwaysinline nounwind {{",
            "entry:",
            *phase,
            "  ret void",
            "}",
        ]
    if not target.barrier:  # a machine without threads calls each by itself
        order = [(piece, k) for piece in range(repeats) for k in range(len(phases))]
        order += [(repeats, len(phases) + k) for k in range(len(then))]
        for number, (piece, k) in enumerate(order):
            lines += [
                f"define void @phase.{number}({given}) {{",
                f"  call void @part.{k}({names}, i64 {piece})",
                "  ret void",
                "}",
            ]
        return "\n".join([*lines, "!0 = !{}", target.flags, ""])
    lines += [
        f"define {target.kernel} void @update({given}) {target.attributes} {{",
        "entry:",
        *until,
        "  br label %again",
        "again:",
        "  %piece = phi i64 [ 0, %entry ], [ %piece.next, %again ]",
    ]
    for k in range(len(phases)):
        lines += target.barrier if k else ()
        lines.append(f"  call void @part.{k}({names}, i64 %piece)")
    lines += [
        "  %piece.next = add nuw nsw i64 %piece, 1",
        f"  %more = icmp slt i64 %piece.next, {'%repeats' if until else repeats}",
        # what a single phase leaves is for the same thread
        *(target.barrier if (repeats > 1 and len(phases) > 1) or then else ()),
        "  br i1 %more, label %again, label %done",
        "done:",
    ]
    for k in range(len(then)):
        lines += target.barrier if k else ()
        lines.append(f"  call void @part.{len(phases) + k}({names}, i64 {repeats})")
    lines += ["  ret void", "}"]
    return "\n".join([*lines, "!0 = !{}", target.flags, ""])


def shared_sum(sums: int) -> str:
    """The type of what is shared to add up so many sums, with a word behind them."""
    return f"[{sums * (THREADS + FEW) + 1} x double]"


def own_sum(k: int, value: str) -> Iterator[str]:
    """Put down what this thread has of sum ``k``."""
    yield f"  %own{k}.place = add i64 %thread, {k * THREADS}"
    yield f"  %own{k}.at = getelementptr double, {SHARED} @shared, i64 %own{k}.place"
    yield f"  store double {value}, {SHARED} %own{k}.at"


def few_sum(sums: int, when: str = "true") -> list[str]:
    """The next phase: some threads add up what others have, in order, where ``when`` holds."""
    each = THREADS // FEW
    lines = [
        f"  %first = icmp ult i64 %thread, {FEW}",
        f"  %mine = and i1 %first, {when}",
        "  br i1 %mine, label %add, label %out",
        "add:",
        f"  %from = mul i64 %thread, {each}",
    ]
    for k in range(sums):
        lines += _added(f"few{k}", "%from", k * THREADS, each)
        lines += [
            f"  %few{k}.place = add i64 %thread, {sums * THREADS + k * FEW}",
            f"  %few{k}.to = getelementptr double, {SHARED} @shared, i64 %few{k}.place",
            f"  store double %few{k}, {SHARED} %few{k}.to",
        ]
    return [*lines, "  br label %out", "out:"]


def all_sum(sums: int) -> Iterator[str]:
    """In the phase after that, by one thread: the sums ``%all0`` ... of the whole block."""
    for k in range(sums):
        yield from _added(f"all{k}", "0", sums * THREADS + k * FEW, FEW)


def _added(name: str, begin: str, ahead: int, count: int) -> Iterator[str]:
    """Add up so many shared numbers, one after the other."""
    total = "-0.0"
    for i in range(count):
        own = f"%{name}.{i}"
        yield f"  {own}.place = add i64 {begin}, {ahead + i}"
        yield f"  {own}.at = getelementptr double, {SHARED} @shared, i64 {own}.place"
        yield f"  {own} = load double, {SHARED} {own}.at"
        last = f"%{name}" if i == count - 1 else f"{own}.sum"
        yield f"  {last} = fadd double {total}, {own}"
        total = last


def last_of(sums: int, company: str, counters: str, target: Target) -> Iterator[str]:
    """By one thread: put down whether this block is the last of ``company`` blocks to come here.

    The counter, which is 0 again then, is an i32 at ``counters``; what blocks wrote before is there
    for the last one.
    """
    scope = target.scope  # all memory of the machine would be waited for without
    yield f"  fence{scope} seq_cst"
    yield f"  %before = atomicrmw add {SPACE} {counters}, i32 1{scope} monotonic"
    yield f"  %due = sub i32 {company}, 1"
    yield "  %last = icmp eq i32 %before, %due"
    yield "  %last.double = uitofp i1 %last to double"
    yield f"  %flag.at = getelementptr double, {SHARED} @shared, i64 {sums * (THREADS + FEW)}"
    yield f"  store double %last.double, {SHARED} %flag.at"
    yield "  br i1 %last, label %again, label %out"
    yield "again:"
    yield f"  store i32 0, {SPACE} {counters}"
    yield f"  fence{scope} seq_cst"
    yield "  br label %out"


def is_last(sums: int) -> Iterator[str]:
    """In a later phase: ``%last``, as :func:`last_of` found it."""
    yield f"  %flag.at = getelementptr double, {SHARED} @shared, i64 {sums * (THREADS + FEW)}"
    yield f"  %flag = load double, {SHARED} %flag.at"
    yield "  %last = fcmp one double %flag, 0.0"
