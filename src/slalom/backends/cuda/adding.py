"""How blocks of threads add up what all of them have: the phases of a kernel that does.

Each thread has put down its own (:func:`slalom.backends.cuda.phases.own_sum`). A block adds up its
threads, the last block of a company (a counter tells) all of its blocks, in an order that hangs on
their number alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slalom.backends.cuda.phases import (
    SPACE,
    all_sum,
    few_sum,
    is_last,
    last_of,
    own_sum,
)
from slalom.backends.cuda.target import THREADS, Target

COMPANY = ("partial", "every", "many", "counter")
"""The names that lines before these phases define: where this block's sums go, where those of the
first one of its company lie and how many it has (i64), and an i32 of its own that is 0."""


def added_up(
    sums: int, start: Sequence[str], finish: Sequence[str], target: Target
) -> list[list[str]]:
    """The phases that add up so many sums.

    ``start`` are lines that each of them begins with: they define ``%thread`` and the names of
    :data:`COMPANY`. ``finish`` is done by one thread at the end, with the sums ``%all0`` ...; it
    goes on to a label ``out``.
    """
    one = ["  %one = icmp eq i64 %thread, 0", "  br i1 %one, label %do, label %out", "do:"]
    put = [
        line for n in range(sums) for line in (
            f"  %partial{n} = getelementptr double, {SPACE} %partial, i64 {n}",
            f"  store double %all{n}, {SPACE} %partial{n}",
        )
    ]  # fmt: skip
    again = [
        "  %first = icmp eq i64 %thread, 0", "  %one = and i1 %first, %last",
        "  br i1 %one, label %do, label %out", "do:",
    ]  # fmt: skip
    return [
        [*start, *few_sum(sums)],
        [
            *start, *one, *all_sum(sums), *put, "  %many.32 = trunc i64 %many to i32",
            *last_of(sums, "%many.32", "%counter", target), "out:",
        ],
        [*start, *is_last(sums), *_gather(sums)],
        [*start, *is_last(sums), *few_sum(sums, "%last")],
        [*start, *is_last(sums), *again, *all_sum(sums), *finish],
    ]  # fmt: skip


def _gather(sums: int) -> Iterator[str]:
    """Of the last block each thread adds up what some blocks have."""
    yield "  br i1 %last, label %read, label %out"
    yield "read:"
    yield "  %p = phi i64 [ %thread, %entry ], [ %p.next, %body ]"
    for n in range(sums):
        yield f"  %sum{n} = phi double [ -0.0, %entry ], [ %sum{n}.next, %body ]"
    yield "  %some = icmp ult i64 %p, %many"
    yield "  br i1 %some, label %body, label %end.of"
    yield "body:"
    yield f"  %p.first = mul i64 %p, {sums}"
    for n in range(sums):
        yield f"  %p.at{n} = add i64 %p.first, {n}"
        yield f"  %p.to{n} = getelementptr double, {SPACE} %every, i64 %p.at{n}"
        yield f"  %p.own{n} = load double, {SPACE} %p.to{n}"
        yield f"  %sum{n}.next = fadd double %sum{n}, %p.own{n}"
    yield f"  %p.next = add i64 %p, {THREADS}"
    yield "  br label %read"
    yield "end.of:"
    for n in range(sums):
        yield from own_sum(n, f"%sum{n}")
    yield "  br label %out"
    yield "out:"
