"""Programs that sum over whole tensors, as kernels: one a sweep, and one before the first.

A thread adds up what it sees in float64, a block its threads and the last block of a tensor all of
its blocks, each in an order of their own: so no bit hangs on who is when at work. That block then
does what comes before the next sweep (:mod:`slalom.backends.llvm.summaries`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
import torch

from slalom.backends.cuda.adding import added_up
from slalom.backends.cuda.codes import PIECES, Codes, scales_of
from slalom.backends.cuda.kernel import (
    ADDRESSES,
    AHEAD,
    CHUNK,
    found,
    lanes,
    opening,
    serves,
    width,
    word,
)
from slalom.backends.cuda.phases import SPACE, own_sum, phased, shared_sum
from slalom.backends.cuda.room import Room, asked_at, blocks_of
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.llvm.elements import Elements
from slalom.backends.llvm.memory import Arrays, array, coded, computed_in
from slalom.backends.llvm.summaries import Place, Summaries, sweeps_over
from slalom.backends.llvm.summing import added
from slalom.backends.refusals import MATRICES, TOGETHER
from slalom.ir.program import Program
from slalom.ir.sweeps import Sweep
from slalom.ir.symbol import Symbol

GIVEN = ("segments", "blocks", "rows", "owns", "partials", "counters")
"""The arguments: the tables of :func:`slalom.backends.cuda.kernel.kernel`, of each segment the
numbers of its own, of each block its sums, of each segment an i32 that is 0."""


def refused(program: Program) -> str | None:
    """Why there are no kernels of a program; None where there are."""
    both = program.crossings and program.by_rows
    beyond = {MATRICES: program.multiplies, TOGETHER: both}
    return next((why for why, is_so in beyond.items() if is_so), None)


class SumKernels:
    """The kernels of a program that sums over whole tensors.

    Attributes:
        texts: of each its assembly, in the order in which they are started.
        grids: of each what it is started on: ``chunks``, or a block for each of ``segments``.
        turns: of each how many crossings come before it.
        crossings: what is asked at each. Beside the counters each segment has a number for all of
            these, where it puts what it is asked for, and finds what became of that.

    ``wide`` and ``way`` are as in :func:`slalom.backends.cuda.kernel.opening`.
    """

    def __init__(
        self, program: Program, arrays: Arrays, target: Target, stochastic: bool,
        wide: int | None = None, way: int | None = None,
    ):  # fmt: skip
        self._program, self._arrays, self._target = program, arrays, target
        self._wide, self._way = wide or width([program]), way
        self._stochastic = stochastic
        self._small = {*program.rule.shapes, *scales_of(arrays)}
        self._sweeps = sweeps_over(program, arrays)
        self._summaries = Summaries(program, self._sweeps, arrays, False)
        layout, self._halts = self._summaries.layout, self._summaries.halts
        self.crossings = [list(halt.asked) for halt in self._halts]
        self._base, self._told = layout.base, layout.numbers
        self._numbers = layout.numbers + bool(self.crossings)
        self.texts: list[str] = []
        self.grids: list[str] = []
        self.turns: list[int] = []
        self._made()

    def _made(self) -> None:
        count, met = len(self._sweeps), 0
        for k in range(count + 1):
            turns = self._turns(k)
            before = self._sweeps[k - 1] if k else None
            in_sweep = before is not None and bool(before.sums)
            if before is not None:
                self._add("chunks", self._sweep(k - 1, turns[0] if in_sweep else []), met)
            for turn in turns[in_sweep:]:
                met += any(name.startswith("told") for name in turn)
                if turn:
                    self._add("segments", self._one(turn), met)

    def _add(self, grid: str, text: str, turn: int) -> None:
        self.texts.append(text)
        self.grids.append(grid)
        self.turns.append(turn)

    def _turns(self, k: int) -> list[list[str]]:
        """What is done before sweep ``k``: a list more for each crossing there."""
        count, turns = len(self._sweeps), [[]]
        for i, halt in enumerate(self._halts):
            if halt.before == k:
                turns[-1].append(f"met.{i}")
                turns.append([f"told.{i}"])
        ends = not any(halt.before == count for halt in self._halts)
        last = k == count - 1 and not self._sweeps[k].sums and ends
        scalars = self._sweeps[k].scalars if k < count else []
        if k < count and (k or not all(s.is_known for s in scalars) or (last and count == 1)):
            turns[-1].append(f"before.{k}")
        if last or (k == count and not (ends and not self._sweeps[-1].sums)):
            turns[-1].append(f"before.{count}")
        return turns

    def room(self, shapes: Sequence[torch.Size]) -> Room:
        """What segments of these shapes have of their own, and share."""
        own, base = np.zeros((len(shapes), self._numbers)), self._base
        words = own.view(np.int64)
        heights = [math.prod(shape[:1]) for shape in shapes]
        widths = [math.prod(shape[1:]) for shape in shapes]
        sizes = [shape.numel() for shape in shapes]
        named = ((Place.ELEMENTS, sizes), (Place.ROWS, heights), (Place.COLUMNS, widths))
        for place, value in named:
            own[:, base + place] = np.maximum(value, 1)  # as means divide by it
        words[:, base + Place.HEIGHT], words[:, base + Place.WIDTH] = heights, widths
        chunks = blocks_of(sizes, 1)
        things = 8 * sum(map(len, self.crossings))
        words[:, self._told :] = asked_at(len(shapes)) + things * np.arange(len(shapes))[:, None]
        most = max(len(s.sums) for s in self._sweeps)
        return Room(own, {"chunks": chunks}, 8 * most * len(chunks))

    def _between(self, names: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
        """What is done by one thread: declarations, functions, and lines that call them."""
        declares, texts, calls = [], [], [*ADDRESSES]
        if self.crossings:
            calls += [
                *word("asked.place", "%own", "i64", str(self._told)),
                f"  %asked = getelementptr i8, {SPACE} %counters, i64 %asked.place",
            ]
        for name in names:
            kind, _, i = name.partition(".")
            if kind == "told":
                calls += self._copies(int(i), True)
                continue
            of = {"before": self._summaries.before, "met": self._summaries.met}[kind]
            ended = kind == "before" and int(i) == len(self._sweeps)
            more, lines = self._summaries.after() if ended else of(int(i))
            declares += more
            # inlined, since AMD's code would call them
            texts += [
                line.replace("define void", "define internal void").replace(
                    "nounwind {", "alwaysinline nounwind {"
                )
                for line in lines
            ]
            calls.append(f"  call void @{name}(ptr %addresses, ptr %scalars, ptr %own.here)")
            if kind == "met":
                calls += self._copies(int(i), False)
        return declares, texts, calls

    def _copies(self, i: int, told: bool) -> list[str]:
        """Bring numbers from a segment's own to where crossing ``i`` looks for them, or back."""
        first, lines = sum(map(len, self.crossings[:i])), []
        for n, node in enumerate(self.crossings[i], first):
            own = f"%copy{n}{'.told' * told}"
            places = [("own", self._summaries.layout.of_sum(node)), ("asked", n)]
            (a, at_a), (b, at_b) = places[::-1] if told else places
            lines += [
                f"  {own}.from = getelementptr double, {SPACE} %{a}, i64 {at_a}",
                f"  {own} = load double, {SPACE} {own}.from",
                f"  {own}.to = getelementptr double, {SPACE} %{b}, i64 {at_b}",
                f"  store double {own}, {SPACE} {own}.to",
            ]
        return lines

    def _opening(self) -> list[str]:
        return [
            *opening(self._target, self._arrays, self._wide, self._small, self._way),
            f"  %own.first = mul i64 %number, {self._numbers}",
            f"  %own = getelementptr double, {SPACE} %owns, i64 %own.first",
        ]

    def _one(self, names: Sequence[str]) -> str:
        """A block for each segment, of which one thread does this."""
        declares, texts, calls = self._between(names)
        words = AHEAD + len(self._arrays)
        lines = [
            f"  %block = call i32 @{self._target.block}()",
            f"  %thread = call i32 @{self._target.thread}()",
            "  %number = zext i32 %block to i64",
            f"  %segment = mul i64 %number, {words}",
            "  %segment.row = add i64 %segment, 1",
            *word("row.number", "%segments", "i64", "%segment.row"),
            f"  %row.first = mul i64 %row.number, {self._wide}",
            f"  %row = getelementptr double, {SPACE} %rows, i64 %row.first",
            f"  %own.first = mul i64 %number, {self._numbers}",
            f"  %own = getelementptr double, {SPACE} %owns, i64 %own.first",
            "  %one = icmp eq i32 %thread, 0",
            "  br i1 %one, label %do, label %out",
            "do:",
            *(() if self._way is None else serves(self._way)),
            *self._if_served(),
            *calls,
            "  br label %out",
            "out:",
        ]
        return phased(
            GIVEN, [lines], self._target, shared="[1 x double]", declares=declares, texts=texts
        )

    def _sweep(self, k: int, names: Sequence[str]) -> str:
        """A sweep, and what the last block of a segment does when all is summed up."""
        sweep = self._sweeps[k]
        sums, first = len(sweep.sums), self._summaries.layout.firsts[k]
        declares, texts, then, start = [], [], [], self._opening()
        if sums:
            declares, texts, calls = self._between(names)
            finish = [
                *(line for n in range(sums) for line in (
                    f"  %to{n} = getelementptr double, {SPACE} %own, i64 {first + n}",
                    f"  store double %all{n}, {SPACE} %to{n}",
                )),
                *self._if_served(), *calls, "  br label %out", "out:",
            ]  # fmt: skip
            then = added_up(sums, [*start, *_company(sums)], finish, self._target)
        if coded([*sweep.reads, *sweep.writes], self._arrays):
            codes = Codes(sweep, self._program.scalars, self._arrays, self._small, self._stochastic)
            phases, shared, repeats = codes.phases(start), codes.shared, PIECES
            declares += codes.declares
        else:
            more, function, call = walk(
                sweep, self._arrays, self._small, self._program.scalars, self._stochastic
            )
            declares, texts = [*more, *declares], [*function, *texts]
            phases, shared, repeats = [[*start, *call]], shared_sum(sums), 1
        return phased(
            GIVEN, phases, self._target, shared=shared, declares=declares, texts=texts,
            repeats=repeats, then=then,
        )  # fmt: skip

    def _if_served(self) -> list[str]:
        """Go on, or to ``out`` where the row names another program."""
        if self._way is None:
            return []
        return ["  br i1 %serves, label %served, label %out", "served:"]


def _company(sums: int) -> list[str]:
    """See :data:`slalom.backends.cuda.adding.COMPANY`: the blocks of a segment, one at least."""
    return [
        f"  %partial.first = mul i64 %place, {sums}",
        f"  %partial = getelementptr double, {SPACE} %partials, i64 %partial.first",
        "  %first.block = sub i64 %place, %chunk",
        f"  %every.first = mul i64 %first.block, {sums}",
        f"  %every = getelementptr double, {SPACE} %partials, i64 %every.first",
        f"  %up = add i64 %numel, {CHUNK - 1}",
        f"  %full.blocks = udiv i64 %up, {CHUNK}",
        "  %none = icmp eq i64 %full.blocks, 0",
        "  %many = select i1 %none, i64 1, i64 %full.blocks",
        f"  %counter = getelementptr i32, {SPACE} %counters, i64 %number",
    ]


def walk(
    sweep: Sweep, arrays: Arrays, small: Collection[str], scalars: Sequence[Symbol],
    stochastic: bool,
) -> tuple[list[str], list[str], list[str]]:  # fmt: skip
    """How a thread goes over its share: declarations, a function, and the lines that call it.

    ``small`` are the arrays that are no elements, ``scalars`` those that stand in the row.

    Which elements it sees, in which order, hangs on nothing but their number: where arrays lie
    crooked they are loaded one by one in the same order.
    """
    kind, many = computed_in(arrays, small), lanes(arrays, small)
    common = {"fma": True, "stochastic": stochastic, "pointer": SPACE}
    texts = {
        "straight": Elements(sweep, arrays, lanes=many, prefix="w", place="%straight.at", **common),
        "crooked": Elements(
            sweep, arrays, lanes=many, aligned=False, prefix="u", place="%crooked.at", **common
        ),
        "single": Elements(sweep, arrays, prefix="v", place="%j", **common),
    }
    used = [a for a in range(len(arrays)) if arrays[a][0] not in small]
    given = [f"{SPACE} {array(p)}" for p in used]
    given += [f"{SPACE} %row", f"{SPACE} %own", "i64 %begin", "i64 %end", "i1 %straight.all"]
    given += ["i64 %thread"]
    sums = range(len(sweep.sums))
    squares = [total.op == "squares" for total in sweep.sums]
    doubles = f"<{many} x double>" if many > 1 else "double"
    vector = f"<{many} x {kind}>" if many > 1 else kind
    zero = "zeroinitializer" if many > 1 else "0.0"
    lines = [
        f"define internal void @walk({', '.join(given)}) alwaysinline nounwind {{",
        "entry:",
    ]
    lines += found(sweep, scalars, kind, many, stochastic)
    lines += [
        f"  %ahead = mul i64 %thread, {many}",
        "  %i.first = add i64 %begin, %ahead",
        "  br i1 %straight.all, label %straight, label %crooked",
    ]
    # two loops, or LLVM would take the loads of both ways for one that lies crooked
    for name in ("straight", "crooked"):
        own = f"%{name}"
        lines += [
            f"{name}:",
            f"  {own}.at = phi i64 [ %i.first, %entry ], [ {own}.next, {own}.do ]",
            *(
                f"  {own}{n} = phi {doubles} [ {zero}, %entry ], [ {own}{n}.next, {own}.do ]"
                for n in sums
            ),
            f"  {own}.end = add nuw nsw i64 {own}.at, {many}",
            f"  {own}.next = add nuw nsw i64 {own}.at, {many * THREADS}",
            f"  {own}.full = icmp sle i64 {own}.end, %end",
            f"  br i1 {own}.full, label {own}.do, label %rest",
            f"{name}.do:",
            *texts[name].lines,
        ]
        for n in sums:
            lines += added(f"{own}{n}", texts[name].summed[n], squares[n], vector, doubles)
        lines.append(f"  br label %{name}")
    lines += [
        "rest:",
        "  %i = phi i64 [ %straight.at, %straight ], [ %crooked.at, %crooked ]",
        *(
            f"  %sum{n} = phi {doubles} [ %straight{n}, %straight ], [ %crooked{n}, %crooked ]"
            for n in sums
        ),
    ]
    for n in sums:
        last = f"%sum{n}" if many == 1 else ""
        for lane in range(many if many > 1 else 0):
            lines.append(f"  %fold{n}.{lane} = extractelement {doubles} %sum{n}, i32 {lane}")
            if lane:
                lines.append(f"  %fold{n}.to{lane} = fadd double {last}, %fold{n}.{lane}")
            last = f"%fold{n}.to{lane}" if lane else f"%fold{n}.0"
        lines.append(f"  %folded{n} = fadd double {last}, -0.0")
    lines += [
        "  br label %each",
        "each:",
        "  %j = phi i64 [ %i, %rest ], [ %j.next, %each.body ]",
        *(
            f"  %one{n} = phi double [ %folded{n}, %rest ], [ %one{n}.next, %each.body ]"
            for n in sums
        ),
        "  %some = icmp slt i64 %j, %end",
        "  br i1 %some, label %each.body, label %done",
        "each.body:",
        *texts["single"].lines,
    ]
    for n in sums:
        lines += added(f"%one{n}", texts["single"].summed[n], squares[n], kind, "double")
    lines += ["  %j.next = add nuw nsw i64 %j, 1", "  br label %each", "done:"]
    for n in sums:
        lines += own_sum(n, f"%one{n}")
    lines += ["  ret void", "}"]
    return [d for t in texts.values() for d in t.declares], lines, [
        f"  call void @walk({', '.join(given).replace('.all', '')})"
    ]  # fmt: skip
