"""A sweep over a matrix, where something is summed up, or known, of each row or column."""

from __future__ import annotations

from collections.abc import Sequence

from slalom.backends.llvm.arithmetic import literal, narrowed, spread
from slalom.backends.llvm.blockwise import loaded, scaled
from slalom.backends.llvm.elements import Elements, touched
from slalom.backends.llvm.memory import Arrays, Memory, array, coded, computed_in
from slalom.backends.llvm.summaries import LENGTH, SLOTS, Layout, Place, word
from slalom.backends.llvm.summing import LANES, added, folded
from slalom.backends.narrow import BLOCK, SCALE
from slalom.ir.operations import COLUMNS, ROWS
from slalom.ir.sweeps import Sweep


def by_rows(
    name: str, k: int, sweep: Sweep, arrays: Arrays, layout: Layout, *, fma: bool, stochastic: bool
) -> tuple[list[str], list[str]]:
    """The sweep ``k`` of a program as a function of this name: what it declares, and its lines.

    It goes over the whole rows from element ``begin`` to ``end``. Sums of rows go into their slots;
    to ``sums`` go those over all elements and then, added to what stands there, those of columns.
    A matrix of one column, as a vector is, has a program without rows: :mod:`slalom.ir.vectors`.
    Where there are codes, rows hold whole blocks of these.
    """
    order = [n for n, _ in arrays]
    places = [order.index(n) for n in touched(sweep, arrays)]
    writer = _Loop(sweep, arrays, layout)
    declares, rows = writer.function(f"rows.{name}", k, fma=fma, stochastic=stochastic)
    handed = [f"ptr {array(p)}" for p in places]
    handed += ["i64 %begin", "i64 %end", "ptr %sums", "ptr %own"]
    return declares, [
        *rows,
        f"define void @{name}(ptr %addresses, ptr %own, i64 %begin, i64 %end, ptr %sums) "
        "nounwind {",
        *(
            line for p in places
            for line in (
                f"  {array(p)}.at = getelementptr ptr, ptr %addresses, i64 {p}",
                f"  {array(p)} = load ptr, ptr {array(p)}.at",
            )
        ),
        f"  call void @rows.{name}({', '.join(handed)})",
        "  ret void",
        "}",
    ]  # fmt: skip


class _Loop:
    """Writes the loop over rows, and within each over its elements.

    ``%wide0`` is the address of as many sums as go abreast, sixteen or a block of codes, ``%one0``
    of the sum of what is left over, of a row or of all of them; those of columns are added up where
    they lie.
    """

    def __init__(self, sweep: Sweep, arrays: Arrays, layout: Layout):
        self._sweep, self._arrays, self._layout = sweep, arrays, layout
        self._kind = computed_in(arrays, sweep.rule.shapes)
        self._coded = bool(coded([*sweep.reads, *sweep.writes], arrays))
        self._lanes = BLOCK if self._coded else LANES
        self._sums = list(enumerate(sweep.sums))
        order = sorted(self._sums, key=lambda own: own[1].along == COLUMNS)
        kept = [n for n, total in order if total.along != ROWS]
        self._of_block = {n: i for i, n in enumerate(kept)}  # places in ``sums``, columns last
        self._single = sum(not total.along for total in sweep.sums)

    def function(
        self, name: str, k: int, *, fma: bool, stochastic: bool
    ) -> tuple[list[str], list[str]]:
        options = {"fma": fma, "stochastic": stochastic, "aligned": False, "inner": COLUMNS}
        own = self._sweep, self._arrays
        wide = Elements(*own, lanes=self._lanes, prefix="w", place="%i", number="%c", **options)
        one = Elements(*own, prefix="v", place="%j", number="%d", **options)
        order = [n for n, _ in self._arrays]
        many = Memory(
            "float", self._arrays, chance=self._sweep.rule if stochastic else None, fma=fma,
            lanes=self._lanes, prefix="x", place="%i", aligned=False,
        )  # fmt: skip
        given = [f"ptr noalias {array(order.index(n))}" for n in touched(self._sweep, self._arrays)]
        given += ["i64 %begin", "i64 %end", "ptr noalias %sums", "ptr noalias %own"]
        noise, end = len(self._sweep.scalars), "%rest" if self._coded else "%row.end"
        before, after = self._decoded(order), self._encoded(order, wide, many)
        declares = [*wide.declares, *one.declares, *many.declares, *([_MOST] if after else [])]
        return declares, [
            f"define internal void @{name}({', '.join(given)}) noinline nounwind {{",
            "entry:",
            *self._entry(k),
            f"  %noise.at = getelementptr double, ptr %own, i64 {noise}",
            *(("  %noise.double = load double, ptr %noise.at",
               "  %noise = fptoui double %noise.double to i32") if stochastic else ()),
            "  br label %outer",
            "outer:",
            f"  %r = phi i64 [ %first, %entry ], [ %r.next, {end} ]",
            "  %r.some = icmp slt i64 %r, %last",
            "  br i1 %r.some, label %row, label %done",
            "row:",
            *self._begin(),
            "  %base = mul i64 %r, %width",
            "  br label %wide",
            "wide:",
            "  %c = phi i64 [ 0, %row ], [ %c.next, %wide.body ]",
            f"  %c.next = add nuw nsw i64 %c, {self._lanes}",
            "  %full = icmp sle i64 %c.next, %width",
            "  br i1 %full, label %wide.body, label %rest",
            "wide.body:",
            "  %i = add i64 %base, %c",
            *before,
            *wide.lines,
            *after,
            *self._add("wide", wide.summed, "%c"),
            "  br label %wide",
            "rest:",
            *self._fold(ROWS),
            *([] if self._coded else (
                "  br label %each",
                "each:",
                "  %d = phi i64 [ %c, %rest ], [ %d.next, %each.body ]",
                "  %some = icmp slt i64 %d, %width",
                "  br i1 %some, label %each.body, label %row.end",
                "each.body:",
                "  %j = add i64 %base, %d",
                *one.lines,
                *self._add("one", one.summed, "%d"),
                "  %d.next = add nuw nsw i64 %d, 1",
                "  br label %each",
                "row.end:",
            )),
            *self._end(),
            "  %r.next = add nuw nsw i64 %r, 1",
            "  br label %outer",
            "done:",
            *self._done(),
            "  ret void",
            "}",
        ]  # fmt: skip

    def _decoded(self, order: Sequence[str]) -> list[str]:
        """What codes of this block are multiplied by."""
        lines = [f"  %block = udiv i64 %i, {BLOCK}"] if self._coded else []
        for n, code in coded(self._sweep.reads, self._arrays).items():
            a, scales = array(order.index(n)), array(order.index(n + SCALE))
            lines += loaded(f"{a}.i.by", scales, "%block")
            lines += spread("float", f"{a}.i.by", BLOCK, f"{a}.by")[0]
            base = literal(-code.base, "float")
            lines.append(f"  {a}.off.v = fmul <{BLOCK} x float> {a}.by.v, splat (float {base})")
        return lines

    def _encoded(self, order: Sequence[str], wide: Elements, many: Memory) -> list[str]:
        """Measure and encode this block, of which each state was computed."""
        for n, code in coded(self._sweep.writes, self._arrays).items():
            a, scales = array(order.index(n)), array(order.index(n + SCALE))
            bits = many.sized(wide.coded[n])
            many.lines += [
                f"  {a}.most = call i32 @llvm.vector.reduce.umax.v{BLOCK}i32"
                f"(<{BLOCK} x i32> {bits})",
                *scaled(f"{a}.k", f"{a}.most", code),
                f"  {a}.k.at = getelementptr float, ptr {scales}, i64 %block",
                f"  store float {a}.k.scale, ptr {a}.k.at",
                *spread("float", f"{a}.k", BLOCK, f"{a}.to")[0],
            ]
            many.encode(n, wide.coded[n])
        return many.lines

    def _entry(self, k: int) -> list[str]:
        base = self._layout.base
        lines = [
            *word(LENGTH[COLUMNS], "i64", base + Place.WIDTH),
            *word(LENGTH[ROWS], "i64", base + Place.HEIGHT),
            *word(SLOTS[ROWS], "ptr", base + Place.ROW_SLOTS),
            *word(SLOTS[COLUMNS], "ptr", base + Place.COLUMN_SLOTS),
            "  %first = udiv i64 %begin, %width",
            "  %last = udiv i64 %end, %width",
        ]
        for n, total in self._sums:
            if total.along:
                lines += self._where(n, total.along)
            if total.along != COLUMNS:
                lines += [
                    f"  %wide{n} = alloca <{self._lanes} x double>",
                    f"  %one{n} = alloca double",
                    *self._nothing(n),
                ]
        for i, symbol in enumerate(self._sweep.scalars):
            if symbol.along:
                slot = self._layout.slot(k, i)
                lines += self._slot(f"%s{i}", slot, symbol.along)
                continue
            lines += [
                f"  %s{i}.own = getelementptr double, ptr %own, i64 {i}",
                f"  %s{i}.double = load double, ptr %s{i}.own",
                f"  %s{i} = {narrowed(f'%s{i}.double', self._kind)}",
                *spread(self._kind, f"%s{i}", self._lanes, f"%s{i}")[0],
            ]
        return lines

    def _where(self, n: int, along: int) -> list[str]:
        """The address of the sums of rows or columns."""
        if along == ROWS:
            slot = self._layout.slot_of_sum(list(self._sweep.sums)[n])
            assert slot is not None
            return self._slot(f"%sums{n}", slot, ROWS)
        before = self._of_block[n] - self._single
        return [
            f"  %sums{n}.ahead = mul i64 %width, {before}",
            f"  %sums{n}.place = add i64 %sums{n}.ahead, {self._single}",
            f"  %sums{n}.at = getelementptr double, ptr %sums, i64 %sums{n}.place",
        ]

    def _begin(self) -> list[str]:
        """At the beginning of a row."""
        lines = []
        for i, symbol in enumerate(self._sweep.scalars):
            if symbol.along == ROWS:
                lines += [
                    f"  %s{i}.here = getelementptr {self._kind}, ptr %s{i}.at, i64 %r",
                    f"  %s{i} = load {self._kind}, ptr %s{i}.here",
                    *spread(self._kind, f"%s{i}", self._lanes, f"%s{i}")[0],
                ]
        own = (n for n, total in self._sums if total.along == ROWS)
        return lines + [line for n in own for line in self._nothing(n)]

    def _add(self, which: str, values: Sequence[str], number: str) -> list[str]:
        """Add these to the sums; ``which`` is ``wide`` of many and ``one`` of one."""
        many = which == "wide"
        double = f"<{self._lanes} x double>" if many else "double"
        kind = f"<{self._lanes} x {self._kind}>" if many else self._kind
        lines = []
        for n, total in self._sums:
            own, at = f"%{which}{n}.sum", f"%{which}{n}"
            if total.along == COLUMNS:
                at = f"%{which}{n}.at"
                lines.append(f"  {at} = getelementptr double, ptr %sums{n}.at, i64 {number}")
            lines += [
                f"  {own} = load {double}, ptr {at}, align 8",
                *added(own, values[n], total.op == "squares", kind, double),
                f"  store {double} {own}.next, ptr {at}, align 8",
            ]
        return lines

    def _fold(self, along: int) -> list[str]:
        """Make one sum of sixteen, of a row or of all, and of what was left over."""
        lines = []
        for n, total in self._sums:
            if total.along == along:
                own = f"%all{n}"
                lines += [
                    f"  {own} = load <{self._lanes} x double>, ptr %wide{n}, align 8",
                    *folded(own, self._lanes),
                    f"  {own}.rest = load double, ptr %one{n}",
                    f"  {own}.sum = fadd double {own}.all, {own}.rest",
                    f"  store double {own}.sum, ptr %one{n}",
                ]
        return lines

    def _end(self) -> list[str]:
        """At the end of a row."""
        lines = []
        for n, total in self._sums:
            if total.along == ROWS:
                lines += [
                    f"  %sums{n}.here = getelementptr double, ptr %sums{n}.at, i64 %r",
                    f"  %sums{n}.own = load double, ptr %one{n}",
                    f"  store double %sums{n}.own, ptr %sums{n}.here",
                ]
        return lines

    def _done(self) -> list[str]:
        """At the end of all rows."""
        lines = self._fold(0)
        for n, total in self._sums:
            if not total.along:
                lines += [
                    f"  %sum{n}.at = getelementptr double, ptr %sums, i64 {self._of_block[n]}",
                    f"  store double %all{n}.sum, ptr %sum{n}.at",
                ]
        return lines

    def _nothing(self, n: int) -> list[str]:
        return [
            f"  store <{self._lanes} x double> zeroinitializer, ptr %wide{n}, align 8",
            f"  store double 0.0, ptr %one{n}",
        ]

    def _slot(self, name: str, slot: int, along: int) -> list[str]:
        return [
            f"  {name}.ahead = mul i64 {LENGTH[along]}, {slot}",
            f"  {name}.at = getelementptr double, ptr {SLOTS[along]}, i64 {name}.ahead",
        ]


_MOST = f"declare i32 @llvm.vector.reduce.umax.v{BLOCK}i32(<{BLOCK} x i32>)"
