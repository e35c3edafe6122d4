"""The backend of the CPU: machine code made by LLVM, run on torch's own threads."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from slalom.backends.base import Backend, Counts, Launch, Slot
from slalom.backends.layout import is_dense, plain, same_layout
from slalom.backends.llvm.observers import observed
from slalom.backends.narrow import CODES, NARROW, blocks_in_rows
from slalom.backends.refusals import CROOKED, MATRICES, OWNED, SUMMED, Unavailable, small_amiss


class Llvm(Backend):
    """Machine code for parameters in the memory of the CPU."""

    name = "llvm"
    device = "cpu"
    sums = True

    def refuses(self, slot: Slot) -> str | None:
        driver, _ = _loaded()
        try:
            driver()
        except Unavailable as error:
            return str(error)
        if slot.multiplies and not slot.operands:
            return MATRICES
        return observed() or _reason(slot)

    def prepare(self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts) -> Launch:
        from slalom.backends.llvm.launch import LlvmLaunch

        return LlvmLaunch(slots, absent, counts)

    def watch(self, groups: Any, states: Any, relied: Any) -> Any:
        from slalom.backends.llvm.watch import LlvmWatch

        try:
            return LlvmWatch(groups, states, relied)
        except Unavailable:
            return None


_DTYPES = (
    torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64, torch.complex128,
)  # fmt: skip


@functools.cache  # `cache` is a module here
def _loaded() -> tuple[Any, Any]:
    """What makes the driver, and what tells the dtypes served: loaded late, it takes a while."""
    from slalom.backends.llvm.driver import driver
    from slalom.backends.llvm.launch import served

    return driver, served


def _reason(slot: Slot) -> str | None:
    _, served = _loaded()
    param, grad = slot.param, slot.param.grad
    module = sys.modules.get("torch.distributed.tensor")
    if module is not None and isinstance(param, module.DTensor):
        return "it is a DTensor whose gradient or state is not plain memory distributed as it is"
    if slot.spread is not None:
        return OWNED if slot.multiplies else SUMMED
    if type(param) not in (Tensor, torch.nn.Parameter):
        return f"it is a {type(param).__name__}, a subclass of Tensor"
    if param.layout != torch.strided:
        return f"its layout is {param.layout}"
    if slot.by_rows:
        return "its gradient is sparse, and only the rows that it touches are updated"
    if param.is_conj() or param.is_neg():
        return "it is a lazily conjugated or negated view"
    if not is_dense(param):
        return "its elements have gaps between them or share memory"
    if (slot.matrix or slot.multiplies) and (param.is_complex() or not param.is_contiguous()):
        return CROOKED
    if slot.alone:
        return "its memory overlaps that of another tensor of the step"
    if grad is not None and type(grad) not in (Tensor, torch.nn.Parameter):
        return f"its gradient is a {type(grad).__name__}, a subclass of Tensor"
    if not served(param.dtype):
        return f"it is {param.dtype}"
    if param.numel() and param._is_zerotensor():
        return "it has no memory of its own"
    for name, tensor in () if slot.made else slot.state.items():
        own = f"its {name}"
        if type(tensor) not in (Tensor, torch.nn.Parameter):
            return f"{own} is a {type(tensor).__name__}, a subclass of Tensor"
        if name in slot.small:
            if not plain(tensor):
                return f"{own} has no memory of its own"
            if why := small_amiss(own, tensor):
                return why
            if tensor.is_neg():
                return f"{own} is a lazily negated view"
            continue
        if tensor.dtype in CODES and not _has_blocks(slot):
            return f"its rule sums over rows or columns, and {own} has blocks of 8 bits across them"
        known = tensor.dtype in NARROW or served(tensor.dtype)
        if not known or tensor.is_complex() != param.is_complex():
            return f"{own} is {tensor.dtype}"
        if tensor.device != param.device or not same_layout(param, tensor):
            return f"{own} does not lie in memory as the parameter does"
        if tensor.numel() and tensor._is_zerotensor():
            return f"{own} has no memory of its own"
    return None


def _has_blocks(slot: Slot) -> bool:
    """Whether blocks of codes lie within what is gone along: rows, or a vector as a whole."""
    shape = slot.param.shape
    vector = prod(shape[1:]) == 1 and not slot.multiplies
    return not slot.matrix or vector or blocks_in_rows(shape) is not None
