"""The compiled code of programs: one loop each, or the stages of one that sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from slalom.backends.llvm.halts import Halt, halts
from slalom.backends.llvm.jit import jit
from slalom.backends.llvm.lower import lower, names
from slalom.backends.llvm.memory import Arrays
from slalom.backends.llvm.summaries import Layout, sweeps_over
from slalom.ir.operations import COLUMNS
from slalom.ir.program import Program
from slalom.ir.symbol import Symbol

_STAGE = np.dtype([
    ("before", "u8"), ("sweep", "u8"), ("sums", "i8"), ("first", "i8"), ("columns", "i8"),
    ("first_column", "i8"),
])  # fmt: skip
"""Stage as ``driver.c`` declares it."""


@dataclass(frozen=True, eq=False)
class Code:
    """A program over arrays of some types, compiled.

    Attributes:
        update: the address of its loop; 0 where it sums.
        stages: what is done one after the other where it sums; else there are none. Of a program
            with halts it is what is done behind the last.
        halts: where it stops before.
        before: what is done before each halt.
        places: of each halt where the numbers stand that are asked for, and what they become.
        layout: where what a segment has of its own stands then.
        sums, columns: the most sums of a sweep, over all elements and of each column.
        by_rows: whether it goes over whole rows.
    """

    update: int
    stages: np.ndarray
    layout: Layout | None = None
    halts: Sequence[Halt] = ()
    before: Sequence[np.ndarray] = ()
    places: Sequence[Sequence[tuple[int | None, Symbol]]] = ()
    sums: int = 0
    columns: int = 0
    by_rows: bool = False


@cache
def machine_code(program: Program, arrays: Arrays, stochastic: bool = False) -> Code:
    """The code of a program, kept as long as the process lives."""
    compiler = jit()
    text = lower(program, arrays, fma=compiler.fma, stochastic=stochastic)
    found = compiler.compile(text, *names(program, arrays))
    if not program.sums:
        return Code(found[0], np.zeros(0, _STAGE))
    sweeps = sweeps_over(program, arrays)
    stops = halts(program, sweeps)
    layout = Layout(sweeps, stops)
    stages = np.zeros(len(sweeps) + 1, _STAGE)
    last, met = 2 * len(sweeps) + 1, found[2 * len(sweeps) + 1 :]
    stages["before"], stages["sweep"][:-1] = found[:last:2], found[1:last:2]
    for which, along in (("sums", 0), ("columns", COLUMNS)):
        stages[which][:-1] = [sum(t.along == along for t in s.sums) for s in sweeps]
    stages["first"][:-1], stages["first_column"][:-1] = layout.firsts, layout.first_columns
    most = int(stages["sums"].max()), int(stages["columns"].max())
    begins = [0, *(stop.before for stop in stops)]
    before = [stages[begin : end + 1].copy() for begin, end in pairwise(begins)]
    for own, address in zip(before, met, strict=True):  # in place of what comes before a sweep
        own[-1] = np.zeros((), _STAGE)
        own["before"][-1] = address
    places = [[(layout.of_sum(n), n) for n in stop.asked] for stop in stops]
    stages = stages[begins[-1] :].copy()
    return Code(0, stages, layout, stops, before, places, *most, program.by_rows)
