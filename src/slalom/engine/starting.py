"""What is kept of a parameter: how it begins, and that no part of it is missing."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from slalom.backends.base import RefusedTensorError
from slalom.backends.spread import of_lines
from slalom.ir.operations import KEPT
from slalom.ir.program import trace
from slalom.rules.definition import REQUIRED, Rule


def begun(rule: Rule, name: str, param: Tensor, start: float) -> Tensor:
    """The state ``name`` of a parameter, full of ``start``.

    It lies as the parameter does. One that is smaller (``rule.shapes``) is real and of float32 at
    least. Raises :class:`RefusedTensorError` where such a state would be of a complex parameter.
    """
    if name not in rule.shapes:
        filled = complex(start, start) if param.is_complex() else start
        return torch.full_like(param, filled, requires_grad=False)
    shape = rule.shape(name, param.shape)
    if param.is_complex() and rule.shapes[name] != "tensor0":
        raise RefusedTensorError(
            f"{rule.class_name} keeps {name} of rows or columns, which it does not of "
            f"{param.dtype}; give it torch.view_as_real() of the parameter"
        )
    dtype = torch.promote_types(param.dtype.to_real(), torch.float32)
    if shape and hasattr(param, "full_tensor"):
        return of_lines(param, KEPT[rule.shapes[name]], start, dtype)
    return torch.full(shape, start, dtype=dtype, device=param.device)


def check_whole(rule: Rule, live: Collection[str], own: Collection[str], name: str) -> None:
    """Raise RuntimeError if a part of what is kept of a parameter is missing, and not all of it.

    ``own`` is what there is of it, ``live`` what the step needs. What the first update does not
    make, with the default options, may be missing: its time, or its option, may just have come.
    """
    if not any(n in own for n in rule.arguments):
        return
    usual = {n: 1e-3 if d is REQUIRED else d for n, d in rule.hypers.items()}
    made = trace(rule, usual, step=1, first=True).live_state
    due = [*["step"] * rule.takes_step, *rule.numbers, *(n for n in live if n in made)]
    if lost := [n for n in due if n not in own]:
        there = ", ".join(n for n in ("step", *rule.arguments) if n in own)
        raise RuntimeError(
            f"the state of {name} has {there} and no {lost[0]}; load a checkpoint of "
            f"{rule.class_name}, or begin anew by optimizer.state.pop(parameter)"
        )
