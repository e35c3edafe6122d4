"""A sweep over matrices as a kernel: a block of threads takes some rows by some columns.

A thread has as many columns as fill a load of 16 bytes and goes down :data:`STEPS` rows of them. So
neighbours read what lies beside one another, a number of a column stays with its thread, and a sum
of columns is made where it is seen; what threads have of a row waits in the memory that a block
shares, some steps at a time. All sums are in float64, in an order that hangs on the shape alone;
those of rows and columns are one number a tile, which the next kernel adds up
(:mod:`slalom.backends.cuda.lines`).
"""

from __future__ import annotations

from collections.abc import Sequence

from slalom.backends.cuda.adding import added_up
from slalom.backends.cuda.descent import TALLEST, Descent
from slalom.backends.cuda.frame import GIVEN, kept
from slalom.backends.cuda.kernel import opening
from slalom.backends.cuda.phases import SHARED, SPACE, own_sum, phased
from slalom.backends.cuda.target import THREADS


class Tiles(Descent):
    """Writes the kernel of a sweep."""

    def text(self, finish: Sequence[str], declares: Sequence[str], texts: Sequence[str]) -> str:
        """The kernel ``update`` of :data:`GIVEN`.

        ``finish`` is done by one thread of the last block when there are the sums over all elements
        ``%all0`` ..., and goes on to a label ``out``; it takes ``declares`` and ``texts``.
        """
        start, sums = self._start(), len(self._of_all)
        here = [*start, *self._of_piece()]
        ways = [self._walk("straight"), self._walk("crooked"), self._singly()]
        phases = [[*here, *self._go()]]
        if self._of_rows:
            phases += [[*here, *self._few_of_rows()], [*here, *self._all_of_rows()]]
        then = []
        if self._of_columns:
            then.append([*start, *self._all_of_columns()])
        if sums:
            then += added_up(sums, [*start, *_company(sums)], finish, self._of.target)
        return phased(
            GIVEN, phases, self._of.target, shared=f"[{self._end} x double]",
            declares=[*self._declares, *declares],
            texts=[*texts, *(line for way in ways for line in way)],
            repeats=TALLEST // self._at_once, then=then,
            until=[*start, f"  %repeats = sdiv i64 %steps, {self._at_once}"],
        )  # fmt: skip

    def _start(self) -> list[str]:
        """How a thread finds its tile and its columns."""
        of = self._of
        stop = "  %lowest = add i64 %height, 0"
        if of.way is not None:
            stop = "  %lowest = select i1 %serves, i64 %height, i64 0"
        return [
            *opening(of.target, of.arrays, of.wide, of.small, of.way),
            *of.own(),
            stop,
            "  %tile.down = udiv i64 %chunk, %across",
            "  %tile.before = mul i64 %tile.down, %across",
            "  %tile.across = sub i64 %chunk, %tile.before",
            "  %seats = shl i64 1, %abreast",
            "  %seats.mask = sub i64 %seats, 1",
            "  %x = and i64 %thread, %seats.mask",
            "  %y = lshr i64 %thread, %abreast",
            f"  %stride = lshr i64 {THREADS}, %abreast",
            "  %seats.before = shl i64 %tile.across, %abreast",
            "  %seat = add i64 %seats.before, %x",
            f"  %column = mul i64 %seat, {self._many}",
            "  %column.some = icmp slt i64 %column, %width",
            "  %tall = mul i64 %stride, %steps",
            "  %top = mul i64 %tile.down, %tall",
            "  %bottom = add i64 %top, %tall",
            "  %ends.below = icmp slt i64 %bottom, %lowest",
            "  %stop = select i1 %ends.below, i64 %bottom, i64 %lowest",
            # of these seats, how many are before the end of a row
            f"  %left = mul i64 %seats.before, {self._many}",
            "  %wide.left = sub i64 %width, %left",
            f"  %wide.up = add i64 %wide.left, {self._many - 1}",
            f"  %taken.all = sdiv i64 %wide.up, {self._many}",
            "  %taken.over = icmp sgt i64 %taken.all, %seats",
            "  %taken = select i1 %taken.over, i64 %seats, i64 %taken.all",
        ]

    def _of_piece(self) -> list[str]:
        """The first row of a piece, and of this thread there."""
        return [
            f"  %steps.before = mul i64 %piece, {self._at_once}",
            "  %rows.before = mul i64 %steps.before, %stride",
            "  %piece.top = add i64 %top, %rows.before",
            "  %first.row = add i64 %piece.top, %y",
        ]

    def _go(self) -> list[str]:
        """A thread goes down its columns, if it has any."""
        call = f"({self._handed()})".replace("%of.", "%")
        return [
            f"  %rest = urem i64 %width, {self._many}",
            "  %even = icmp eq i64 %rest, 0",
            "  %lies = and i1 %even, %straight",
            f"  %column.end = add i64 %column, {self._many}",
            "  %whole = icmp sle i64 %column.end, %width",
            "  br i1 %column.some, label %some, label %none",
            "some:",
            "  br i1 %whole, label %many, label %few",
            "many:",
            "  br i1 %lies, label %do.straight, label %do.crooked",
            *(
                line
                for label, way in (
                    ("do.straight", "straight"), ("do.crooked", "crooked"), ("few", "single"),
                )
                for line in (
                    f"{label}:", f"  call void @walk.{way}{call}", "  br label %out"
                )
            ),
            "none:",
            "  %begins = icmp eq i64 %piece, 0",
            "  br i1 %begins, label %nothing, label %out",
            "nothing:",
            *(line for i in range(len(self._of_all)) for line in own_sum(i, "0.0")),
            "  br label %out",
            "out:",
        ]  # fmt: skip

    def _few_of_rows(self) -> list[str]:
        """A thread adds up what some have of a row, as many as there are steps at once."""
        shift = self._at_once.bit_length() - 1
        lines = [
            f"  %share.by = sub i64 %abreast, {shift}",
            "  %shares = shl i64 1, %share.by",
            "  %q = lshr i64 %thread, %share.by",
            "  %shares.mask = sub i64 %shares, 1",
            "  %u = and i64 %thread, %shares.mask",
            "  %q.first = shl i64 %q, %abreast",
            "  %u.place = add i64 %q.first, %u",
        ]
        for n in self._of_rows:
            before, total = self._before(n), "0.0"
            for i in range(self._at_once):
                own = f"%few{n}.{i}"
                lines += [
                    f"  {own}.ahead = mul i64 %shares, {i}",
                    f"  {own}.seat = add i64 %u, {own}.ahead",
                    f"  {own}.some = icmp slt i64 {own}.seat, %taken",
                    f"  {own}.of = add i64 %u.place, {own}.ahead",
                    f"  {own}.place = add i64 {own}.of, {before}",
                    f"  {own}.at = getelementptr double, {SHARED} @shared, i64 {own}.place",
                    f"  {own}.there = load double, {SHARED} {own}.at",
                    f"  {own}.own = select i1 {own}.some, double {own}.there, double 0.0",
                    f"  {own} = fadd double {total}, {own}.own",
                ]
                total = own
            lines.append(f"  store double {total}, {SHARED} %few{n}.0.at")
        return lines

    def _all_of_rows(self) -> list[str]:
        """A thread adds up a row of this tile."""
        shift = self._at_once.bit_length() - 1
        lines = [
            f"  %many.rows = mul i64 %stride, {self._at_once}",
            "  %row.here = add i64 %piece.top, %thread",
            "  %row.one = icmp slt i64 %thread, %many.rows",
            "  %row.there = icmp slt i64 %row.here, %stop",
            "  %row.some = and i1 %row.one, %row.there",
            "  %row.seats = shl i64 %thread, %abreast",
            f"  %shares.by = sub i64 %abreast, {shift}",
            "  %shares = shl i64 1, %shares.by",
            "  br i1 %row.some, label %add, label %out",
            "add:",
            "  %k = phi i64 [ 0, %entry ], [ %k.next, %more ]",
            *(f"  %sum{n} = phi double [ 0.0, %entry ], [ %sum{n}.next, %more ]"
              for n in self._of_rows),
            "  %k.some = icmp slt i64 %k, %shares",
            "  br i1 %k.some, label %more, label %known",
            "more:",
            "  %k.of = add i64 %row.seats, %k",
        ]  # fmt: skip
        for n in self._of_rows:
            lines += [
                f"  %k.place{n} = add i64 %k.of, {self._before(n)}",
                f"  %k.at{n} = getelementptr double, {SHARED} @shared, i64 %k.place{n}",
                f"  %k.own{n} = load double, {SHARED} %k.at{n}",
                f"  %sum{n}.next = fadd double %sum{n}, %k.own{n}",
            ]
        lines += ["  %k.next = add nuw nsw i64 %k, 1", "  br label %add", "known:"]
        for i, n in enumerate(self._of_rows):
            lines += [
                f"  %part{n}.before = mul i64 %across, {i}",
                f"  %part{n}.tile = add i64 %part{n}.before, %tile.across",
                f"  %part{n}.tiles = mul i64 %part{n}.tile, %height",
                f"  %part{n}.row = add i64 %part{n}.tiles, %row.here",
                f"  %part{n}.place = add i64 %part{n}.row, %row.parts",
                *kept(f"part{n}", f"%part{n}.place"),
                f"  store double %sum{n}, {SPACE} %part{n}",
            ]
        return [*lines, "  br label %out", "out:"]

    def _all_of_columns(self) -> list[str]:
        """The first threads add up their columns of this tile."""
        sums = [(i, n, j) for i, n in enumerate(self._of_columns) for j in range(self._many)]
        lines = [
            "  %highest = icmp eq i64 %y, 0",
                "  %mine.here = and i1 %highest, %column.some",
            "  br i1 %mine.here, label %add, label %out",
            "add:",
            "  %k = phi i64 [ 0, %entry ], [ %k.next, %more ]",
            *(f"  %sum{n}.{j} = phi double [ 0.0, %entry ], [ %sum{n}.{j}.next, %more ]"
              for _, n, j in sums),
            "  %k.some = icmp slt i64 %k, %stride",
            "  br i1 %k.some, label %more, label %known",
            "more:",
            "  %k.of = shl i64 %k, %abreast",
            "  %k.seat = add i64 %k.of, %x",
        ]  # fmt: skip
        for i, n, j in sums:
            own, place = f"%sum{n}.{j}", self._column_area + (i * self._many + j) * THREADS
            lines += [
                f"  {own}.place = add i64 %k.seat, {place}",
                f"  {own}.at = getelementptr double, {SHARED} @shared, i64 {own}.place",
                f"  {own}.own = load double, {SHARED} {own}.at",
                f"  {own}.next = fadd double {own}, {own}.own",
            ]
        lines += ["  %k.next = add nuw nsw i64 %k, 1", "  br label %add", "known:"]
        for i, n in enumerate(self._of_columns):
            lines += [
                f"  %part{n}.before = mul i64 %down, {i}",
                f"  %part{n}.tile = add i64 %part{n}.before, %tile.down",
                f"  %part{n}.tiles = mul i64 %part{n}.tile, %width",
                f"  %part{n}.column = add i64 %part{n}.tiles, %column",
                f"  %part{n}.place = add i64 %part{n}.column, %column.parts",
                *kept(f"part{n}", f"%part{n}.place"),
            ]
        for j in range(self._many):
            lines += [
                f"  %column{j} = add i64 %column, {j}",
                f"  %column{j}.some = icmp slt i64 %column{j}, %width",
                f"  br i1 %column{j}.some, label %put{j}, label %out",
                f"put{j}:",
            ]
            for n in self._of_columns:
                lines += [
                    f"  %put{n}.{j} = getelementptr double, {SPACE} %part{n}, i64 {j}",
                    f"  store double %sum{n}.{j}, {SPACE} %put{n}.{j}",
                ]
        return [*lines, "  br label %out", "out:"]


def _company(sums: int) -> list[str]:
    """See :data:`slalom.backends.cuda.adding.COMPANY`: the tiles of a segment."""
    return [
        f"  %partial.first = mul i64 %place, {sums}",
        *kept("partial", "%partial.first"),
        "  %first.tile = sub i64 %place, %chunk",
        f"  %every.first = mul i64 %first.tile, {sums}",
        *kept("every", "%every.first"),
        "  %many = mul i64 %across, %down",
    ]
