"""What kernels over rows and columns share: how a matrix is cut up, and what lies where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from slalom.backends.cuda.kernel import word
from slalom.backends.cuda.phases import SPACE
from slalom.backends.cuda.target import Target
from slalom.backends.llvm.memory import Arrays, computed_in
from slalom.backends.llvm.summaries import Place
from slalom.ir.program import Program
from slalom.ir.symbol import Symbol

GIVEN = ("segments", "blocks", "rows", "owns", "partials", "counters")
"""The arguments, as :data:`slalom.backends.cuda.sums.GIVEN`; ``partials`` is all that kernels keep
for one another: first the sums over all elements of each block, then what each segment has."""


class Grid(IntEnum):
    """How a segment is cut up: words of its own, which stand behind what it sums up."""

    ACROSS = 0
    """How many tiles are beside one another; then how many one below another."""
    DOWN = 1
    ABREAST = 2
    """The logarithm to base 2 of how many threads are beside one another in a row."""
    ROW_PARTS = 3
    """Where among the doubles that kernels keep the tiles' sums of rows begin; then those of
    columns, and what blocks of lines add up (:mod:`slalom.backends.cuda.lines`)."""
    COLUMN_PARTS = 4
    INNER = 5
    ROW_LINES = 6
    """The logarithm of how many rows a block of lines has; then of how many columns."""
    COLUMN_LINES = 7
    ROW_BLOCKS = 8
    """How many blocks of lines have rows; then how many there are."""
    ALL_BLOCKS = 9
    STEPS = 10
    """How many rows a thread goes down."""


@dataclass(frozen=True, eq=False)
class Frame:
    """What all kernels of a program have in common.

    Attributes:
        small: the arrays that are no elements.
        wide, way: as :func:`slalom.backends.cuda.kernel.opening` has them.
        base, grid: where :class:`Place` and :class:`Grid` begin among a segment's own numbers.
        numbers: how many of these there are.
        slots: the slot of what is one number a row or column.
    """

    program: Program
    arrays: Arrays
    target: Target
    stochastic: bool
    wide: int
    way: int | None
    base: int
    grid: int
    numbers: int
    slots: dict[Symbol, int]

    @property
    def small(self) -> dict[str, str]:
        return self.program.rule.shapes

    @property
    def kind(self) -> str:
        """The type of arithmetic."""
        return computed_in(self.arrays, self.small)

    def own(self) -> list[str]:
        """A segment's own numbers, and where its slots and their lines are."""
        places = {
            "height": self.base + Place.HEIGHT, "width": self.base + Place.WIDTH,
            "row.slots.first": self.base + Place.ROW_SLOTS,
            "column.slots.first": self.base + Place.COLUMN_SLOTS,
            **{g.name.lower().replace("_", "."): self.grid + g for g in Grid},
        }  # fmt: skip
        return [
            f"  %own.first = mul i64 %number, {self.numbers}",
            f"  %own = getelementptr double, {SPACE} %owns, i64 %own.first",
            *(line for name, place in places.items() for line in own_word(name, place)),
            *kept("row.slots", "%row.slots.first"),
            *kept("column.slots", "%column.slots.first"),
            f"  %counter = getelementptr i32, {SPACE} %counters, i64 %number",
        ]


def own_word(name: str, place: int) -> list[str]:
    """Load a word of a segment's own, which no kernel changes."""
    return word(name, "%own", "i64", str(place))


def kept(name: str, place: str) -> list[str]:
    """The address of one of the doubles that kernels keep."""
    return [f"  %{name} = getelementptr double, {SPACE} %partials, i64 {place}"]
