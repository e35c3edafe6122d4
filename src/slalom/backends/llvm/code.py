"""The compiled code of programs: one loop each, or the stages of one that sums."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from slalom.backends.llvm.elements import Arrays
from slalom.backends.llvm.jit import jit
from slalom.backends.llvm.lower import lower, names
from slalom.backends.llvm.summaries import Summaries, sweeps_over
from slalom.ir.program import Program

_STAGE = np.dtype([("before", "u8"), ("sweep", "u8"), ("sums", "i8"), ("first", "i8")])
"""Stage as ``driver.c`` declares it."""


@dataclass(frozen=True, eq=False)
class Code:
    """A program over arrays of some types, compiled.

    Attributes:
        update: the address of its loop; 0 where it sums.
        stages: what is done one after the other where it sums; else there are none.
        numbers: how many doubles a segment needs of its own then.
        size: where among these the number of its elements stands.
        sums: the most sums of a sweep.
    """

    update: int
    stages: np.ndarray
    numbers: int = 0
    size: int = 0
    sums: int = 0


@cache
def machine_code(program: Program, arrays: Arrays, stochastic: bool = False) -> Code:
    """The code of a program, kept as long as the process lives."""
    compiler = jit()
    text = lower(program, arrays, fma=compiler.fma, stochastic=stochastic)
    found = compiler.compile(text, *names(program, arrays))
    if not program.sums:
        return Code(found[0], np.zeros(0, _STAGE))
    sweeps = sweeps_over(program, arrays)
    layout = Summaries(program, sweeps, arrays, stochastic)
    stages = np.zeros(len(sweeps) + 1, _STAGE)
    stages["before"], stages["sweep"][:-1] = found[::2], found[1::2]
    stages["sums"][:-1] = [len(s.sums) for s in sweeps]
    stages["first"][:-1] = layout.firsts
    return Code(0, stages, layout.numbers, layout.size, int(stages["sums"].max()))
