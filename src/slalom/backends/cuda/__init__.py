"""The backend of NVIDIA's GPUs: kernels from the same lowering as the CPU's loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from slalom.backends.base import Backend, Counts, Launch, Slot, Work
from slalom.backends.layout import is_dense, same_layout
from slalom.backends.narrow import CODES, NARROW
from slalom.backends.refusals import (
    CODED_LINES,
    CROOKED,
    MATRICES,
    SUMMED,
    TOGETHER,
    Unavailable,
    small_amiss,
)

if TYPE_CHECKING:
    from slalom.backends.cuda.gpu import Gpu

_PLAIN = (Tensor, torch.nn.Parameter)


class Cuda(Backend):
    """Kernels for parameters in the memory of GPUs."""

    name = "cuda"
    device = "cuda"
    captures = True
    sums = True

    def gpu_of(self, device: torch.device) -> Gpu:
        """The GPU that a tensor is on. Raises :class:`Unavailable` where it cannot be served."""
        from slalom.backends.cuda.devices import gpu

        return gpu(device.index or 0)

    def refuses(self, slot: Slot) -> str | None:
        from slalom.backends.llvm.observers import observed

        if why := observed() or _reason(slot):
            return why
        return self._lost(slot.param.device)

    def _lost(self, device: torch.device) -> str | None:
        """Why there are no kernels at all; None where there are."""
        from slalom.backends.llvm.load import llvm

        try:
            llvm()
            self.gpu_of(device)
        except (Unavailable, RuntimeError) as error:
            return str(error)
        return None

    def prepare(self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts) -> Launch:
        from slalom.backends.cuda.launch import CudaLaunch

        return CudaLaunch(slots, absent, counts, self.gpu_of)

    def stands(self, device: torch.device) -> bool:
        from slalom.backends.llvm.observers import observed

        return observed() is None and self._lost(device) is None

    def stand(self, teams: Any, absent: Sequence[Tensor]) -> Any:
        from slalom.backends.cuda.scalars import refused
        from slalom.backends.cuda.standing import TYPES, CudaStanding

        slots = [slot for team in teams for slot in team.slots]
        kept = [t for team in teams for own in (team.counts, *team.numbers) for t in own]
        alike = len({slot.param.device for slot in slots}) == 1
        plain = all(t.dtype in TYPES and t.numel() == 1 for t in kept)
        if not (alike and plain) or any(refused(team.programs) for team in teams):
            return None
        return CudaStanding(teams, absent, self.gpu_of(slots[0].param.device))

    def run_rows(self, works: Sequence[Work]) -> None:
        from slalom.backends.cuda.rows import update_by_rows

        update_by_rows(works, self.gpu_of)


def _reason(slot: Slot) -> str | None:
    from slalom.backends.cuda.codes import MOST
    from slalom.backends.llvm.memory import KEPT, NAMES

    param, grad = slot.param, slot.param.grad
    if type(param) not in _PLAIN:
        return f"it is a {type(param).__name__}, a subclass of Tensor"
    if param.layout != torch.strided:
        return f"its layout is {param.layout}"
    if slot.by_rows:
        return "its gradient is sparse, and only the rows that it touches are updated"
    if not is_dense(param):
        return "its elements have gaps between them or share memory"
    beyond = {MATRICES: slot.multiplies, TOGETHER: slot.crosses and slot.matrix}
    if slot.whole and (why := next((w for w, is_so in beyond.items() if is_so), None)):
        return why
    if slot.spread is not None:
        return SUMMED
    narrow = [t.dtype for t in slot.state.values() if t.dtype in NARROW]
    if slot.matrix and any(dtype in CODES for dtype in narrow):
        return CODED_LINES
    if sum(dtype in CODES for dtype in narrow) > MOST:
        return f"more than {MOST} of its states are kept in 8 bits"
    if slot.matrix and (param.is_complex() or not param.is_contiguous()):
        return CROOKED
    if slot.alone:
        return "its memory overlaps that of another tensor of the step"
    small = {f"its {name}" for name in slot.small}
    named = [("it", param), *((f"its {name}", t) for name, t in slot.state.items())]
    if grad is not None:
        named.append(("its gradient", grad))
    for own, tensor in named:
        if type(tensor) not in _PLAIN:
            return f"{own} is a {type(tensor).__name__}, a subclass of Tensor"
        if tensor.layout != torch.strided:
            return f"the layout of {own.replace('its ', 'its own ')} is {tensor.layout}"
        pairs = param.is_complex() and own not in small
        known = KEPT if tensor is not param and tensor is not grad else NAMES
        if tensor.dtype not in known or tensor.is_complex() != pairs:
            return f"{own} is {tensor.dtype}"
        if tensor.is_conj() or tensor.is_neg():
            return f"{own} is a lazily conjugated or negated view"
        if tensor.device != param.device:
            return f"{own} is on {tensor.device}"
        if tensor.numel() and tensor._is_zerotensor():
            return f"{own} has no memory of its own"
        if own in small and (why := small_amiss(own, tensor)):
            return why
        if tensor is not grad and own not in small and not same_layout(param, tensor):
            return f"{own} does not lie in memory as the parameter does"
    return None
