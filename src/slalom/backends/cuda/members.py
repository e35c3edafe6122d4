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
from slalom.backends.cuda.kernel import AHEAD, CHUNK, kernel, width
from slalom.backends.cuda.sums import SumKernels
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.llvm.memory import Arrays
from slalom.backends.llvm.summaries import Place
from slalom.ir.program import Program


@dataclass(frozen=True, eq=False)
class Kernels:
    """The kernels of an update, in the order in which they are started.

    Attributes:
        texts: their assembly, as :func:`slalom.backends.cuda.kernel.kernel` gives it.
        sums: where they sum, whose they are.
        chosen: whether rows name the program that serves, of which below 0 none does.
    """

    texts: Sequence[str]
    sums: Sequence[SumKernels] = ()
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
            sums = [SumKernels(p, arrays, target, chance, wide, way) for p, way in pairs]
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
        chunks = blocks_of(counts, int(bool(kernels.sums)))
        self.blocks = len(chunks)
        owns = [own_numbers(sums, shapes).view(np.int64).ravel() for sums in kernels.sums]
        counters = np.zeros(-(-len(shapes) // 2) if owns else 0, np.int64)
        parts = [chunks, counters, *owns]
        self.fixed = np.concatenate(parts)
        self._ends = np.cumsum([8 * len(part) for part in parts]).tolist()
        self.scratch = 8 * self.blocks * max((s.most for s in kernels.sums), default=0)

    def launches(
        self, fixed: int, segments: int, scratch: int, rows: int
    ) -> list[tuple[int, list[int]]]:  # fmt: skip
        """Of each kernel on how many blocks it is started, and what it is given, in order.

        These are where the parts of the table, and the rows, lie on the GPU.
        """
        if not self._kernels.sums:
            return [(self.blocks, [segments, fixed, rows])] * len(self._kernels.texts)
        found = []
        for k, sums in enumerate(self._kernels.sums):
            own = fixed + self._ends[1 + k]
            given = [segments, fixed, rows, own, scratch, fixed + self._ends[0]]
            found += [
                (self._count if sums.begins and not number else self.blocks, given)
                for number in range(len(sums.texts))
            ]
        return found


def blocks_of(counts: Sequence[int], least: int = 0) -> np.ndarray:
    """Of each block of threads its segment and chunk, as one word; int64.

    ``least`` is 1 where there is to be one for what has no elements too.
    """
    chunks = [
        np.int64(place << 32) + np.arange(max(least, -(-count // CHUNK)), dtype=np.int64)
        for place, count in enumerate(counts)
    ]
    return np.concatenate(chunks) if chunks else np.zeros(0, np.int64)


def own_numbers(kernels: SumKernels, shapes: Sequence[torch.Size]) -> np.ndarray:
    """The numbers of their own that segments begin with: float64, a row each."""
    numbers = np.zeros((len(shapes), kernels.numbers))
    words, base = numbers.view(np.int64), kernels.base
    heights = [math.prod(shape[:1]) for shape in shapes]
    widths = [math.prod(shape[1:]) for shape in shapes]
    sizes = [shape.numel() for shape in shapes]
    for place, value in ((Place.ELEMENTS, sizes), (Place.ROWS, heights), (Place.COLUMNS, widths)):
        numbers[:, base + place] = np.maximum(value, 1)  # as means divide by it
    words[:, base + Place.HEIGHT], words[:, base + Place.WIDTH] = heights, widths
    return numbers


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
