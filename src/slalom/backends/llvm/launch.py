"""The tensors of a step that machine code updates, all in one call that counts the update, too."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from math import prod
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends.base import Counts, Launch, Rows, Slot
from slalom.backends.crossings import check_crossings
from slalom.backends.kinds import by_kind
from slalom.backends.llvm.code import Code, machine_code
from slalom.backends.llvm.driver import BLOCK, LINE, Table
from slalom.backends.llvm.gathering import Gathered
from slalom.backends.llvm.jit import jit
from slalom.backends.llvm.meetings import Asked, Meetings
from slalom.backends.llvm.memory import KEPT, NAMES, Arrays
from slalom.backends.llvm.operands import computed
from slalom.backends.llvm.packing import packing
from slalom.backends.llvm.room import give
from slalom.backends.llvm.square import square
from slalom.backends.llvm.threads import ALL, LEAST, ONE, Threads
from slalom.backends.row import Row
from slalom.ir.program import Program
from slalom.ir.vectors import of_vectors

_GRAINS = {ONE: 1 << 40, ALL: LEAST // 2 // LINE}
"""The lines that a thread has at least: those of a step are shared out where there are more."""

HELD = 1048576
"""Elements up to which a step holds the interpreter: it is over before another thread could run."""


class LlvmLaunch(Gathered, Launch):
    """Slots that machine code serves. Raises :class:`Unavailable` where there is none."""

    skips = True

    def __init__(self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts):
        super().__init__(slots, absent, counts)
        kinds: dict[tuple[Any, ...], int] = {}  # dtypes of parameter and gradient, states by name

        def kind_of(slot: Slot) -> int:
            kind: tuple[Any, ...] = (
                slot.param.dtype,
                self._grad_dtypes[self._local[slot.place]],
                *((name, tensor.dtype) for name, tensor in slot.state.items()),
                *((name, computed(slot)) for name in slot.operands),
            )
            return kinds.setdefault(kind, len(kinds))

        self._kind_of = np.array(by_kind(slots, kind_of), np.intp)
        self._kinds: list[Arrays] = [
            (
                ("param", NAMES[param]), ("grad", NAMES[grad]),
                *((name, KEPT[dtype]) for name, dtype in of_states),
            )
            for param, grad, *of_states in kinds
        ]  # fmt: skip
        own = self._segments[:-1]
        squares = [square(NAMES[grad]) for _, grad, *_ in kinds]
        own["square"] = np.array(squares, np.uint64)[self._kind_of]
        self._elements = int(own["numel"].sum())
        self._sums = np.zeros(-(-int((-(-own["numel"] // LINE)).sum()) // BLOCK) + 1)
        self._table.sums, self._table.grain = self._sums.ctypes.data, _GRAINS[ONE]
        self._packed: list[Callable[[], None]] = []
        self._scratch: list[np.ndarray] = []
        self._buffers: dict[int, Tensor] = {}
        self._meetings: Meetings | None = None
        self._threads, self._way = Threads(), ONE

    def _reads(self, dtype: torch.dtype) -> bool:
        return served(dtype)

    def _copy(self, member: int, param: Tensor, grad: Tensor, dtype: torch.dtype) -> Tensor:
        """In memory that is kept, since the host takes long over new memory."""
        if member not in self._buffers:
            self._buffers[member] = torch.empty_like(param, dtype=dtype, requires_grad=False)
        return self._buffers[member].copy_(
            grad if grad.layout == torch.strided else grad.to_dense()
        )

    def assign(self, rows: Rows) -> None:
        self._packed, self._scratch, self._meetings = [], [], None
        check_crossings((row.rule, row.program) for row, _ in rows)
        table = self._segments
        asked: list[Asked] = []
        alike: dict[tuple[Program, bool], list[tuple[Row, np.ndarray]]] = {}
        for row, places in rows:
            assert row.program is not None
            alike.setdefault((row.program, row.noise is not None), []).append((row, places))
        for (program, stochastic), own in alike.items():
            n = len(program.scalars)
            width = n + 1 + len(program.numbers)  # scalars, random bits, new numbers
            block = np.zeros((len(own), width))
            members = self._local[np.concatenate([places for _, places in own])]
            which = np.repeat(np.arange(len(own)), [len(places) for _, places in own])
            table["row"][members] = block.ctypes.data + 8 * width * which
            table["next"][members] = block.ctypes.data + 8 * width * which + 8 * (n + 1)
            self._packed += packing([row for row, _ in own], block, n)
            kinds = 2 * self._kind_of[members]
            # vectors have code of their own, but meet others where these do
            if program.by_rows and not program.multiplies and not program.crossings:
                kinds += [prod(self._params[i].shape[1:]) == 1 for i in members.tolist()]
            for kind in np.unique(kinds).tolist():
                form = of_vectors(program) if kind % 2 else program
                code, mine = machine_code(form, self._kinds[kind // 2], stochastic), kinds == kind
                scratch = self._give(code, members[mine])
                if code.before:
                    own_rows = [own[i][0] for i in which[mine].tolist()]
                    given = members[mine], scratch[0], self._operands, self._state
                    asked.append(Asked(code, own_rows, *given))
        if asked:
            self._meetings = Meetings(asked, table, self._table)

    def _give(self, code: Code, members: np.ndarray) -> list[np.ndarray]:
        """Have these segments updated by a program, with room for what it sums up; that room."""
        table = self._segments
        table["update"][members], table["n_stages"][members] = code.update, len(code.stages)
        if code.layout is None:
            return []
        table["stages"][members] = code.stages.ctypes.data
        shapes = [self._params[i].shape for i in members.tolist()]
        heights = np.array([prod(shape[:1]) for shape in shapes])
        widths = np.array([prod(shape[1:]) for shape in shapes])
        scratch = give(table, members, code, heights, widths)
        self._scratch += scratch
        return scratch

    def square_sum(self) -> float:
        grads = self._keep_gradients()
        _check(self._driver.measure(self._address))
        del grads
        lines = self._table.lines
        return float(self._sums[: -(-lines // BLOCK)].sum())

    def run(self, late: Mapping[str, Any]) -> None:
        for pack in self._packed:
            pack()
        self._tell_python()
        shared = self._table.lines * LINE >= LEAST and torch.get_num_threads() > 1
        self._way = self._threads.choose() if shared else ONE
        begin = perf_counter()
        if self._meetings is not None:
            self._meetings.hold(self._run_table)
        self._run_table(self._table)
        if shared:
            self._threads.tell(self._way, perf_counter() - begin)

    def _run_table(self, table: Table) -> None:
        """Run all of the launch, or a part of it."""
        address, table.grain = ctypes.addressof(table), _GRAINS[self._way]
        if self._elements > HELD:
            grads = self._keep_gradients()  # another thread may drop them meanwhile
            tensors = [*self._alive.keep(), *self._params[:]]
            _check(self._driver.run(address))
            del grads, tensors
        else:
            _check(self._driver.run_held(address))


def served(dtype: torch.dtype) -> bool:
    """Whether machine code reads and writes numbers of this dtype here."""
    return dtype in NAMES and (dtype != torch.float16 or jit().half)


def _check(code: int) -> None:
    if code:
        raise RuntimeError(f"torch_parallel_for failed with code {code}")
