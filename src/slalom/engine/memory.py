"""What tensors of a step share memory, and which of them no update can be right for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from slalom.backends.base import Slot
from slalom.backends.layout import (
    is_dense,
    is_freed,
    meet,
    merged,
    overlapping,
    plain,
    same_layout,
    span,
)
from slalom.backends.refusals import RefusedTensorError

FREED = "its storage was resized to 0; resize it back, and fill it, before the step"


def sharing(slots: Sequence[Slot]) -> set[int]:
    """Places of the slots whose parameter or states share memory with those of another slot.

    States that were just made share it with nothing.
    """
    spans, owners = [], []
    for slot in slots:
        param = slot.param
        if slot.kind is not None:
            start = param.data_ptr()
            spans.append((start, start + param.nbytes))
            owners.append(slot.place)
            continue
        for tensor in (param,) if slot.made else (param, *slot.state.values()):
            if plain(tensor):
                spans.append(span(tensor))
                owners.append(slot.place)
    return {owners[i] for i in overlapping(spans)}


def lending(slots: Sequence[Slot]) -> set[int]:
    """Places of the slots whose gradient lies in the memory of another slot, and of that one."""
    owned = [(span(t), s.place) for s in slots for t in (s.param, *s.state.values()) if plain(t)]
    read = [(span(g), s.place) for s in slots if (g := s.param.grad) is not None and plain(g)]
    if not read or not owned:
        return set()
    spans = np.array([s for s, _ in read], np.uint64)
    found: set[int] = set()
    for i in np.flatnonzero(meet(merged(s for s, _ in owned), spans)).tolist():
        (begin, end), place = read[i]
        others = {p for (b, e), p in owned if p != place and b < end and begin < e and b < e}
        found |= others | {place} if others else set()
    return found


def check(param: Tensor, grad: Tensor | None, name: str) -> None:
    """Raise :class:`RefusedTensorError` where updating a parameter in place has no meaning.

    That is where it holds integers, where it has no memory of its own, where two of its elements
    are one, where it belongs to inference mode, and where its gradient is a shifted view of it.
    Nothing of it is so where :func:`ordinary` says yes, at a quarter of the time.
    """
    if param.layout not in (torch.strided, torch.jagged):
        raise RefusedTensorError(
            f"{name} has the layout {param.layout}, and only strided and jagged parameters can be "
            "updated; make it dense with to_dense()"
        )
    if grad is not None and grad.shape != param.shape:
        raise RefusedTensorError(
            f"{name} has shape {tuple(param.shape)} and its gradient has {tuple(grad.shape)}; "
            "set the gradient to None where a parameter takes another shape"
        )
    if param._is_zerotensor():
        raise RefusedTensorError(
            f"{name} is a ZeroTensor, which has no memory that could be updated; clone() it"
        )
    if param.is_inference() and not torch.is_inference_mode_enabled():
        raise RefusedTensorError(
            f"{name} was made in inference mode, and is not to be updated outside of it; make the "
            "model outside of torch.inference_mode()"
        )
    if not (param.is_floating_point() or param.is_complex()):
        raise RefusedTensorError(
            f"{name} holds {param.dtype}, and only floating-point and complex parameters can be "
            "updated; leave it out of the optimizer"
        )
    if _is_spread(param) != _is_spread(grad) and grad is not None:
        kinds = ("a DTensor", "a plain tensor")
        mine, other = kinds if _is_spread(param) else kinds[::-1]
        raise RefusedTensorError(
            f"{name} is {mine} and its gradient is {other}; give it a gradient of its own kind "
            "(DTensor.to_local(), distribute_tensor())"
        )
    if not plain(param):
        return
    if grad is not None and is_freed(param):
        raise RefusedTensorError(f"{name} has no memory: {FREED}")
    if grad is not None and is_freed(grad):
        raise RefusedTensorError(f"the gradient of {name} has no memory: {FREED}")
    if not is_dense(param) and _overlaps_itself(param):
        raise RefusedTensorError(
            f"more than one element of {name} lies in the same place of memory (an expanded or "
            "overlapping view), so that it cannot be updated in place; make it contiguous first"
        )
    if plain(grad) and grad is not None and grad.device == param.device and is_dense(param):
        begin, end = span(param)
        first, last = span(grad)
        if not (first < end and begin < last):
            return
        same = first == begin and same_layout(param, grad) and grad.dtype == param.dtype
        if not same and is_dense(grad):
            raise RefusedTensorError(
                f"the gradient of {name} is a shifted view of the memory of {name} itself, which "
                "the update overwrites; clone() the gradient"
            )


def ordinary(param: Tensor, grad: Tensor) -> bool:
    """Whether both are as most are: plain numbers of one dtype, each in a run of memory of its own.

    Of two such parameters of one dtype and device all but shape, address and numbers is equal.
    """
    if not (
        type(param) in (Tensor, Parameter)
        and type(grad) is Tensor
        and param.layout is grad.layout is torch.strided
        and param.dtype is grad.dtype
        and param.dtype.is_floating_point
        and param.device == grad.device
        and param.shape == grad.shape
        and param.is_contiguous()
        and grad.is_contiguous()
        and not (param.is_neg() or grad.is_neg() or param.is_inference())
    ):
        return False
    mine, other = param.data_ptr(), grad.data_ptr()  # 0 of what has no memory
    return bool(mine and other) and abs(mine - other) >= param.nbytes


def check_states(slot: Slot) -> None:
    """Raise :class:`RefusedTensorError` where a state shares memory with what is used with it."""
    param, grad = slot.param, slot.param.grad
    if freed := [name for name, t in slot.state.items() if is_freed(t)]:
        raise RefusedTensorError(f"of {slot.name}, the state {freed[0]} has no memory: {FREED}")
    of_states = [(f"its state {name}", t) for name, t in slot.state.items() if plain(t)]
    if not of_states:
        return
    others = [("it", param)] if plain(param) else []
    others += [("its gradient", grad)] if plain(grad) and grad is not None else []
    named = [*of_states, *others]
    found = overlapping([span(t) for _, t in named])
    shared = [named[i][0] for i in sorted(found)]
    if shared and shared[0] != "it" and shared[0] != "its gradient":
        raise RefusedTensorError(
            f"of {slot.name}, {' and '.join(shared)} share memory, so that an update of one would "
            "overwrite the other; clone() the state"
        )


def _overlaps_itself(tensor: Tensor) -> bool:
    axes = sorted((st, n) for st, n in zip(tensor.stride(), tensor.shape, strict=True) if n > 1)
    reach = 0
    for stride, size in axes:
        if stride <= reach:
            break  # perhaps: it has to be counted
        reach += stride * (size - 1)
    else:
        return False
    places = torch.zeros((), dtype=torch.int64)
    for stride, size in axes:
        places = places.unsqueeze(-1) + stride * torch.arange(size)
    return places.unique().numel() < places.numel()


def _is_spread(tensor: Tensor | None) -> bool:
    return hasattr(tensor, "placements")
