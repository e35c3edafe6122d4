"""What is kept of a parameter: how it begins, and that no part of it is missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from slalom.backends.refusals import RefusedTensorError
from slalom.backends.spread import of_lines
from slalom.engine.distributed import is_distributed
from slalom.ir.operations import VARIES
from slalom.ir.program import trace
from slalom.rules.definition import REQUIRED, Rule


def begun(
    rule: Rule, name: str, param: Tensor, start: float | Tensor, hypers: Mapping[str, Any]
) -> Tensor:
    """The state ``name`` of a parameter, full of ``start``, a number or a tensor of one.

    It lies as the parameter does. One of another shape (``rule.shapes``) is real and of float32 at
    least. Raises :class:`RefusedTensorError` where such a state would be of a complex parameter.
    """
    if isinstance(start, Tensor):
        made = begun(rule, name, param, 0.0, hypers)
        own = torch.view_as_real(made) if made.is_complex() else made
        own.add_(start.to(param.device, non_blocking=True).reshape(()))
        return made
    if name not in rule.shapes:
        if start == 0 and type(param) is Parameter and param.layout is torch.strided:
            return torch.zeros_like(param)  # in half of the time
        filled = complex(start, start) if param.is_complex() else start
        return torch.full_like(param, filled, requires_grad=False)
    shape = rule.shape(name, param.shape, hypers)
    if param.is_complex() and rule.shapes[name] != "tensor0":
        raise RefusedTensorError(
            f"{rule.class_name} keeps {name} of rows or columns, which it does not of "
            f"{param.dtype}; give it torch.view_as_real() of the parameter"
        )
    dtype = torch.promote_types(param.dtype.to_real(), torch.float32)
    if shape and hasattr(param, "full_tensor"):
        return of_lines(param, VARIES[rule.shapes[name]], shape, start, dtype)
    return torch.full(shape, start, dtype=dtype, device=param.device)


def check_whole(
    rule: Rule, live: Collection[str], own: Collection[str], name: str, count: float = 1
) -> None:
    """Raise RuntimeError if a part of what is kept of a parameter is missing, and not all of it.

    ``own`` is what there is of it, ``live`` what the step needs, ``count`` the updates made before.
    What the first update, or the first two where there were as many, do not make with the default
    options may be missing: its time, or its option, may just have come.
    """
    if not any(n in own for n in rule.arguments):
        return
    made = {n for k in (1, 2) if k <= max(count, 1) for n in _made_in(rule, k)}
    due = [*["step"] * rule.takes_step, *rule.numbers, *(n for n in live if n in made)]
    if lost := [n for n in due if n not in own]:
        there = ", ".join(n for n in ("step", *rule.arguments) if n in own)
        raise RuntimeError(
            f"the state of {name} has {there} and no {lost[0]}; load a checkpoint of "
            f"{rule.class_name}, or begin anew by optimizer.state.pop(parameter)"
        )


@cache
def _made_in(rule: Rule, step: int) -> tuple[str, ...]:
    """The states that an update makes, with the default options."""
    usual = {n: 1e-3 if d is REQUIRED else d for n, d in rule.hypers.items()}
    return trace(rule, usual, step=step, first=step == 1).live_state


def check_state(
    rule: Rule, name: str, state: Tensor, param: Tensor, hypers: Mapping[str, Any],
    coded: bool = False,
) -> None:  # fmt: skip
    """Raise RuntimeError if this is no state of this parameter; ``coded``, not of 8-bit codes."""
    if tuple(state.shape) != (due := rule.shape(name, param.shape, hypers)):
        parameter = "" if due == tuple(param.shape) else f" and so the state is to have {due}"
        if (limit := rule.limits.get(name)) is not None:
            parameter += f" under {limit}={hypers.get(limit)}, which a run keeps"
        raise RuntimeError(
            f"the state {name} has shape {tuple(state.shape)} where its parameter has "
            f"{tuple(param.shape)}{parameter}; load a checkpoint of the same model"
        )
    complex_due = param.is_complex() and name not in rule.shapes
    number = state.is_floating_point() or state.is_complex() or coded
    if state.is_complex() != complex_due or not number:
        raise RuntimeError(
            f"the state {name} holds {state.dtype} where its parameter holds {param.dtype}; load a "
            "checkpoint of the same model"
        )
    if state.device.type == "meta" and param.device.type != "meta":
        raise RuntimeError(
            f"the state {name} is on the meta device and holds no numbers; load a checkpoint"
        )
    one = rule.shapes.get(name) == "tensor0"
    if is_distributed(state) != is_distributed(param) and not one:
        raise RuntimeError(
            f"of the state {name} and its parameter one is a DTensor and the other is not; load "
            "the checkpoint with torch.distributed.checkpoint.state_dict.set_optimizer_state_dict"
        )
