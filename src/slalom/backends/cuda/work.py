"""What kernels of one program update: tensors of one GPU, in tables that lie there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends.base import BEFORE
from slalom.backends.cuda.codes import code_kernel, has_codes
from slalom.backends.cuda.gpu import Gpu, Mirror
from slalom.backends.cuda.kernel import AHEAD, CHUNK, kernel, width
from slalom.backends.cuda.proof import proven, proven_sums
from slalom.backends.cuda.sums import SumKernels
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.llvm.elements import Arrays
from slalom.backends.llvm.summaries import Place
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
        shapes: Sequence[torch.Size], lies: Callable[[str, int], int], *, known: bool = False,
    ):  # fmt: skip
        self._gpu, self._rows, self._scalars = gpu, [row for row, _ in rows], len(program.scalars)
        self.slots = [i for _, slots in rows for i in slots]
        self._sums = None
        if program.sums:
            self._sums = _Sums(gpu, program, arrays, stochastic, [shapes[i] for i in self.slots])
            if not known:
                proven_sums(gpu, self._sums.kernels.texts, program, arrays, _tried)
        else:
            text = _text(program, arrays, gpu.target, stochastic)
            self._function = proven(gpu, text, [program], arrays)
        counts = [shapes[i].numel() for i in self.slots]
        least = int(program.sums)  # what comes before and after is done for empty ones too
        chunks = [
            np.int64(place << 32) + np.arange(max(least, -(-count // CHUNK)), dtype=np.int64)
            for place, count in enumerate(counts)
        ]
        self._blocks = Mirror(gpu, np.concatenate(chunks), fixed=True)
        self._segments = Mirror(gpu, np.zeros((len(counts), AHEAD + len(arrays)), np.int64))
        self._segments.host[:, 0] = counts
        self._segments.host[:, 1] = [k for k, (_, slots) in enumerate(rows) for _ in slots]
        names = [name for name, _ in arrays]
        self._grad = AHEAD + names.index("grad")
        for column, name in enumerate(names, AHEAD):
            if name != "grad":
                own = np.array([lies(name, i) for i in self.slots], np.uint64)
                self._segments.host[:, column] = own.view(np.int64)
        self._table = Mirror(gpu, np.zeros((len(rows), width([program]))))
        self._tables = [self._segments, self._blocks, self._table]
        if self._sums is not None:
            self._sums.make_room(self._blocks.host.size)
            self._tables.append(self._sums.own)

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
        blocks = self._blocks.host.size
        if not blocks:
            return
        gpu = self._gpu
        stream = gpu.stream()
        with gpu.driver.current():
            for table in self._tables:
                table.send(stream)
        for place, value in late:
            self._table.put(place, value)
        given = [table.address for table in self._tables]
        functions = (
            [(self._function, blocks)] if self._sums is None else self._sums.functions(blocks)
        )
        given += [] if self._sums is None else self._sums.room
        with gpu.driver.current():
            for function, count in functions:
                gpu.driver.launch(function, count, THREADS, given, stream)


class _Sums:
    """What the kernels of a program that sums have besides.

    Attributes:
        own: the numbers of each segment's own.
        room: the addresses of where blocks put their sums, and of the counters.
    """

    def __init__(
        self, gpu: Gpu, program: Program, arrays: Arrays, stochastic: bool,
        shapes: Sequence[torch.Size],
    ):  # fmt: skip
        self.kernels = _kernels(program, arrays, gpu.target, stochastic)
        self._gpu, self._count = gpu, len(shapes)
        self._loaded: list[int] = []
        numbers = np.zeros((len(shapes), self.kernels.numbers))
        words, base = numbers.view(np.int64), self.kernels.base
        heights = [math.prod(shape[:1]) for shape in shapes]
        widths = [math.prod(shape[1:]) for shape in shapes]
        sizes = [shape.numel() for shape in shapes]
        for place, value in (
            (Place.ELEMENTS, sizes),
            (Place.ROWS, heights),
            (Place.COLUMNS, widths),
        ):
            numbers[:, base + place] = np.maximum(value, 1)  # as means divide by it
        words[:, base + Place.HEIGHT], words[:, base + Place.WIDTH] = heights, widths
        self.own = Mirror(gpu, numbers, fixed=True)

    def make_room(self, blocks: int) -> None:
        """Have memory for so many blocks."""
        ahead = 8 * -(-self._count // 2)
        self._room = self._gpu.empty(ahead + 8 * blocks * self.kernels.most).zero_()
        counters = self._room.data_ptr()
        self.room = [counters + ahead, counters]

    def functions(self, blocks: int) -> list[tuple[int, int]]:
        """The kernels, and on how many blocks each is started."""
        if not self._loaded:
            self._loaded = [self._gpu.function(text) for text in self.kernels.texts]
        begins = self.kernels.begins
        return [
            (f, self._count if begins and not k else blocks) for k, f in enumerate(self._loaded)
        ]


def _tried(
    gpu: Gpu, program: Program, arrays: Arrays, tensors: Sequence[Sequence[Tensor]],
    rows: Sequence[Sequence[float]], noise: int,
) -> None:  # fmt: skip
    """Update these tensors, of each its arrays, each by its own row; for a proof."""
    places = {name: place for place, (name, _) in enumerate(arrays)}
    own = [SimpleNamespace(values=row, noise=noise) for row in rows]
    members = [(row, [i]) for i, row in enumerate(own)]
    shapes = [t[places["param"]].shape for t in tensors]
    work = Work(
        gpu, program, arrays, True, members, shapes,
        lambda name, i: tensors[i][places[name]].data_ptr(), known=True,
    )  # fmt: skip
    work.run([t[places["grad"]].data_ptr() for t in tensors])


@lru_cache(256)
def _text(program: Program, arrays: Arrays, target: Target, stochastic: bool) -> str:
    if has_codes(arrays):
        return code_kernel(program, arrays, target, stochastic=stochastic)
    return kernel([program], arrays, target, stochastic=stochastic)


@lru_cache(256)
def _kernels(program: Program, arrays: Arrays, target: Target, stochastic: bool) -> SumKernels:
    return SumKernels(program, arrays, target, stochastic)
