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


class Work:
    """Tensors of one GPU whose elements go through the same program.

    Args:
        rows: their scalars.
        shapes: of all slots, complex numbers being pairs of reals.
        lies: where an array of a slot lies, by its name; of gradients, :meth:`send` is told.

    Attributes:
        slots: their places among all slots.
        asked: what they are asked for together with others.
    """

    def __init__(
        self, gpu: Gpu, program: Program, arrays: Arrays, stochastic: bool, rows: Members,
        shapes: Sequence[torch.Size], lies: Callable[[str, int], int],
    ):  # fmt: skip
        self._gpu, self._rows, self._scalars = gpu, [row for row, _ in rows], len(program.scalars)
        self.slots = [i for _, slots in rows for i in slots]
        kernels = _kernels(program, arrays, gpu.target, stochastic)
        self._functions = proven(gpu, kernels, [program], arrays)
        own = [(shapes[i], k) for k, (_, slots) in enumerate(rows) for i in slots]
        self._all = Table(kernels, arrays, [shape for shape, _ in own], [k for _, k in own])
        self._fixed = Mirror(gpu, self._all.fixed, fixed=True, beside=self._all.scratch)
        self._segments = Mirror(gpu, self._all.segments)
        groups = [row.group for row, places in rows for _ in places] if kernels.crossings else []
        self.asked = self._all.asked(self._fixed.address, self.slots, groups)
        names = [name for name, _ in arrays]
        self._grad = AHEAD + names.index("grad")
        for column, name in enumerate(names, AHEAD):
            if name != "grad":
                own = np.array([lies(name, i) for i in self.slots], np.uint64)
                self._segments.host[:, column] = own.view(np.int64)
        self._table = Mirror(gpu, np.zeros((len(rows), width([program]))))
        self._tables = [self._fixed, self._segments, self._table]

    def send(self, grads: Sequence[int]) -> None:
        """Bring the tables up to date, on the current stream.

        ``grads`` are the addresses of the gradients of all slots.
        """
        own = np.array([grads[i] for i in self.slots], np.uint64)
        self._segments.host[:, self._grad] = own.view(np.int64)
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

    def run(self, grads: Sequence[int]) -> None:
        """Update all of them, on the current stream; ``grads`` as :meth:`Work.send` has them."""
        for work in self.works:
            work.send(grads)
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
