"""The tensors of a step as kernels see them: tables on the GPU, and one launch for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from slalom.backends.base import Counts, Look, Rows, Slot
from slalom.backends.cuda.driver import CudaError
from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.meeting import refuse_apart
from slalom.backends.cuda.members import forms, real_shape
from slalom.backends.cuda.squares import Squares
from slalom.backends.cuda.work import Company, Work
from slalom.backends.general import GeneralLaunch
from slalom.backends.layout import like, same_layout
from slalom.backends.llvm.memory import KEPT, Arrays
from slalom.backends.llvm.observers import observed
from slalom.backends.narrow import owner
from slalom.backends.refusals import Unavailable
from slalom.backends.row import Row
from slalom.ir.program import Program


class Gathering(GeneralLaunch):
    """What is looked at of slots that kernels serve; gradients that lie otherwise are copied."""

    def __init__(self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts):
        super().__init__(slots, absent, counts)
        self._crooked: list[int] = []

    def gather(self) -> Look:
        if observed():
            return Look.STALE
        look = super().gather()
        if look is Look.STALE or self._now is None:
            return look
        params, grads, _ = self._now
        if look is Look.CHANGED:
            pairs = enumerate(zip(params, grads, strict=True))
            self._crooked = [
                i for i, (p, g) in pairs if g is not None and not same_layout(p, g)
            ]  # fmt: skip
        with torch.no_grad():
            for i in self._crooked:
                if grads[i] is not None:
                    grads[i] = like(params[i], grads[i])
        return look

    def _lies_of(self, name: str, i: int) -> int:
        """Where a slot's parameter or state lies; the launch is stale when one moves."""
        place = i if name == "param" else len(self.places) + self._state_at[i][name]
        return self._lies[place] or 0


def kinds_of(slot: Slot) -> dict[str, str]:
    """Of each tensor of a slot, by name, LLVM's name of its type."""
    grad = slot.param if slot.param.grad is None else slot.param.grad
    return {n: KEPT[t.dtype] for n, t in {"param": slot.param, "grad": grad, **slot.state}.items()}


class CudaLaunch(Gathering):
    """Slots that kernels serve, on one GPU or several; ``gpu_of`` finds that of a device."""

    def __init__(
        self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts,
        gpu_of: Callable[[torch.device], Gpu],
    ):  # fmt: skip
        super().__init__(slots, absent, counts)
        self._gpus = [gpu_of(s.param.device) for s in slots]
        self._shapes = [real_shape(s.param) for s in slots]
        self._kinds = list(map(kinds_of, slots))
        self._companies: list[Company] = []
        self._squares: tuple[Any, list[Squares]] | None = None

    def assign(self, rows: Rows) -> None:
        super().assign(rows)
        found: dict[tuple[Gpu, Program, Arrays, bool], list[tuple[Row, list[int]]]] = {}
        for own in self._rows:
            program = own.row.program
            assert program is not None
            live = {"param", "grad", *program.live_state}
            members: dict[Any, list[int]] = {}
            for i in own.slots:
                kinds = self._kinds[i].items()
                arrays = tuple((n, k) for n, k in kinds if n in live or owner(n, live) in live)
                (form,) = forms([program], self._shapes[i])
                key = self._gpus[i], form, arrays, own.row.noise is not None
                members.setdefault(key, []).append(i)
            for key, slots in members.items():
                found.setdefault(key, []).append((own.row, slots))
        meeting: dict[Any, list[Work]] = {}
        for key, own in found.items():
            work = Work(*key, rows=own, shapes=self._shapes, lies=self._lies_of)
            of = own[0][0].rule if work.asked.crossings else work
            meeting.setdefault((of, key[0]), []).append(work)
        refuse_apart([of for of, works in meeting.items() if works[0].asked.crossings])
        self._companies = [Company(gpu, works) for (_, gpu), works in meeting.items()]

    def square_sum(self) -> float | Tensor:
        assert self._now is not None
        grads = self._now[1]
        present = [i for i, g in enumerate(grads) if g is not None and g.numel()]
        if not present:
            return 0.0
        kinds = [(self._gpus[i], self._kinds[i]["grad"]) for i in present]
        lie = [0 if g is None else g.data_ptr() for g in grads]
        try:
            if self._squares is None or self._squares[0] != (present, kinds):
                members: dict[Any, list[int]] = {}
                for i, kind in zip(present, kinds, strict=True):
                    members.setdefault(kind, []).append(i)
                made = [Squares(g, k, own, self._shapes) for (g, k), own in members.items()]
                self._squares = (present, kinds), made
            totals = [squares.run(lie) for squares in self._squares[1]]
        except Unavailable:
            return super().square_sum()
        except CudaError as error:
            raise CudaError(f"{error}; nothing was updated") from error
        return sum(t.to(totals[0].device) for t in totals)

    def run(self, late: Mapping[str, Any]) -> None:
        assert self._now is not None
        started, lie = False, [0 if g is None else g.data_ptr() for g in self._now[1]]
        try:
            for company in self._companies:
                company.run(lie)
                started = True
        except CudaError as error:
            whole = "some parameters were updated and others not: load the last checkpoint"
            raise CudaError(f"{error}; {whole if started else 'nothing was updated'}") from error
        params, _, states = self._now
        increment_version([params[i] for c in self._companies for w in c.works for i in w.slots])
        increment_version(states)
        for own in self._rows:
            self._count(own)
