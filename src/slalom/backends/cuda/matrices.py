"""Programs that sum over rows and columns, as kernels: one a sweep, and some between two of them.

A sweep goes over tiles (:mod:`slalom.backends.cuda.tiles`) and leaves sums of each tile's rows and
columns. Then a kernel has a thread for every row and column (:mod:`slalom.backends.cuda.lines`):
it adds up the tiles, and makes what the next sweep reads. Where that hangs on a sum over these
numbers, as on the mean of Adafactor's row, it takes one kernel more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from slalom.backends.cuda.descent import AT_ONCE, STEPS, TALLEST
from slalom.backends.cuda.frame import Frame, Grid
from slalom.backends.cuda.kernel import lanes, width
from slalom.backends.cuda.lines import Lines, number_function
from slalom.backends.cuda.phases import SPACE
from slalom.backends.cuda.room import Room
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.cuda.tiles import Tiles
from slalom.backends.llvm.memory import Arrays
from slalom.backends.llvm.summaries import Layout, Place, sweeps_over
from slalom.ir.operations import COLUMNS, KEPT, ROWS, SUMS
from slalom.ir.passes import ordered
from slalom.ir.program import Program
from slalom.ir.symbol import Symbol

MANY = 256
"""Tiles of a matrix from which on they are taller, so that less is left behind."""

MOST = 32
"""Tiles that a thread adds up at most, as long as a block has threads for it."""


@dataclass
class Stage:
    """What is done before a sweep, or behind the last.

    Attributes:
        gathered: the sums of rows and columns that the sweep before left.
        inner: sums over summaries, those first that hang on no other.
        fills: what is one number a row or column and was not known before.
        singles: where among the own numbers scalars of the sweep go, and what they are.
        keeps: the states of rows and columns that are stored.
    """

    gathered: list[Symbol] = field(default_factory=list)
    inner: list[list[Symbol]] = field(default_factory=list)
    fills: list[Symbol] = field(default_factory=list)
    singles: dict[int, Symbol] = field(default_factory=dict)
    keeps: dict[str, Symbol] = field(default_factory=dict)

    @property
    def has_lines(self) -> bool:
        return bool(self.gathered or self.inner or self.fills or self.keeps)


class MatrixKernels:
    """The kernels of a program that sums over rows or columns, of matrices that lie row by row.

    Attributes:
        texts: of each its assembly, in the order in which they are started.
        grids: of each what it is started on.
        turns: of each how many crossings come before it: there are none.

    ``wide`` and ``way`` are as in :func:`slalom.backends.cuda.kernel.opening`. Raises
    :class:`slalom.backends.refusals.Unavailable` where a block cannot hold all that is summed up.
    """

    def __init__(
        self, program: Program, arrays: Arrays, target: Target, stochastic: bool,
        wide: int | None = None, way: int | None = None,
    ):  # fmt: skip
        self._program = program
        self._sweeps = sweeps_over(program, arrays)
        self._layout = Layout(self._sweeps, [])
        self._sum_of = {id(s): k for k, sweep in enumerate(self._sweeps) for s in sweep.sums}
        self._levels: dict[int, int] = {}
        self._inner: dict[Symbol, int] = {}
        self._slots = {
            along: sum(t.along == along for s in self._sweeps for t in s.sums)
            for along in (ROWS, COLUMNS)
        }
        slots: dict[Symbol, int] = {}
        grid = self._layout.numbers
        own_kinds = program.rule.shapes
        self._ones = {n: s for n, s in program.small.items() if not KEPT[own_kinds[n]]}
        self._stages = self._planned(slots, grid + len(Grid))
        self._frame = Frame(
            program, arrays, target, stochastic, wide or width([program]), way, self._layout.base,
            grid, grid + len(Grid) + len(self._inner), slots,
        )  # fmt: skip
        self.crossings: list[list[Symbol]] = []
        self._lanes = lanes(arrays, self._frame.small)
        self._made()

    @property
    def numbers(self) -> int:
        """How many numbers of its own a segment has."""
        return self._frame.numbers

    # What is done where.

    def _level(self, symbol: Symbol) -> int:
        """How many sweeps come before a summary is known."""
        for node in ordered([symbol], lambda n: id(n) not in self._levels):
            if id(node) in self._levels:
                continue
            below = (self._levels[id(a)] for a in node.args if isinstance(a, Symbol))
            own = self._sum_of.get(id(node))
            self._levels[id(node)] = max(below, default=0) if own is None else own + 1
        return self._levels[id(symbol)]

    def _summaries(self, roots: Sequence[Symbol]) -> list[Symbol]:
        """What is between sweeps of these, operands first; it ends at sums over elements."""
        known = [s for s in roots if not s.is_element]

        def goes_on(node: Symbol) -> bool:
            return not (node.is_element or node.is_known)

        found: list[Symbol] = []
        for node in ordered(known, goes_on):
            if not node.is_element:
                found.append(node)
        return found

    def _planned(self, slots: dict[Symbol, int], inner: int) -> list[Stage]:
        """Every stage; slots and places (from ``inner`` on) are given to what needs them."""
        count, small = len(self._sweeps), self._program.small
        stages = [Stage() for _ in range(count + 1)]
        for k, stage in enumerate(stages):
            if k:
                stage.gathered = [s for s in self._sweeps[k - 1].sums if s.along]
            scalars = self._sweeps[k].scalars if k < count else []
            roots = [s for s in scalars if not s.is_known]
            stage.singles = {i: s for i, s in enumerate(scalars) if not s.along and not s.is_known}
            for symbol in roots:
                if symbol.along and symbol not in slots:
                    slots[symbol] = self._slots[symbol.along]
                    self._slots[symbol.along] += 1
                    stage.fills.append(symbol)
            roots = [*stage.fills, *stage.singles.values()]
            roots += [s for s in small.values() if self._level(s) == k and not s.is_known]
            depth: dict[int, int] = {}
            for node in self._summaries(roots):
                below = [depth.get(id(a), 0) for a in node.args if isinstance(a, Symbol)]
                depth[id(node)] = max(below, default=0)
                if node.op in SUMS and id(node) not in self._sum_of and node not in self._inner:
                    depth[id(node)] += 1
                    self._inner[node] = inner + len(self._inner)
                    while len(stage.inner) < depth[id(node)]:
                        stage.inner.append([])
                    stage.inner[depth[id(node)] - 1].append(node)
        self._keep(stages)
        return stages

    def _keep(self, stages: Sequence[Stage]) -> None:
        """Store states of rows and columns as early as they are known and no longer read."""
        keeps = {n: s for n, s in self._program.small.items() if n not in self._ones}
        if not keeps:
            return
        first = max(self._level(s) for s in keeps.values())
        for k, stage in enumerate(stages):
            later = [*self._ones.values()]
            for after in stages[k + 1 :]:
                later += [*after.fills, *after.singles.values()]
                later += [s for own in after.inner for s in own]
            read = {n.args[0] for n in self._summaries(later) if n.op in KEPT}
            if k == len(stages) - 1 or (k >= first and stage.has_lines and read.isdisjoint(keeps)):
                stage.keeps = keeps
                return

    # The kernels.

    @property
    def turns(self) -> list[int]:
        return [0] * len(self.texts)

    def _made(self) -> None:
        self.texts: list[str] = []
        self.grids: list[str] = []
        for k, stage in enumerate(self._stages):
            before = self._sweeps[k - 1] if k else None
            in_sweep = bool(before and any(not s.along for s in before.sums))
            if k:
                assert before is not None
                finish, declares, texts = self._finish(k)
                self._add("tiles", Tiles(self._frame, before).text(finish, declares, texts))
            if stage.has_lines:
                self._between(stage)
            elif stage.singles and not in_sweep:
                self._one(stage.singles, {})
        if self._ones:
            self._one({}, self._ones)

    def _add(self, grid: str, text: str) -> None:
        self.grids.append(grid)
        self.texts.append(text)

    def _between(self, stage: Stage) -> None:
        """The kernels over rows and columns of a stage."""
        common = self._frame, self._layout, self._inner
        gathered = stage.gathered
        for summed in stage.inner:
            self._add("lines", Lines(*common, gathered, summed, [], {}, {}).text())
            gathered = []
        if stage.fills or stage.keeps or stage.singles or gathered:
            rest = stage.fills, stage.keeps, stage.singles
            self._add("lines", Lines(*common, gathered, [], *rest).text())

    def _finish(self, k: int) -> tuple[list[str], list[str], list[str]]:
        """What the last block of sweep ``k - 1`` does, with what that takes."""
        sums = [s for s in self._sweeps[k - 1].sums if not s.along]
        first, stage = self._layout.firsts[k - 1], self._stages[k]
        lines = [
            line for n in range(len(sums)) for line in (
                f"  %to{n} = getelementptr double, {SPACE} %own, i64 {first + n}",
                f"  store double %all{n}, {SPACE} %to{n}",
            )
        ]  # fmt: skip
        declares, texts = [], []
        if sums and stage.singles and not stage.has_lines:
            declares, texts, call = number_function(self._frame, self._layout, self._inner,
                                                    stage.singles, {})  # fmt: skip
            lines += [*self._if_served(), *call]
        return [*lines, "  br label %out", "out:"], declares, texts

    def _if_served(self) -> list[str]:
        if self._frame.way is None:
            return []
        return ["  br i1 %serves, label %served, label %out", "served:"]

    def _one(self, singles: dict[int, Symbol], keeps: dict[str, Symbol]) -> None:
        """A kernel of a block for each segment, one thread of which makes these."""
        common = self._frame, self._layout, self._inner
        self._add("segments", Lines(*common, [], [], [], keeps, singles).alone())

    # How segments are cut up.

    def room(self, shapes: Sequence[torch.Size]) -> Room:
        """What segments of these shapes have of their own, and share."""
        layout = self._layout
        own = np.zeros((len(shapes), self.numbers))
        words = own.view(np.int64)
        tiles, lines = [], []
        used = self._used()
        totals = max((sum(not t.along for t in s.sums) for s in self._sweeps), default=0)
        cuts = [self._cut(shape, used) for shape in shapes]
        begin = _even(totals * sum(c[Grid.ACROSS] * c[Grid.DOWN] for c in cuts))
        parts = {
            a: max(sum(t.along == a for t in s.sums) for s in self._sweeps) for a in (ROWS, COLUMNS)
        }
        inner = max((len(d) for stage in self._stages for d in stage.inner), default=0)
        for i, (shape, cut) in enumerate(zip(shapes, cuts, strict=True)):
            height, wide = math.prod(shape[:1]), math.prod(shape[1:])
            base = layout.base
            for place, value in (
                (Place.ELEMENTS, height * wide), (Place.ROWS, height), (Place.COLUMNS, wide),
            ):  # fmt: skip
                own[i, base + place] = max(value, 1)  # as means divide by it
            words[i, base + Place.HEIGHT], words[i, base + Place.WIDTH] = height, wide
            rooms = {
                base + Place.ROW_SLOTS: self._slots[ROWS] * height,
                base + Place.COLUMN_SLOTS: self._slots[COLUMNS] * wide,
                self._frame.grid + Grid.ROW_PARTS: parts[ROWS] * cut[Grid.ACROSS] * height,
                self._frame.grid + Grid.COLUMN_PARTS: parts[COLUMNS] * cut[Grid.DOWN] * wide,
                self._frame.grid + Grid.INNER: inner * cut[Grid.ALL_BLOCKS],
            }
            for grid, value in cut.items():
                words[i, self._frame.grid + grid] = value
            for place, size in rooms.items():
                words[i, place] = begin
                begin = _even(begin + size)
            for found, many in (
                (tiles, cut[Grid.ACROSS] * cut[Grid.DOWN]), (lines, cut[Grid.ALL_BLOCKS])
            ):  # fmt: skip
                found.append((i << 32) + np.arange(many, dtype=np.int64))
        tables = {"tiles": np.concatenate(tiles), "lines": np.concatenate(lines)}
        return Room(own, tables, 8 * begin)

    def _used(self) -> int:
        """Along what lines are gone over, as bits."""
        found = 0
        for stage in self._stages:
            own = [*stage.gathered, *stage.fills, *stage.keeps.values()]
            own += [s.args[0] for d in stage.inner for s in d]
            kinds = self._program.rule.shapes
            for along in (*(s.along for s in own), *(KEPT[kinds[n]] for n in stage.keeps)):
                found |= along
        return found

    def _cut(self, shape: torch.Size, used: int) -> dict[Grid, int]:
        """How a matrix of this shape is cut up, by :class:`Grid`, but for where things lie."""
        height, wide = math.prod(shape[:1]), math.prod(shape[1:])
        abreast = AT_ONCE
        while abreast < THREADS and abreast * self._lanes < wide:
            abreast *= 2
        across = max(1, -(-wide // (abreast * self._lanes)))
        steps = STEPS
        while steps < TALLEST and across * -(-height // (THREADS // abreast * steps)) > MANY:
            steps *= 2
        down = max(1, -(-height // (THREADS // abreast * steps)))
        of_rows, of_columns = _lines_for(across), _lines_for(down)
        rows = -(-height // of_rows) if used & ROWS else 0
        columns = -(-wide // of_columns) if used & COLUMNS else 0
        return {
            Grid.ACROSS: across, Grid.DOWN: down, Grid.ABREAST: abreast.bit_length() - 1,
            Grid.ROW_LINES: of_rows.bit_length() - 1,
            Grid.COLUMN_LINES: of_columns.bit_length() - 1,
            Grid.STEPS: steps, Grid.ROW_BLOCKS: rows, Grid.ALL_BLOCKS: max(1, rows + columns),
        }  # fmt: skip


def _lines_for(tiles: int) -> int:
    """How many lines a block has, of each of which so many tiles are to be added up."""
    each = 4
    while each < THREADS and tiles > MOST * each:
        each *= 2
    return THREADS // each


def _even(number: int) -> int:
    return number + number % 2
