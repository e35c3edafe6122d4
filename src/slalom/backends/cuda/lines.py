"""What comes between two sweeps over matrices, as kernels: a thread for every row and column.

The sums that tiles left are added up by several threads a line, neighbours reading what lies beside
one another. Then one thread of each makes what is asked of its line, in double precision. A sum
over lines is that of blocks of them, added up by the last (:mod:`slalom.backends.cuda.adding`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slalom.backends.cuda.adding import added_up
from slalom.backends.cuda.frame import GIVEN, Frame, kept
from slalom.backends.cuda.kernel import ADDRESSES, AHEAD, serves, word
from slalom.backends.cuda.phases import FEW, SHARED, SPACE, own_sum, phased
from slalom.backends.cuda.target import THREADS
from slalom.backends.llvm.memory import Arrays
from slalom.backends.llvm.summaries import Between, Layout
from slalom.ir.operations import COLUMNS, KEPT, ROWS
from slalom.ir.program import Program
from slalom.ir.symbol import Symbol

_HANDED = (
    ("ptr", "addresses"), ("ptr", "scalars"), ("ptr", "own.here"), ("ptr", "row.slots.here"),
    ("ptr", "column.slots.here"), ("i64", "height"), ("i64", "width"), ("i64", "line"),
    ("i64", "thread"),
)  # fmt: skip
"""What a function is handed, as its caller calls it."""

_TAKEN = (
    "%addresses", "%row", "%own", "%row.slots", "%column.slots", "%height", "%width", "%line",
    "%thread",
)  # fmt: skip
"""And as it calls it itself; see :mod:`slalom.backends.llvm.summaries`."""

_CALL = ", ".join(f"{kind} %{name}" for kind, name in _HANDED)

_FOUND = [
    *ADDRESSES,
    f"  %row.slots.here = addrspacecast {SPACE} %row.slots to ptr",
    f"  %column.slots.here = addrspacecast {SPACE} %column.slots to ptr",
]


class _Line(Between):
    """The text of one line, or of what is one number of a tensor."""

    def __init__(
        self, program: Program, arrays: Arrays, layout: Layout, inner: Mapping[Symbol, int],
        gathered: Sequence[Symbol] = (),
    ):  # fmt: skip
        super().__init__(program, arrays, layout)
        self._inner, self._place = inner, "%line"
        self._values |= {id(total): f"%g{n}" for n, total in enumerate(gathered)}

    def _summed(self, node: Symbol) -> str:
        return self._get("%own", self._inner[node])

    def _made(self, node: Symbol) -> str:
        if node.op not in KEPT or node.along:
            return super()._made(node)
        place, self._place = self._place, "0"
        value = super()._made(node)
        self._place = place
        return value

    def store(self, name: str, value: str, along: int) -> None:
        """Store a state, or this line's number of it."""
        place, self._place = self._place, self._place if along else "0"
        self.keep(name, value)
        self._place = place

    def squared(self, value: str) -> str:
        return self._apply("mul", [value, value])

    def named(self, name: str, more: str = "") -> list[str]:
        """The function."""
        taken = ", ".join(f"{kind} {own}" for (kind, _), own in zip(_HANDED, _TAKEN, strict=True))
        return [
            f"define internal void @{name}({taken}{more}) alwaysinline nounwind {{",
            *self.lines, "  ret void", "}",
        ]  # fmt: skip


def number_function(
    frame: Frame, layout: Layout, inner: Mapping[Symbol, int], singles: Mapping[int, Symbol],
    keeps: Mapping[str, Symbol],
) -> tuple[list[str], list[str], list[str]]:  # fmt: skip
    """What is one number of a tensor: declarations, a function, lines that call it.

    ``singles`` go to these places of its own numbers, ``keeps`` into its states.
    """
    text = _Line(frame.program, frame.arrays, layout, inner)
    values = [text.number(s) for s in singles.values()]
    states = [text.number(s) for s in keeps.values()]
    for i, value in zip(singles, values, strict=True):
        text.put("double", "%own", i, value)
    for name, value in zip(keeps, states, strict=True):
        text.store(name, value, 0)
    call = [*_FOUND, f"  call void @number({_CALL.replace('%line', '0')})"]
    return text.declares, text.named("number"), call


class Lines:
    """Writes a kernel over rows and columns.

    Args:
        inner: the sums over summaries, and where among the own numbers they stand.
        gathered: the sums that tiles left.
        summed: those of ``inner`` that are made here.
        fills, keeps, singles: see :class:`slalom.backends.cuda.matrices.Stage`.
    """

    def __init__(
        self, frame: Frame, layout: Layout, inner: Mapping[Symbol, int],
        gathered: Sequence[Symbol], summed: Sequence[Symbol], fills: Sequence[Symbol],
        keeps: Mapping[str, Symbol], singles: Mapping[int, Symbol],
    ):  # fmt: skip
        self._of, self._layout, self._inner = frame, layout, inner
        self._gathered = {a: [s for s in gathered if s.along == a] for a in (ROWS, COLUMNS)}
        self._summed, self._fills, self._keeps = summed, fills, keeps
        self._singles = singles
        self._area = len(summed) * (THREADS + FEW) + 1
        self._declares: list[str] = []

    def alone(self) -> str:
        """The kernel of a block for each segment, one thread of which makes single numbers."""
        declares, texts, call = number_function(
            self._of, self._layout, self._inner, self._singles, self._keeps
        )
        lines = [
            *self._begin("%place"),
            "  %one = icmp eq i64 %thread, 0",
            "  br i1 %one, label %do, label %out",
            "do:",
            *self._if_served("out"),
            *call,
            "  br label %out",
            "out:",
        ]
        return phased(
            GIVEN, [lines], self._of.target, shared="[1 x double]", declares=declares, texts=texts
        )

    def text(self) -> str:
        """The kernel, on all blocks of lines."""
        start = self._start()
        functions = [line for along in (ROWS, COLUMNS) for line in self._function(along)]
        declares, texts, call = number_function(
            self._of, self._layout, self._inner, self._singles, {}
        )
        phases = []
        if any(self._gathered.values()):
            phases.append([*start, *self._shares()])
        phases.append([*start, *self._made(call)])
        if n := len(self._summed):
            phases += added_up(n, [*start, *self._company()], self._finish(), self._of.target)
        most = max(map(len, self._gathered.values()))
        return phased(
            GIVEN, phases, self._of.target, shared=f"[{self._area + most * THREADS} x double]",
            declares=[*self._declares, *declares], texts=[*functions, *texts],
        )  # fmt: skip

    def _begin(self, number: str) -> list[str]:
        """What all kernels begin with; ``number`` is that of the segment."""
        of, alone = self._of, number == "%place"
        return [
            f"  %block = call i32 @{of.target.block}()",
            f"  %thread.32 = call i32 @{of.target.thread}()",
            "  %thread = zext i32 %thread.32 to i64",
            "  %place = zext i32 %block to i64",
            *(() if alone else (
                *word("chunk.of", "%blocks", "i64", "%place"),
                "  %chunk = and i64 %chunk.of, 4294967295",
            )),
            f"  %number = {'add i64 %place, 0' if alone else 'lshr i64 %chunk.of, 32'}",
            f"  %segment = mul i64 %number, {AHEAD + len(of.arrays)}",
            "  %segment.row = add i64 %segment, 1",
            *word("row.number", "%segments", "i64", "%segment.row"),
            f"  %row.first = mul i64 %row.number, {of.wide}",
            f"  %row = getelementptr double, {SPACE} %rows, i64 %row.first",
            *(() if of.way is None else serves(of.way)),
            *of.own(),
        ]  # fmt: skip

    def _start(self) -> list[str]:
        """How a thread finds its line."""
        chosen = (
            ("line.block", "%chunk", "%chunk.behind"), ("by", "%row.lines", "%column.lines"),
            ("end", "%height", "%width"), ("tiles", "%across", "%down"),
            ("parts", "%row.parts", "%column.parts"),
        )  # fmt: skip
        return [
            *self._begin("%chunk"),
            "  %of.rows = icmp ult i64 %chunk, %row.blocks",
            "  %chunk.behind = sub i64 %chunk, %row.blocks",
            *(f"  %{n} = select i1 %of.rows, i64 {a}, i64 {b}" for n, a, b in chosen),
            "  %many.lines = shl i64 1, %by",
            "  %lines.mask = sub i64 %many.lines, 1",
            "  %l = and i64 %thread, %lines.mask",
            "  %g = lshr i64 %thread, %by",
            f"  %each = lshr i64 {THREADS}, %by",
            "  %lines.before = shl i64 %line.block, %by",
            "  %line = add i64 %lines.before, %l",
            "  %line.some = icmp slt i64 %line, %end",
            "  %highest = icmp eq i64 %g, 0",
        ]

    def _if_served(self, other: str) -> list[str]:
        if self._of.way is None:
            return []
        return [f"  br i1 %serves, label %served, label %{other}", "served:"]

    def _shares(self) -> list[str]:
        """Each thread adds up some tiles of its line."""
        lines = ["  br i1 %line.some, label %some, label %out", "some:"]
        lines.append("  br i1 %of.rows, label %rows.begin, label %columns.begin")
        for name, along in (("rows", ROWS), ("columns", COLUMNS)):
            sums = range(len(self._gathered[along]))
            own = f"%{name}"
            lines += [
                f"{name}.begin:",
                f"  br label %{name}.loop",
                f"{name}.loop:",
                f"  {own}.t = phi i64 [ %g, %{name}.begin ], [ {own}.next, %{name}.do ]",
                *(f"  {own}{n} = phi double [ 0.0, %{name}.begin ], [ {own}{n}.next, %{name}.do ]"
                  for n in sums),
                f"  {own}.some = icmp slt i64 {own}.t, %tiles",
                f"  br i1 {own}.some, label %{name}.do, label %{name}.end",
                f"{name}.do:",
            ]  # fmt: skip
            for n in sums:
                lines += [
                    f"  {own}{n}.before = mul i64 %tiles, {n}",
                    f"  {own}{n}.tile = add i64 {own}{n}.before, {own}.t",
                    f"  {own}{n}.tiles = mul i64 {own}{n}.tile, %end",
                    f"  {own}{n}.line = add i64 {own}{n}.tiles, %line",
                    f"  {own}{n}.place = add i64 {own}{n}.line, %parts",
                    *kept(f"{name}{n}.at", f"{own}{n}.place"),
                    f"  {own}{n}.own = load double, {SPACE} {own}{n}.at",
                    f"  {own}{n}.next = fadd double {own}{n}, {own}{n}.own",
                ]
            lines += [
                f"  {own}.next = add i64 {own}.t, %each", f"  br label %{name}.loop",
                f"{name}.end:",
            ]  # fmt: skip
            for n in sums:
                lines += [
                    f"  {own}{n}.seat = add i64 %thread, {self._area + n * THREADS}",
                    f"  {own}{n}.to = getelementptr double, {SHARED} @shared, i64 {own}{n}.seat",
                    f"  store double {own}{n}, {SHARED} {own}{n}.to",
                ]
            lines.append("  br label %out")
        return [*lines, "out:"]

    def _made(self, call: Sequence[str]) -> list[str]:
        """The first thread of each line makes what is asked of it, one makes single numbers."""
        lines = [
            *_FOUND, "  %mine = and i1 %line.some, %highest",
            *self._if_served("nothing"),
            "  br i1 %mine, label %some, label %nothing",
            "some:",
            "  br i1 %of.rows, label %rows.begin, label %columns.begin",
        ]  # fmt: skip
        for name, along in (("rows", ROWS), ("columns", COLUMNS)):
            own = f"%{name}"
            sums = range(len(self._gathered[along]))
            lines += [
                f"{name}.begin:",
                f"  br label %{name}.loop",
                f"{name}.loop:",
                f"  {own}.t = phi i64 [ 0, %{name}.begin ], [ {own}.next, %{name}.do ]",
                *(f"  {own}{n} = phi double [ 0.0, %{name}.begin ], [ {own}{n}.next, %{name}.do ]"
                  for n in sums),
                f"  {own}.some = icmp slt i64 {own}.t, {'%each' if sums else 0}",
                f"  br i1 {own}.some, label %{name}.do, label %{name}.end",
                f"{name}.do:",
                f"  {own}.behind = shl i64 {own}.t, %by",
                f"  {own}.of = add i64 {own}.behind, %l",
            ]  # fmt: skip
            for n in sums:
                lines += [
                    f"  {own}{n}.seat = add i64 {own}.of, {self._area + n * THREADS}",
                    f"  {own}{n}.at = getelementptr double, {SHARED} @shared, i64 {own}{n}.seat",
                    f"  {own}{n}.own = load double, {SHARED} {own}{n}.at",
                    f"  {own}{n}.next = fadd double {own}{n}, {own}{n}.own",
                ]
            more = "".join(f", double {own}{n}" for n in sums)
            lines += [
                f"  {own}.next = add nuw nsw i64 {own}.t, 1", f"  br label %{name}.loop",
                f"{name}.end:", f"  call void @line.{along}({_CALL}{more})", "  br label %next",
            ]  # fmt: skip
        lines += ["nothing:"]
        for n in range(len(self._summed)):
            lines += [line.replace(f"%own{n}.", f"%none{n}.") for line in own_sum(n, "0.0")]
        lines += ["  br label %next", "next:"]
        if self._singles:
            lines += [
                "  %first.block = icmp eq i64 %chunk, 0",
                "  %first.thread = icmp eq i64 %thread, 0",
                "  %one.first = and i1 %first.block, %first.thread",
                "  %one = and i1 %one.first, "
                + ("%serves" if self._of.way is not None else "true"),
                "  br i1 %one, label %single, label %out",
                "single:",
                *call[len(_FOUND) :],
                "  br label %out",
                "out:",
            ]
        return lines

    def _function(self, along: int) -> list[str]:
        """What is made of a line."""
        of, gathered = self._of, self._gathered[along]
        text = _Line(of.program, of.arrays, self._layout, self._inner, gathered)
        for n, total in enumerate(gathered):
            slot = self._layout.slot_of_sum(total)
            assert slot is not None
            text.fill(slot, along, "double", f"%g{n}")
        kinds = of.program.rule.shapes
        keeps = {n: text.number(s) for n, s in self._keeps.items() if KEPT[kinds[n]] == along}
        for symbol in self._fills:
            if symbol.along == along:
                text.fill(of.slots[symbol], along, of.kind, text.number(symbol))
        for name, value in keeps.items():
            text.store(name, value, along)
        for n, total in enumerate(self._summed):
            value = "0.0"
            if total.args[0].along == along:
                value = text.number(total.args[0])
                if total.op == "squares":
                    value = text.squared(value)
            text.lines += own_sum(n, value)
        self._declares += text.declares
        more = "".join(f", double %g{n}" for n in range(len(gathered)))
        return text.named(f"line.{along}", more)

    def _company(self) -> list[str]:
        """See :data:`slalom.backends.cuda.adding.COMPANY`: a segment's blocks of lines."""
        return [
            f"  %inner.before = mul i64 %chunk, {len(self._summed)}",
            "  %inner.place = add i64 %inner.before, %inner",
            *kept("partial", "%inner.place"),
            *kept("every", "%inner"),
            "  %many = add i64 %all.blocks, 0",
        ]

    def _finish(self) -> list[str]:
        lines = self._if_served("out")
        for n, total in enumerate(self._summed):
            lines += [
                f"  %to{n} = getelementptr double, {SPACE} %own, i64 {self._inner[total]}",
                f"  store double %all{n}, {SPACE} %to{n}",
            ]
        return [*lines, "  br label %out", "out:"]
