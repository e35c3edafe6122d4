"""The norm of all gradients on the GPU, by a launch before the update, which makes the rows too.

Blocks go over the same tables as the update's do. Each leaves the sum of the squares of its
gradients, in double precision; the last block of the last launch adds up all of them in their
order, and makes the rows of the step (:mod:`slalom.backends.cuda.scalars`).
"""

from __future__ import annotations

from collections.abc import Collection

from slalom.backends.cuda.kernel import opening
from slalom.backends.cuda.phases import (
    SHARED,
    SPACE,
    all_sum,
    few_sum,
    is_last,
    last_of,
    own_sum,
    phased,
    shared_sum,
)
from slalom.backends.cuda.scalars import Asked, Head, declared, rows_function
from slalom.backends.cuda.squares import squares_program
from slalom.backends.cuda.sums import walk
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.llvm.memory import Arrays

GIVEN = (
    "segments", "blocks", "rows", "partials", "every", "shared", "slots", "inputs",
)  # fmt: skip
"""The arguments: the tables of :func:`slalom.backends.cuda.kernel.kernel`, where the blocks put
their sums, where those of all launches begin, a word that is 0 and behind it the place of the sum
of all, and the tables of ``rows_kernel``.
"""


def norm_kernel(
    arrays: Arrays, small: Collection[str], wide: int, asked: Asked | None, target: Target
) -> str:  # fmt: skip
    """Assembly of ``update`` of the arguments :data:`GIVEN`.

    ``arrays``, ``small`` and ``wide`` are as :func:`slalom.backends.cuda.kernel.opening` has them.
    The last launch is told what the rows are made of (``asked``), the others None.
    """
    program = squares_program()
    declares, texts, call = walk(program.sweeps[0], arrays, small, (), False)
    start = opening(target, arrays, wide, small)
    one = ["  %one = icmp eq i64 %thread, 0", "  br i1 %one, label %do, label %out", "do:"]
    put = [
        f"  %partial = getelementptr double, {SPACE} %partials, i64 %place",
        f"  store double %all0, {SPACE} %partial",
    ]
    phases = [
        [
            *start,
            f"  %own = getelementptr double, {SPACE} %row, i64 0",
            *call,
        ],  # which has no scalars
        [*start, *few_sum(1)],
        [*start, *one, *all_sum(1), *put, "  br label %out", "out:"],
    ]
    if asked is not None:
        company = [
            f"  %company.at = getelementptr i64, {SPACE} %inputs, i64 {int(Head.BLOCKS)}",
            f"  %company.long = load i64, {SPACE} %company.at",
            "  %company = trunc i64 %company.long to i32",
        ]
        again = [
            "  %first = icmp eq i64 %thread, 0", "  %one = and i1 %first, %last",
            "  br i1 %one, label %do, label %out", "do:",
        ]  # fmt: skip
        phases[2] = [
            *start, *one, *all_sum(1), *put, *company, *last_of(1, "%company", "%shared", target),
            "out:",
        ]  # fmt: skip
        phases += [
            [*start, *is_last(1), *_gather()],
            [*start, *is_last(1), *few_sum(1, "%last")],
            [
                *start, *is_last(1), *again, *all_sum(1),
                f"  store double %all0, {SHARED} @shared",
                f"  %square.to = getelementptr double, {SPACE} %shared, i64 1",
                f"  store double %all0, {SPACE} %square.to", "  br label %out", "out:",
            ],
            [*start, *is_last(1), *_rows()],
        ]  # fmt: skip
        declares, texts = [*declares, *declared(asked)], [*texts, *rows_function(asked)]
    return phased(GIVEN, phases, target, shared=shared_sum(1), declares=declares, texts=texts)


def _gather() -> list[str]:
    """Each thread of the last block adds up what some blocks have left."""
    return [
        f"  %many.at = getelementptr i64, {SPACE} %inputs, i64 {int(Head.PARTS)}",
        f"  %many = load i64, {SPACE} %many.at",
        "  br i1 %last, label %read, label %out",
        "read:",
        "  %p = phi i64 [ %thread, %entry ], [ %p.next, %body ]",
        "  %sum = phi double [ -0.0, %entry ], [ %sum.next, %body ]",
        "  %some = icmp slt i64 %p, %many",
        "  br i1 %some, label %body, label %end.of",
        "body:",
        f"  %p.at = getelementptr double, {SPACE} %every, i64 %p",
        f"  %p.own = load double, {SPACE} %p.at",
        "  %sum.next = fadd double %sum, %p.own",
        f"  %p.next = add i64 %p, {THREADS}",
        "  br label %read",
        "end.of:",
        *own_sum(0, "%sum"),
        "  br label %out",
        "out:",
    ]


def _rows() -> list[str]:
    """Its threads make the rows, one after another."""
    given = f"{SPACE} %slots, {SPACE} %inputs, {SPACE} %rows"
    return [
        f"  %square = load double, {SHARED} @shared",
        f"  %slots.many = load i64, {SPACE} %inputs",
        "  br i1 %last, label %each, label %out",
        "each:",
        "  %s = phi i64 [ %thread, %entry ], [ %s.next, %make ]",
        "  %s.some = icmp slt i64 %s, %slots.many",
        "  br i1 %s.some, label %make, label %out",
        "make:",
        f"  call void @row({given}, i64 %s, double %square)",
        f"  %s.next = add i64 %s, {THREADS}",
        "  br label %each",
        "out:",
    ]
