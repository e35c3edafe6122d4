"""Tables of what kernels update, as the words that they read; and a launch that makes its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slalom.backends.cuda.codes import code_kernel, has_codes
from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.kernel import AHEAD, kernel, width
from slalom.backends.cuda.matrices import MatrixKernels
from slalom.backends.cuda.room import blocks_of
from slalom.backends.cuda.sums import SumKernels
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.llvm.memory import Arrays
from slalom.ir.program import Program
from slalom.ir.vectors import of_vectors


@dataclass(frozen=True, eq=False)
class Kernels:
    """The kernels of an update, in the order in which they are started.

    Attributes:
        texts: their assembly, as :func:`slalom.backends.cuda.kernel.kernel` gives it.
        sums: where they sum, whose they are.
        chosen: whether rows name the program that serves, of which below 0 none does.
    """

    texts: Sequence[str]
    sums: Sequence[SumKernels | MatrixKernels] = ()
    chosen: bool = False

    @classmethod
    def of(
        cls, programs: Sequence[Program], arrays: Arrays, target: Target, chance: bool, *,
        chosen: bool = True,
    ) -> Kernels:  # fmt: skip
        """Those of some programs; of a single one where they are not ``chosen`` by rows."""
        wide, ways = width(programs), [k if chosen else None for k in range(len(programs))]
        pairs = list(zip(programs, ways, strict=True))
        if any(p.sums for p in programs):
            sums = [
                (MatrixKernels if p.by_rows else SumKernels)(p, arrays, target, chance, wide, way)
                for p, way in pairs
            ]
            return cls([text for own in sums for text in own.texts], sums, chosen)
        if has_codes(arrays):
            common = {"stochastic": chance, "wide": wide}
            return cls(
                [code_kernel(p, arrays, target, way=way, **common) for p, way in pairs], (), chosen
            )
        text = kernel(programs, arrays, target, chosen=chosen, stochastic=chance)
        return cls([text], (), chosen)


class Table:
    """The words that kernels read of some tensors, which lie on the GPU somewhere.

    ``shapes`` are theirs, complex numbers being pairs of reals; ``rows`` are their rows' numbers.

    Attributes:
        fixed: int64: what is sent once, and what kernels keep for one another begins as.
        segments: int64 of shape (tensors, words); the addresses are still to be put down.
        blocks: how many blocks of threads take all of it.
        scratch: bytes that kernels need besides, whatever stands there.
    """

    def __init__(
        self, kernels: Kernels, arrays: Arrays, shapes: Sequence[torch.Size], rows: Sequence[int]
    ):  # fmt: skip
        self._kernels, self._count = kernels, len(shapes)
        self.segments = np.zeros((len(shapes), AHEAD + len(arrays)), np.int64)
        counts = [shape.numel() for shape in shapes]
        self.segments[:, 0], self.segments[:, 1] = counts, rows
        rooms = [sums.room(shapes) for sums in kernels.sums]
        chunks = blocks_of(counts, int(bool(rooms)))
        self.blocks = len(chunks)
        counters = np.zeros(-(-len(shapes) // 2) if rooms else 0, np.int64)
        self._parts = _Parts()
        self._parts.add(chunks)
        self._counters = self._parts.add(counters, own=True)
        self._owns = [self._parts.add(room.own.view(np.int64).ravel(), own=True) for room in rooms]
        self._grids = [
            {name: (len(table), self._parts.add(table)) for name, table in room.tables.items()}
            for room in rooms
        ]
        self.fixed = self._parts.joined()
        self.scratch = max((room.kept for room in rooms), default=0)

    def launches(
        self, fixed: int, segments: int, scratch: int, rows: int
    ) -> list[tuple[int, list[int]]]:  # fmt: skip
        """Of each kernel on how many blocks it is started, and what it is given, in order.

        These are where the parts of the table, and the rows, lie on the GPU.
        """
        if not self._kernels.sums:
            return [(self.blocks, [segments, fixed, rows])] * len(self._kernels.texts)
        found = []
        for sums, own, grids in zip(self._kernels.sums, self._owns, self._grids, strict=True):
            behind = [rows, fixed + own, scratch, fixed + self._counters]
            for grid in sums.grids:
                blocks, begin = grids.get(grid, (self._count, 0))
                found.append((blocks, [segments, fixed + begin, *behind]))
        return found


class _Parts:
    """Tables of int64 one behind the other, equal ones once."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._begins: dict[bytes, int] = {}
        self._size = 0

    def add(self, part: np.ndarray, *, own: bool = False) -> int:
        """Have a table; how many bytes lie before it. What kernels write to is its ``own``."""
        content = part.tobytes()
        if not own and content in self._begins:
            return self._begins[content]
        begin = self._size
        self._parts.append(part)
        self._size += part.nbytes
        if not own:
            self._begins[content] = begin
        return begin

    def joined(self) -> np.ndarray:
        return np.concatenate(self._parts)


def forms(programs: Sequence[Program], shape: torch.Size) -> tuple[Program, ...]:
    """What programs are for a tensor of this shape: those of rows have others for vectors."""
    if any(p.by_rows for p in programs) and math.prod(shape[1:]) == 1:
        return tuple(map(of_vectors, programs))
    return tuple(programs)


def real_shape(tensor: Tensor) -> torch.Size:
    """The shape of a tensor, complex numbers being pairs of reals."""
    return torch.Size([*tensor.shape, *((2,) * tensor.is_complex())])


Members = Sequence[tuple[int, Sequence[Tensor]]]
"""The number of its row, and its arrays, of each tensor that is updated."""


def prepared(
    gpu: Gpu, kernels: Kernels, functions: Sequence[int], arrays: Arrays, members: Members,
    rows: Tensor,
) -> Callable[[], None]:  # fmt: skip
    """What starts kernels over these, on the current stream, and needs no more memory of the GPU.

    ``functions`` are the kernels as loaded; ``rows`` (float64 on the GPU) are as
    :func:`slalom.backends.cuda.kernel.kernel` has them. It may be called once, and a graph may
    record it.
    """
    table = Table(
        kernels, arrays, [real_shape(t[0]) for _, t in members], [place for place, _ in members]
    )
    if not table.blocks:
        return lambda: None
    lie = [[x.data_ptr() for x in tensors] for _, tensors in members]
    table.segments[:, AHEAD:] = np.array(lie, np.uint64).view(np.int64)
    content = np.concatenate([table.fixed, table.segments.ravel()]).tobytes()  # one copy for both
    memory, scratch = gpu.empty(len(content)), gpu.empty(table.scratch)

    def start() -> None:
        address, stream = memory.data_ptr(), gpu.stream()
        upload = gpu.upload_recorded if gpu.capturing() else gpu.upload
        launches = table.launches(
            address, address + table.fixed.nbytes, scratch.data_ptr(), rows.data_ptr()
        )
        with gpu.driver.current():
            upload(address, content, stream)
            for function, (blocks, given) in zip(functions, launches, strict=True):
                gpu.driver.launch(function, blocks, THREADS, given, stream)

    return start
