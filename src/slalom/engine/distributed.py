"""Distributed tensors (DTensor): machine code updates the part of them that this process holds.

Most rules act element by element, so where parameter, gradient and states are distributed alike, an
update of every process's own part is an update of the whole, and nothing is communicated. Rules
that look at whole tensors go over these parts too, and communicate in between
(:mod:`slalom.backends.spread`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from slalom.backends.alive import Alive, handles
from slalom.backends.base import Slot
from slalom.backends.spread import Spread
from slalom.backends.spread import part_of as _local


def is_distributed(tensor: Any) -> bool:
    """Whether it is a DTensor; does not import what defines it, which takes a second."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def localised(slot: Slot) -> Slot:
    """The same of this process's parts; the slot itself where they do not make up the whole."""
    param: Any = slot.param
    if not is_distributed(param):
        return slot
    tensors = {"param": param, **slot.state}
    for name, tensor in tensors.items():
        if name in slot.small:
            if is_distributed(tensor) and type(_local(tensor)) is not Tensor:
                return slot
        elif (
            not is_distributed(tensor)
            or tensor.placements != param.placements
            or tensor.device_mesh != param.device_mesh
            or type(_local(tensor)) is not Tensor
            or _local(tensor).requires_grad
        ):
            return slot
    if any(p.is_partial() for p in param.placements):
        return slot
    if param.grad is not None and _local_grad(param) is None:
        return slot
    state = {name: _local(tensor) for name, tensor in slot.state.items()}
    own = replace(slot, param=_local(param), state=state)
    if not slot.whole:
        return own
    own.spread = Spread(param.device_mesh, param.placements, param.shape)
    return slot if slot.multiplies and own.spread.cuts(own.param) is None else own


def _local_grad(param: Any) -> Tensor | None:
    """This process's part of the gradient; None if it is not distributed as the parameter is."""
    grad = param.grad
    if not is_distributed(grad) or grad.placements != param.placements:
        return None
    local, part = _local(param), _local(grad)
    fits = (
        type(part) is Tensor  # and no wrapper of a communication that has not ended
        and grad.device_mesh == param.device_mesh
        and part.layout == torch.strided
        and (part.shape, part.dtype, part.device) == (local.shape, local.dtype, local.device)
    )
    return part if fits else None


class LocalParts:
    """Lends the parts of distributed gradients to the parts of their parameters, for a step.

    Args:
        pairs: slots as the optimizer has them, each with what :func:`localised` made of it.
    """

    def __init__(self, pairs: Sequence[tuple[Slot, Slot]]):
        self._params = handles([slot.param for slot, _ in pairs])
        self._states = Alive(t for slot, _ in pairs for t in slot.state.values())
        self._parts = [id(own.param) for _, own in pairs]
        self._parts += (id(t) for _, own in pairs for t in own.state.values())

    def lend(self) -> bool:
        """Give each part its gradient; False if one is not distributed as it was."""
        if not self._states.all:
            return False
        if [id(_local(t)) for t in (*self._params[:], *self._states.keep())] != self._parts:
            return False
        for param in self._params[:]:
            grad = _local_grad(param)
            if grad is None and param.grad is not None:
                return False
            _local(param).grad = grad
        return True

    def take_back(self) -> None:
        """Let the gradients go, and tell autograd that the parameters were changed in place."""
        params = self._params[:]
        for param in params:
            _local(param).grad = None
        increment_version(params)


Way = tuple[Any, tuple[Any, ...]] | None
"""Over which mesh of processes a tensor is distributed, and how; None for any other tensor."""


def own_part(tensor: Any) -> tuple[Tensor, Way]:
    """What this process holds of a tensor, and how the whole is spread."""
    if not is_distributed(tensor):
        return tensor, None
    if any(p.is_partial() for p in tensor.placements):
        tensor = tensor.redistribute(placements=_settled(tensor.placements))
    return tensor.to_local(), (tensor.device_mesh, tensor.placements)


def over_processes(values: Tensor, way: Way) -> Tensor:
    """The sums of such values over the parts of a tensor that is spread so, each counted once."""
    if way is None:
        return values
    from torch.distributed.tensor import DTensor, Partial, Replicate

    mesh, placements = way
    sums = [Replicate() if p.is_replicate() else Partial() for p in placements]
    return DTensor.from_local(values, mesh, sums).full_tensor()


def number(tensor: Any) -> float:
    """The one number of a tensor; ``item()`` of a DTensor may be that of this process alone."""
    return (tensor.full_tensor() if is_distributed(tensor) else tensor).item()


def _settled(placements: Sequence[Any]) -> list[Any]:
    """The same placements, what is left to be summed over processes being summed."""
    from torch.distributed.tensor import Replicate

    return [Replicate() if p.is_partial() else p for p in placements]
