"""What kernels of one program update: tensors of one GPU, in tables that lie there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends.base import BEFORE
from slalom.backends.cuda.gpu import Gpu, Mirror
from slalom.backends.cuda.kernel import AHEAD, width
from slalom.backends.cuda.meeting import Meeting, in_turns
from slalom.backends.cuda.members import Kernels, Table, met
from slalom.backends.cuda.proof import proven
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.llvm.memory import Arrays
from slalom.ir.program import Program

Members = Sequence[tuple[Any, Sequence[int]]]
"""Rows (:class:`slalom.backends.row.Row`), and the places of the slots that have each."""

Places = Callable[[Sequence[str], Sequence[int]], np.ndarray]
"""Where the addresses of arrays, by name, of some slots stand: an index of shape (slots, names)."""


class Work:
    """Tensors of one GPU whose elements go through the same program.

    Args:
        rows: their scalars.
        shapes: of all slots, complex numbers being pairs of reals.
        places_of: where addresses stand in what :meth:`send` is given.

    Attributes:
        asked: what they are asked for together with others.
    """

    def __init__(
        self, gpu: Gpu, program: Program, arrays: Arrays, stochastic: bool, rows: Members,
        shapes: Sequence[torch.Size], places_of: Places,
    ):  # fmt: skip
        self._gpu, self._rows, self._scalars = gpu, [row for row, _ in rows], len(program.scalars)
        kernels = _kernels(program, arrays, gpu.target, stochastic)
        self._functions = proven(gpu, kernels, [program], arrays)
        slots = [i for _, slots in rows for i in slots]
        self._places = places_of([name for name, _ in arrays], slots)
        own = [(shapes[i], k) for k, (_, slots) in enumerate(rows) for i in slots]
        self._all = Table(kernels, arrays, [shape for shape, _ in own], [k for _, k in own])
        self._fixed = Mirror(gpu, self._all.fixed, fixed=True, beside=self._all.scratch)
        self._segments = Mirror(gpu, self._all.segments)
        groups = [row.group for row, places in rows for _ in places] if kernels.crossings else []
        self.asked = self._all.asked(self._fixed.address, slots, groups)
        self._table = Mirror(gpu, np.zeros((len(rows), width([program]))))
        self._tables = [self._fixed, self._segments, self._table]

    def send(self, addresses: np.ndarray) -> None:
        """Bring the tables up to date, on the current stream.


        ``addresses`` (int64) are those of all arrays of all slots, as they lie now.
        """
        self._segments.host[:, AHEAD:] = addresses[self._places]
        late: list[tuple[int, Tensor]] = []
        for k, row in enumerate(self._rows):
            own = self._table.host[k]
            own[1] = row.noise or 0
            for i, value in enumerate(row.values[: self._scalars], BEFORE):
                if isinstance(value, Tensor):
                    late.append((k * len(own) + i, value))
                    own[i] = math.nan  # or a number after it might be what was sent before it
                else:
                    own[i] = value
        if not self._all.blocks:
            return
        stream = self._gpu.stream()
        with self._gpu.driver.current():
            for table in self._tables:
                table.send(stream)
        for place, value in late:
            self._table.put(place, value)

    def start(self, turn: int = 0) -> None:
        """Start the kernels that come behind so many crossings, on the current stream."""
        if not self._all.blocks:
            return
        gpu, stream = self._gpu, self._gpu.stream()
        fixed, segments, rows = (table.address for table in self._tables)
        launches = self._all.launches(fixed, segments, self._fixed.end, rows)
        with gpu.driver.current():
            for function, (own, blocks, given) in zip(self._functions, launches, strict=True):
                if own == turn:
                    gpu.driver.launch(function, blocks, THREADS, given, stream)


class Company:
    """Works of one GPU whose tensors are asked together; or one that is for itself."""

    def __init__(self, gpu: Gpu, works: Sequence[Work]):
        self._gpu, self.works = gpu, works
        self._many = len(works[0].asked.crossings)
        if self._many:
            self._meeting = Meeting([work.asked for work in works])
            self._words = Mirror(gpu, self._meeting.words, fixed=True)
            self._function = met(gpu)

    def run(self, addresses: np.ndarray) -> None:
        """Update all of them, on the current stream; see :meth:`Work.send`."""
        for work in self.works:
            work.send(addresses)
        if self._many:
            with self._gpu.driver.current():
                self._words.send(self._gpu.stream())
        in_turns(self._many, self._start, self._meet)

    def _start(self, turn: int) -> None:
        for work in self.works:
            work.start(turn)

    def _meet(self, i: int) -> None:
        blocks, begin = self._meeting.starts[i]
        given = [self._words.address + 8 * begin, 0]
        with self._gpu.driver.current():
            self._gpu.driver.launch(self._function, blocks, THREADS, given, self._gpu.stream())


@lru_cache(256)
def _kernels(program: Program, arrays: Arrays, target: Target, stochastic: bool) -> Kernels:
    return Kernels.of([program], arrays, target, stochastic, chosen=False)
