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
from slalom.backends.cuda.members import Kernels, Table
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
        lies: where an array of a slot lies, by its name; of gradients, :meth:`run` is told.
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
        names = [name for name, _ in arrays]
        self._grad = AHEAD + names.index("grad")
        for column, name in enumerate(names, AHEAD):
            if name != "grad":
                own = np.array([lies(name, i) for i in self.slots], np.uint64)
                self._segments.host[:, column] = own.view(np.int64)
        self._table = Mirror(gpu, np.zeros((len(rows), width([program]))))
        self._tables = [self._fixed, self._segments, self._table]

    def run(self, grads: Sequence[int]) -> None:
        """Bring the tables up to date and start the kernels, on the current stream.

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
        gpu = self._gpu
        stream = gpu.stream()
        with gpu.driver.current():
            for table in self._tables:
                table.send(stream)
        for place, value in late:
            self._table.put(place, value)
        fixed, segments, rows = (table.address for table in self._tables)
        launches = self._all.launches(fixed, segments, self._fixed.end, rows)
        with gpu.driver.current():
            for function, (blocks, given) in zip(self._functions, launches, strict=True):
                gpu.driver.launch(function, blocks, THREADS, given, stream)


@lru_cache(256)
def _kernels(program: Program, arrays: Arrays, target: Target, stochastic: bool) -> Kernels:
    return Kernels.of([program], arrays, target, stochastic, chosen=False)
