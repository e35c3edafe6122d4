"""Tables of what kernels update, as the words that they read; and a launch that makes its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slalom.backends.cuda.codes import code_kernel, has_codes
from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.kernel import AHEAD, kernel, width
from slalom.backends.cuda.matrices import MatrixKernels
from slalom.backends.cuda.meeting import Asked, Meeting, in_turns, meeting_kernel
from slalom.backends.cuda.room import asked_at, blocks_of, counters_of
from slalom.backends.cuda.sums import SumKernels
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.llvm.memory import Arrays
from slalom.ir.program import Program
from slalom.ir.symbol import Symbol
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

    @property
    def crossings(self) -> Sequence[Sequence[Symbol]]:
        """What all tensors are asked for together, of each crossing."""
        return self.sums[0].crossings if self.sums else []

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
        counters = counters_of(len(shapes), kernels.crossings) if rooms else chunks[:0]
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

    def asked(self, base: int, order: Sequence[int], groups: Sequence[Hashable]) -> Asked:
        """What its tensors are asked for; ``base`` is how far before the table places begin.

        ``order`` and ``groups`` are as :class:`slalom.backends.cuda.meeting.Asked` has them.
        """
        crossings = self._kernels.crossings
        things = sum(map(len, crossings))
        first = base + self._counters + asked_at(self._count)
        places = np.arange(self._count) * things + np.arange(things)[:, None]
        return Asked(crossings, first + 8 * places, order, groups)

    def launches(
        self, fixed: int, segments: int, scratch: int, rows: int
    ) -> list[tuple[int, int, list[int]]]:  # fmt: skip
        """Of each kernel behind how many crossings it comes, its blocks, and what it is given.

        These are where the parts of the table, and the rows, lie on the GPU.
        """
        if not self._kernels.sums:
            return [(0, self.blocks, [segments, fixed, rows])] * len(self._kernels.texts)
        found = []
        for sums, own, grids in zip(self._kernels.sums, self._owns, self._grids, strict=True):
            behind = [rows, fixed + own, scratch, fixed + self._counters]
            for grid, turn in zip(sums.grids, sums.turns, strict=True):
                blocks, begin = grids.get(grid, (self._count, 0))
                found.append((turn, blocks, [segments, fixed + begin, *behind]))
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


class Prepared:
    """Kernels over some tensors, which need no more memory of the GPU once this is made.

    ``functions`` are the kernels as loaded; ``rows`` (float64 on the GPU) are as
    :func:`slalom.backends.cuda.kernel.kernel` has them, ``order`` and ``groups`` as
    :class:`slalom.backends.cuda.meeting.Asked` does. It serves once, and a graph may record it.

    Attributes:
        asked: what its tensors are asked for.
    """

    def __init__(
        self, gpu: Gpu, kernels: Kernels, functions: Sequence[int], arrays: Arrays,
        members: Members, rows: Tensor, order: Sequence[int] = (), groups: Sequence[Hashable] = (),
    ):  # fmt: skip
        self._gpu, self._functions, self._rows = gpu, functions, rows
        self._kept = members  # some are copies that nobody else has
        shapes = [real_shape(t[0]) for _, t in members]
        self._table = table = Table(kernels, arrays, shapes, [place for place, _ in members])
        lie = [[x.data_ptr() for x in tensors] for _, tensors in members]
        table.segments[:, AHEAD:] = np.array(lie, np.uint64).view(np.int64)
        parts = [table.fixed, table.segments.ravel()]
        self._content = np.concatenate(parts).tobytes()  # one copy for both
        self._memory, self._scratch = gpu.empty(len(self._content)), gpu.empty(table.scratch)
        self.asked = table.asked(self._memory.data_ptr(), order, groups)

    def send(self) -> None:
        """Bring the table to the GPU, on the current stream."""
        if self._table.blocks:
            _uploaded(self._gpu, self._memory, self._content)

    def start(self, turn: int = 0) -> None:
        """Start the kernels that come behind so many crossings."""
        if not self._table.blocks:
            return
        address, stream = self._memory.data_ptr(), self._gpu.stream()
        launches = self._table.launches(
            address, address + self._table.fixed.nbytes, self._scratch.data_ptr(),
            self._rows.data_ptr(),
        )  # fmt: skip
        with self._gpu.driver.current():
            for function, (own, blocks, given) in zip(self._functions, launches, strict=True):
                if own == turn:
                    self._gpu.driver.launch(function, blocks, THREADS, given, stream)


def prepared_together(gpu: Gpu, ready: Sequence[Prepared]) -> Callable[[], None]:
    """What sends all of these and starts their kernels, which may meet."""
    crossings = ready[0].asked.crossings
    meeting = Meeting([own.asked for own in ready]) if crossings else None
    words = b"" if meeting is None else meeting.words.tobytes()
    memory, function = gpu.empty(len(words)), 0 if meeting is None else met(gpu)

    def meet(i: int) -> None:
        assert meeting is not None
        blocks, begin = meeting.starts[i]
        with gpu.driver.current():
            given = [memory.data_ptr() + 8 * begin, 0]
            gpu.driver.launch(function, blocks, THREADS, given, gpu.stream())

    def start(turn: int) -> None:
        for own in ready:
            own.start(turn)

    def run() -> None:
        for own in ready:
            own.send()
        if words:
            _uploaded(gpu, memory, words)
        in_turns(len(crossings), start, meet)

    return run


def met(gpu: Gpu) -> int:
    """The kernel at crossings. Raises :class:`slalom.backends.refusals.Unavailable`."""
    return gpu.function(meeting_kernel(gpu.target))


def _uploaded(gpu: Gpu, memory: Tensor, content: bytes) -> None:
    upload = gpu.upload_recorded if gpu.capturing() else gpu.upload
    with gpu.driver.current():
        upload(memory.data_ptr(), content, gpu.stream())
