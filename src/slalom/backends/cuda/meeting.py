"""Where all tensors are asked for a number each, and what is made of these goes back to all.

Every kernel that comes before such a crossing is started first, whatever tensors it is for; then
one small kernel, a block for each thing that a company is asked; then those behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from slalom.backends.cuda.phases import FEW, SHARED, SPACE, phased
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.llvm.arithmetic import literal
from slalom.backends.refusals import Unavailable
from slalom.ir.symbol import Symbol


@dataclass(frozen=True, eq=False)
class Asked:
    """What some tensors are asked for by their kernels.

    Attributes:
        crossings: of each what it asks, in order.
        lies: int64 of shape (things asked for, tensors): where the number of each is to be found.
        order: of each tensor its place among all that meet.
        groups: of each tensor its group.
    """

    crossings: Sequence[Sequence[Symbol]]
    lies: np.ndarray
    order: Sequence[int]
    groups: Sequence[Hashable]


class Meeting:
    """The kernels' table of who meets, in the order of their places, whatever code they have.

    Attributes:
        words: int64; where its numbers lie is told from the address at which ``lies`` begins.
        starts: of each crossing how many blocks it takes, and where among the words theirs begin.
    """

    def __init__(self, asked: Sequence[Asked]):
        self.starts: list[tuple[int, int]] = []
        parts: list[np.ndarray] = []
        size = thing = 0
        order = np.concatenate([np.array(a.order, np.int64) for a in asked])
        groups = [group for a in asked for group in a.groups]
        sorted_by = np.argsort(order, kind="stable")
        for crossing in asked[0].crossings:
            blocks: list[tuple[int, np.ndarray]] = []
            for node in crossing:
                lies = np.concatenate([a.lies[thing] for a in asked])
                keys = [group if node.args[2] == "group" else None for group in groups]
                for key in dict.fromkeys(keys):
                    mine = [i for i in sorted_by.tolist() if keys[i] == key]
                    blocks.append((node.args[1] == "highest", lies[mine]))
                thing += 1
            begin = 3 * len(blocks)
            head = np.zeros((len(blocks), 3), np.int64)
            for row, (kind, members) in zip(head, blocks, strict=True):
                row[:] = begin, len(members), kind
                begin += len(members)
            own = [head.ravel(), *(members for _, members in blocks)]
            self.starts.append((len(blocks), size))
            parts += own
            size += sum(map(len, own))
        self.words = np.concatenate(parts) if parts else np.zeros(0, np.int64)


def refuse_apart(meeting: Iterable[tuple[Any, Any]]) -> None:
    """Raise :class:`Unavailable` where tensors of one rule are to meet that are on several GPUs.

    ``meeting`` are rules, and the GPUs of some of their tensors.
    """
    there: dict[Any, Any] = {}
    for rule, gpu in meeting:
        if there.setdefault(rule, gpu) is not gpu:
            raise Unavailable(
                f"{rule.class_name} asks all tensors together, and they are on several GPUs"
            )


def in_turns(
    many: int, before: Callable[[int], None], meet: Callable[[int], None]
) -> None:  # fmt: skip
    """Start all kernels up to each of so many crossings, and what brings them together there."""
    for i in range(many + 1):
        before(i)
        if i < many:
            meet(i)


@cache
def meeting_kernel(target: Target) -> str:
    """Assembly of the kernel ``update(meeting, base)``, a block for each thing asked.

    ``meeting`` points to three words for each block: where among the words, from here on, the
    places of its numbers begin, how many there are, and whether the highest is wanted and not the
    sum. A place counts in bytes from ``base``.
    """
    start = [
        f"  %block = call i32 @{target.block}()",
        f"  %thread.32 = call i32 @{target.thread}()",
        "  %place = zext i32 %block to i64",
        "  %thread = zext i32 %thread.32 to i64",
        "  %head = mul i64 %place, 3",
        *(
            line
            for k, name in enumerate(("begin", "many", "kind"))
            for line in (
                f"  %{name}.place = add i64 %head, {k}",
                f"  %{name}.at = getelementptr i64, {SPACE} %meeting, i64 %{name}.place",
                f"  %{name} = load i64, {SPACE} %{name}.at",
            )
        ),
        "  %high = icmp ne i64 %kind, 0",
        f"  %neutral = select i1 %high, double {literal(-np.inf, 'double')}, double -0.0",
        f"  %base.all = ptrtoint {SPACE} %base to i64",
    ]
    number = [
        "  %m.word = add i64 %begin, %m",
        f"  %m.at = getelementptr i64, {SPACE} %meeting, i64 %m.word",
        f"  %m.behind = load i64, {SPACE} %m.at",
        "  %m.bits = add i64 %base.all, %m.behind",
        f"  %m.to = inttoptr i64 %m.bits to {SPACE}",
    ]
    each = THREADS // FEW
    read = [
        *start,
        "  br label %read",
        "read:",
        "  %m = phi i64 [ %thread, %entry ], [ %m.next, %body ]",
        "  %so.far = phi double [ %neutral, %entry ], [ %so.far.next, %body ]",
        "  %some = icmp slt i64 %m, %many",
        "  br i1 %some, label %body, label %known",
        "body:",
        *number,
        f"  %m.own = load double, {SPACE} %m.to",
        *_joined("so.far.next", "%so.far", "%m.own"),
        f"  %m.next = add i64 %m, {THREADS}",
        "  br label %read",
        "known:",
        *_shared("mine", "%thread"),
        f"  store double %so.far, {SHARED} %mine.at",
    ]
    few = [
        *start,
        f"  %one = icmp ult i64 %thread, {FEW}",
        "  br i1 %one, label %do, label %out",
        "do:",
        f"  %first = mul i64 %thread, {each}",
        *_all("first", each, 1),
        f"  store double %all, {SHARED} %all0.at",
        "  br label %out",
        "out:",
    ]
    last = [
        *start,
        "  %one = icmp eq i64 %thread, 0",
        "  br i1 %one, label %do, label %out",
        "do:",
        "  %first = add i64 0, 0",
        *_all("first", FEW, each),
        f"  store double %all, {SHARED} @shared",
        "  br label %out",
        "out:",
    ]
    write = [
        *start,
        f"  %all = load double, {SHARED} @shared",
        "  br label %write",
        "write:",
        "  %m = phi i64 [ %thread, %entry ], [ %m.next, %body ]",
        "  %some = icmp slt i64 %m, %many",
        "  br i1 %some, label %body, label %done",
        "body:",
        *number,
        f"  store double %all, {SPACE} %m.to",
        f"  %m.next = add i64 %m, {THREADS}",
        "  br label %write",
        "done:",
    ]
    return phased(
        ("meeting", "base"), [read, few, last, write], target, shared=f"[{THREADS} x double]"
    )


def _all(first: str, many: int, apart: int) -> list[str]:
    """``%all`` of so many shared numbers, one after the other; the first is at ``%all0.at``."""
    lines, last = [], "%neutral"
    for k in range(many):
        lines += [
            f"  %all{k}.place = add i64 %{first}, {k * apart}",
            *_shared(f"all{k}", f"%all{k}.place"),
            f"  %all{k}.own = load double, {SHARED} %all{k}.at",
            *_joined("all" if k == many - 1 else f"all{k}", last, f"%all{k}.own"),
        ]
        last = f"%all{k}"
    return lines


def _shared(name: str, place: str) -> list[str]:
    return [f"  %{name}.at = getelementptr double, {SHARED} @shared, i64 {place}"]


def _joined(name: str, a: str, b: str) -> list[str]:
    """The sum of two, or the higher one; NaN stays."""
    return [
        f"  %{name}.sum = fadd double {a}, {b}",
        f"  %{name}.above = fcmp ogt double {a}, {b}",
        f"  %{name}.lost = fcmp uno double {a}, {a}",
        f"  %{name}.first = or i1 %{name}.above, %{name}.lost",
        f"  %{name}.higher = select i1 %{name}.first, double {a}, double {b}",
        f"  %{name} = select i1 %high, double %{name}.higher, double %{name}.sum",
    ]
