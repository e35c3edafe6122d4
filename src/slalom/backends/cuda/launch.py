"""The tensors of a step as kernels see them: tables on the GPU, and one launch for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends.base import Counts, Launch, Rows, Slot
from slalom.backends.crossings import check_crossings
from slalom.backends.cuda.driver import CudaError
from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.meeting import refuse_apart
from slalom.backends.cuda.members import forms, real_shape
from slalom.backends.cuda.squares import Squares
from slalom.backends.cuda.work import Company, Work
from slalom.backends.general import square_sum
from slalom.backends.llvm.gathering import Gathered
from slalom.backends.llvm.memory import KEPT, Arrays
from slalom.backends.narrow import owner
from slalom.backends.refusals import Unavailable
from slalom.backends.row import Row
from slalom.ir.program import Program


class Gathering(Gathered):
    """Slots that kernels serve, and where their tensors lie."""

    def __init__(self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts):
        super().__init__(slots, absent, counts)
        self._kinds = [
            {n: KEPT[t.dtype] for n, t in {"param": slot.param, **slot.state}.items()}
            | {"grad": KEPT[dtype]}
            for slot, dtype in zip(slots, self._grad_dtypes, strict=True)
        ]

    def _present(self) -> np.ndarray:
        """The slots that have a gradient."""
        return np.flatnonzero(self.counts.present[self.places])

    def _places_of(self, names: Sequence[str], members: Sequence[int]) -> np.ndarray:
        """Where the addresses of slots' arrays stand; see :data:`slalom.backends.cuda.work.Places`.

        All of them are looked up in every step: a parameter may have come to lie elsewhere.
        """
        known: dict[tuple[str, ...], list[int]] = {}
        for states in {self._states[i] for i in members}:
            every = ("param", "grad", *states)
            known[states] = [every.index(name) for name in names]
        beyond = np.array([known[self._states[i]] for i in members], np.intp)
        return self._first_array[members][:, None] + beyond.reshape(len(members), len(names))

    @property
    def _addresses(self) -> np.ndarray:
        """Of all arrays of all slots, as gathered; int64."""
        return self._arrays.view(np.int64)


class CudaLaunch(Gathering, Launch):
    """Slots that kernels serve, on one GPU or several; ``gpu_of`` finds that of a device."""

    def __init__(
        self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts,
        gpu_of: Callable[[torch.device], Gpu],
    ):  # fmt: skip
        super().__init__(slots, absent, counts)
        self._gpus = [gpu_of(s.param.device) for s in slots]
        self._shapes = [real_shape(s.param) for s in slots]
        self._companies: list[Company] = []
        self._squares: tuple[Any, list[Squares]] | None = None
        self._rows: list[Row] = []
        self._next = np.zeros((0, counts.values.shape[1]))

    def assign(self, rows: Rows) -> None:
        check_crossings((row.rule, row.program) for row, _ in rows)
        self._rows = [row for row, _ in rows]
        self._next = np.zeros((len(rows), self._next.shape[1]))
        found: dict[tuple[Gpu, Program, Arrays, bool], list[tuple[Row, list[int]]]] = {}
        for (row, places), following in zip(rows, self._next, strict=True):
            program = row.program
            assert program is not None
            live = {"param", "grad", *program.live_state}
            members: dict[Any, list[int]] = {}
            slots = self._local[places]
            self._segments["next"][slots] = following.ctypes.data
            for i in slots.tolist():
                kinds = self._kinds[i].items()
                arrays = tuple((n, k) for n, k in kinds if n in live or owner(n, live) in live)
                (form,) = forms([program], self._shapes[i])
                key = self._gpus[i], form, arrays, row.noise is not None
                members.setdefault(key, []).append(i)
            for key, slots in members.items():
                found.setdefault(key, []).append((row, slots))
        meeting: dict[Any, list[Work]] = {}
        for key, own in found.items():
            work = Work(*key, rows=own, shapes=self._shapes, places_of=self._places_of)
            of = own[0][0].rule if work.asked.crossings else work
            meeting.setdefault((of, key[0]), []).append(work)
        refuse_apart([of for of, works in meeting.items() if works[0].asked.crossings])
        self._companies = [Company(gpu, works) for (_, gpu), works in meeting.items()]

    def square_sum(self) -> float | Tensor:
        numel = self._segments["numel"]
        present = [i for i in self._present().tolist() if numel[i]]
        if not present:
            return 0.0
        kinds = [(self._gpus[i], self._kinds[i]["grad"]) for i in present]
        try:
            if self._squares is None or self._squares[0] != (present, kinds):
                members: dict[Any, list[int]] = {}
                for i, kind in zip(present, kinds, strict=True):
                    members.setdefault(kind, []).append(i)
                given = self._shapes, self._places_of
                made = [Squares(g, k, own, *given) for (g, k), own in members.items()]
                self._squares = (present, kinds), made
            kept = self._keep_gradients()
            totals = [squares.run(self._addresses) for squares in self._squares[1]]
            del kept
        except Unavailable:
            return square_sum(g for g in self._keep_gradients() if g is not None)
        except CudaError as error:
            raise CudaError(f"{error}; nothing was updated") from error
        return sum(t.to(totals[0].device) for t in totals)

    def run(self, late: Mapping[str, Any]) -> None:
        for row, following in zip(self._rows, self._next, strict=True):
            following[: len(row.next_numbers)] = row.next_numbers
        started, kept = False, self._keep_gradients()  # another thread may drop them meanwhile
        try:
            for company in self._companies:
                company.run(self._addresses)
                started = True
        except CudaError as error:
            whole = "some parameters were updated and others not: load the last checkpoint"
            raise CudaError(f"{error}; {whole if started else 'nothing was updated'}") from error
        del kept
        self._updated()
