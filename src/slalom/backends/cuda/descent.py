"""How a thread goes down its columns of a tile, and where what it sums up waits."""

from __future__ import annotations

from slalom.backends.base import BEFORE
from slalom.backends.cuda.frame import Frame
from slalom.backends.cuda.kernel import lanes, word
from slalom.backends.cuda.phases import FEW, SHARED, SPACE, own_sum
from slalom.backends.cuda.target import THREADS
from slalom.backends.llvm.arithmetic import narrowed, spread
from slalom.backends.llvm.elements import Elements
from slalom.backends.llvm.memory import SIZES, array
from slalom.backends.llvm.summing import added, valued
from slalom.backends.refusals import Unavailable
from slalom.ir.operations import COLUMNS, ROWS
from slalom.ir.sweeps import Sweep

STEPS = 32
"""Rows that a thread goes down at least."""

TALLEST = 128
"""And at most: where there are many tiles fewer of them leave fewer sums of columns behind."""

AT_ONCE = 8
"""Of them, those whose sums wait at once at most: so many threads are beside one another in a row
at least."""

ROOM = 6144
"""Doubles that a block of threads may share: 48 KiB."""


class Descent:
    """Writes the functions that go down the columns of a thread, of one sweep."""

    def __init__(self, frame: Frame, sweep: Sweep):
        self._of, self._sweep = frame, sweep
        self._many, self._kind = lanes(frame.arrays, frame.small), frame.kind
        sums = [(n, total.along) for n, total in enumerate(sweep.sums)]
        self._squares = [total.op == "squares" for total in sweep.sums]
        self._of_all, self._of_rows, self._of_columns = (
            [n for n, own in sums if own == along] for along in (0, ROWS, COLUMNS)
        )
        self._at_once = AT_ONCE if self._of_rows else STEPS
        while self._of_rows and self._at_once > 1 and self._end > ROOM:
            self._at_once //= 2
        if self._end > ROOM:
            raise Unavailable("its rule sums up more along rows and columns than kernels can hold")
        self._declares: list[str] = []

    # Where sums wait: those over all, as `own_sum` has them, then of rows, then of columns.

    @property
    def _row_area(self) -> int:
        return len(self._of_all) * (THREADS + FEW) + 1

    @property
    def _column_area(self) -> int:
        return self._row_area + len(self._of_rows) * self._at_once * THREADS

    @property
    def _end(self) -> int:
        return self._column_area + len(self._of_columns) * self._many * THREADS

    def _handed(self) -> str:
        """What a walk is handed, as the caller calls it."""
        arrays = [array(p) for p, (n, _) in enumerate(self._of.arrays) if n not in self._of.small]
        pointers = [*arrays, "%row", "%own", "%row.slots", "%column.slots"]
        words = ["%height", "%width", "%column", "%first.row", "%stride", "%stop", "%thread"]
        return ", ".join(
            [f"{SPACE} {p}" for p in pointers] + [f"i64 {w}" for w in [*words, "%piece"]]
        )

    def _scalars(self, many: int) -> tuple[list[str], list[str], list[str]]:
        """How the sweep's scalars are found: those of all, of the row ``%r``, of ``%c``."""
        known = {id(s): BEFORE + i for i, s in enumerate(self._of.program.scalars)}
        of_all, of_row, of_column = [], [], []
        for i, scalar in enumerate(self._sweep.scalars):
            own, kind = f"%s{i}", self._kind
            if not scalar.along:
                if scalar.is_known:
                    of_all += word(f"s{i}.double", "%row", "double", str(known[id(scalar)]))
                else:
                    of_all += [
                        f"  {own}.from = getelementptr double, {SPACE} %own, i64 {i}",
                        f"  {own}.double = load double, {SPACE} {own}.from",
                    ]
                of_all.append(f"  {own} = {narrowed(f'{own}.double', kind)}")
                of_all += spread(kind, own, many, own)[0] if many > 1 else ()
                continue
            of_rows = scalar.along == ROWS
            lines, base = ("%height", "%row.slots") if of_rows else ("%width", "%column.slots")
            place = "%r" if of_rows else "%c"
            of_all += [
                f"  {own}.ahead = mul i64 {lines}, {self._of.slots[scalar]}",
                f"  {own}.at = getelementptr double, {SPACE} {base}, i64 {own}.ahead",
            ]
            found = [f"  {own}.here = getelementptr {kind}, {SPACE} {own}.at, i64 {place}"]
            vector = f"<{many} x {kind}>"
            if of_rows or many == 1:
                found.append(f"  {own} = load {kind}, {SPACE} {own}.here")
                found += spread(kind, own, many, own)[0] if many > 1 else ()
            else:
                found.append(f"  {own}.v = load {vector}, {SPACE} {own}.here, align {SIZES[kind]}")
            (of_row if of_rows else of_column).extend(found)
        if self._of.stochastic:
            of_all += word("noise.double", "%row", "double", "1")
            of_all.append("  %noise = fptoui double %noise.double to i32")
        return of_all, of_row, of_column

    def _walk(self, way: str) -> list[str]:
        """The function by which a thread goes down whole vectors."""
        many, straight = self._many, way == "straight"
        text = Elements(
            self._sweep, self._of.arrays, lanes=many, aligned=straight, prefix="w", place="%i",
            fma=True, stochastic=self._of.stochastic, pointer=SPACE,
        )  # fmt: skip
        self._declares += text.declares
        of_all, of_row, of_column = self._scalars(many)
        doubles = f"<{many} x double>" if many > 1 else "double"
        vector = f"<{many} x {self._kind}>" if many > 1 else self._kind
        zero = "zeroinitializer" if many > 1 else "0.0"
        body = []
        for n, square in enumerate(self._squares):
            if n in self._of_rows:
                lines, value = valued(f"%sum{n}", text.summed[n], square, vector, doubles)
                body += [*lines, *self._folded(f"%sum{n}", value), *self._wait(n, f"%sum{n}.all")]
            else:
                body += added(f"%sum{n}", text.summed[n], square, vector, doubles)
        columns = [(n, i, j) for i, n in enumerate(self._of_columns) for j in range(many)]
        phis = [*self._of_columns, *self._of_all]
        return [
            f"define internal void @walk.{way}({self._handed()}) alwaysinline nounwind {{",
            "entry:",
            *of_all,
            "  %c = add i64 %column, 0",
            *of_column,
            "  %begins = icmp eq i64 %piece, 0",
            "  br i1 %begins, label %begin, label %again",
            "again:",
            *(
                line for n, i, j in columns for line in (
                    *self._column_at(f"%old{n}.{j}", i, str(j)),
                    f"  %old{n}.{j} = load double, {SHARED} %old{n}.{j}.at",
                )
            ),
            *(line for n in self._of_columns for line in _gathered(f"%old{n}", many)),
            *(
                line for i, n in enumerate(self._of_all) for line in (
                    *_all_at(f"%old{n}", i), f"  %old{n} = load double, {SHARED} %old{n}.at",
                )
            ),
            "  br label %begin",
            "begin:",
            *(
                f"  %from{n} = phi {doubles} [ {zero}, %entry ], [ %old{n}.all, %again ]"
                for n in self._of_columns
            ),
            *(f"  %so.far{n} = phi double [ 0.0, %entry ], [ %old{n}, %again ]"
              for n in self._of_all),
            "  br label %down",
            "down:",
            "  %step = phi i64 [ 0, %begin ], [ %step.next, %step.do ]",
            "  %r = phi i64 [ %first.row, %begin ], [ %r.next, %step.do ]",
            *(
                f"  %sum{n} = phi {doubles} "
                f"[ {f'%from{n}' if n in self._of_columns else zero}, %begin ], "
                f"[ %sum{n}.next, %step.do ]"
                for n in phis
            ),
            f"  %step.some = icmp slt i64 %step, {self._at_once}",
            "  %row.some = icmp slt i64 %r, %stop",
            "  %go.on = and i1 %step.some, %row.some",
            "  br i1 %go.on, label %step.do, label %down.end",
            "step.do:",
            "  %row.first = mul i64 %r, %width",
            "  %i = add i64 %row.first, %column",
            *of_row,
            *text.lines,
            *body,
            "  %step.next = add nuw nsw i64 %step, 1",
            "  %r.next = add i64 %r, %stride",
            "  br label %down",
            "down.end:",
            *(
                line for n, i, j in columns for line in (
                    *self._column_at(f"%new{n}.{j}", i, str(j)),
                    f"  %new{n}.{j} = {_lane(f'%sum{n}', j, many)}",
                    f"  store double %new{n}.{j}, {SHARED} %new{n}.{j}.at",
                )
            ),
            *(
                line for i, n in enumerate(self._of_all) for line in (
                    *self._folded(f"%sum{n}", f"%sum{n}"),
                    f"  %new{n} = fadd double %so.far{n}, %sum{n}.all", *own_sum(i, f"%new{n}"),
                )
            ),
            "  ret void",
            "}",
        ]  # fmt: skip

    def _singly(self) -> list[str]:
        """The same function, of columns that fill no vector."""
        text = Elements(
            self._sweep, self._of.arrays, prefix="w", place="%i", fma=True,
            stochastic=self._of.stochastic, pointer=SPACE,
        )  # fmt: skip
        self._declares += text.declares
        of_all, of_row, of_column = self._scalars(1)
        body = []
        for n, square in enumerate(self._squares):
            if n not in self._of_columns:
                body += added(f"%sum{n}", text.summed[n], square, self._kind, "double")
                continue
            body += [
                *self._column_at(f"%sum{n}", self._of_columns.index(n), "%behind"),
                f"  %sum{n} = load double, {SHARED} %sum{n}.at",
                *added(f"%sum{n}", text.summed[n], square, self._kind, "double"),
                f"  store double %sum{n}.next, {SHARED} %sum{n}.at",
            ]
        inner = [*self._of_rows, *self._of_all]
        return [
            f"define internal void @walk.single({self._handed()}) alwaysinline nounwind {{",
            "entry:",
            *of_all,
            "  %begins = icmp eq i64 %piece, 0",
            "  br i1 %begins, label %begin, label %again",
            "begin:",
            *(
                line for i, n in enumerate(self._of_columns) for j in range(self._many)
                for line in (
                    *self._column_at(f"%none{n}.{j}", i, str(j)),
                    f"  store double 0.0, {SHARED} %none{n}.{j}.at",
                )
            ),
            "  br label %all",
            "again:",
            *(
                line for i, n in enumerate(self._of_all) for line in (
                    *_all_at(f"%old{n}", i), f"  %old{n} = load double, {SHARED} %old{n}.at",
                )
            ),
            "  br label %all",
            "all:",
            *(f"  %from{n} = phi double [ 0.0, %begin ], [ %old{n}, %again ]"
              for n in self._of_all),
            "  br label %down",
            "down:",
            "  %step = phi i64 [ 0, %all ], [ %step.next, %row.end ]",
            "  %r = phi i64 [ %first.row, %all ], [ %r.next, %row.end ]",
            *(f"  %down{n} = phi double [ %from{n}, %all ], [ %sum{n}, %row.end ]"
              for n in self._of_all),
            f"  %step.some = icmp slt i64 %step, {self._at_once}",
            "  %row.some = icmp slt i64 %r, %stop",
            "  %go.on = and i1 %step.some, %row.some",
            "  br i1 %go.on, label %row.do, label %down.end",
            "row.do:",
            "  %row.first = mul i64 %r, %width",
            *of_row,
            "  br label %along",
            "along:",
            "  %c = phi i64 [ %column, %row.do ], [ %c.next, %each ]",
            *(
                f"  %sum{n} = phi double [ {'0.0' if n in self._of_rows else f'%down{n}'}, "
                f"%row.do ], [ %sum{n}.next, %each ]"
                for n in inner
            ),
            "  %c.some = icmp slt i64 %c, %width",
            "  br i1 %c.some, label %each, label %row.end",
            "each:",
            "  %i = add i64 %row.first, %c",
            "  %behind = sub i64 %c, %column",
            *of_column,
            *text.lines,
            *body,
            "  %c.next = add nuw nsw i64 %c, 1",
            "  br label %along",
            "row.end:",
            *(line for n in self._of_rows for line in self._wait(n, f"%sum{n}")),
            "  %step.next = add nuw nsw i64 %step, 1",
            "  %r.next = add i64 %r, %stride",
            "  br label %down",
            "down.end:",
            *(line for i, n in enumerate(self._of_all) for line in own_sum(i, f"%down{n}")),
            "  ret void",
            "}",
        ]  # fmt: skip

    def _wait(self, n: int, value: str) -> list[str]:
        """Put down what this thread has of a row."""
        own, before = f"%wait{n}", self._before(n)
        return [
            f"  {own}.step = mul i64 %step, {THREADS}",
            f"  {own}.seat = add i64 {own}.step, %thread",
            f"  {own}.place = add i64 {own}.seat, {before}",
            f"  {own}.at = getelementptr double, {SHARED} @shared, i64 {own}.place",
            f"  store double {value}, {SHARED} {own}.at",
        ]

    def _column_at(self, own: str, i: int, behind: str) -> list[str]:
        """The address ``.at`` of this thread's sum ``i`` of one of its columns."""
        return [
            f"  {own}.column = mul i64 {behind}, {THREADS}",
            f"  {own}.seat = add i64 {own}.column, %thread",
            f"  {own}.place = add i64 {own}.seat, {self._column_area + i * self._many * THREADS}",
            f"  {own}.at = getelementptr double, {SHARED} @shared, i64 {own}.place",
        ]

    def _folded(self, own: str, value: str) -> list[str]:
        """``.all``, the sum of a value's lanes, one after the other."""
        lines, last = [], ""
        for lane in range(self._many):
            lines.append(f"  {own}.fold{lane} = {_lane(value, lane, self._many)}")
            if lane:
                lines.append(f"  {own}.by{lane} = fadd double {last}, {own}.fold{lane}")
            last = f"{own}.by{lane}" if lane else f"{own}.fold0"
        return [*lines, f"  {own}.all = fadd double {last}, -0.0"]

    def _before(self, n: int) -> int:
        """Where what waits of the rows of a sum begins."""
        return self._row_area + self._of_rows.index(n) * self._at_once * THREADS


def _all_at(own: str, i: int) -> list[str]:
    """The address ``.at`` of this thread's sum ``i`` over all elements."""
    return [
        f"  {own}.place = add i64 %thread, {i * THREADS}",
        f"  {own}.at = getelementptr double, {SHARED} @shared, i64 {own}.place",
    ]


def _lane(value: str, lane: int, many: int) -> str:
    if many == 1:
        return f"fadd double {value}, -0.0"
    return f"extractelement <{many} x double> {value}, i32 {lane}"


def _gathered(own: str, many: int) -> list[str]:
    """``.all``: a vector of the numbers ``.0`` ..., or the one that there is."""
    if many == 1:
        return [f"  {own}.all = fadd double {own}.0, -0.0"]
    lines, last = [], "poison"
    for j in range(many):
        name = f"{own}.all" if j == many - 1 else f"{own}.up{j}"
        lines.append(
            f"  {name} = insertelement <{many} x double> {last}, double {own}.{j}, i32 {j}"
        )
        last = name
    return lines
