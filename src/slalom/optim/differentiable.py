"""Steps under autograd: a rule is a pure function of tensors, so gradients flow through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor

from slalom.engine.memory import check
from slalom.engine.plan import name_of
from slalom.engine.treatment import Treatment
from slalom.optim.checks import check_sparse
from slalom.rules.rule import Rule
from slalom.rules.treated import treated


def update_differentiably(
    groups: Sequence[Mapping[str, Any]],
    states: MutableMapping[Tensor, dict[str, Any]],
    rule_of: Callable[[Mapping[str, Any]], Rule],
    treatment: Treatment,
    scale: Any,
) -> None:
    """Update every parameter that has a gradient, in place and recorded by autograd.

    Parameters must not be leaves of the graph, as in torch. States are replaced by new tensors,
    so that what the graph has saved of the old ones stays valid. Hyper-parameters that are tensors
    are used as they are, so that the result can be differentiated by them.

    Raises ValueError if the treatment looks for gradients that are not finite, which has no
    derivative, or rounds by chance.
    """
    if treatment.on_nonfinite != "propagate" or treatment.rounding != "nearest":
        asked = "rounding" if treatment.rounding != "nearest" else "on_nonfinite"
        raise ValueError(f"{asked} has no derivative; leave it out where differentiable=True")
    pairs = [
        (group, param, name_of(group, i, j))
        for i, group in enumerate(groups)
        for j, param in enumerate(group["params"])
        if param.grad is not None
    ]
    for group, param, name in pairs:
        check(param, param.grad, name)
        if param.grad.layout != torch.strided:
            check_sparse(rule_of(group), group, treatment)
    with torch.enable_grad():
        if treatment.clip_norm is not None:
            squares = [_dense(p.grad).abs().square().sum() for _, p, _ in pairs]
            norm = torch.stack(squares).sum().sqrt() * abs(scale)
            scale = scale * treatment.factor(norm)
        for group, param, _ in pairs:
            rule = treated(rule_of(group), treatment.acts(scale is not None))
            _update(rule, param, states[param], group, treatment.late(scale, group))


def _update(
    rule: Rule, param: Tensor, state: dict[str, Any], group: Mapping[str, Any],
    late: Mapping[str, Any],
) -> None:  # fmt: skip
    hypers = {n: _scalar({**group, **late}.get(n, d)) for n, d in rule.hypers.items()}
    own = {n: v for n, v in state.items() if v is not None}
    first = not any(n in own for n in rule.state)
    if rule.takes_step:
        double = torch.get_default_dtype() == torch.float64
        step = own.get("step", torch.zeros((), dtype=torch.float64 if double else torch.float32))
        state["step"] = step + 1 if isinstance(step, Tensor) else torch.tensor(step + 1.0)
        hypers["step"] = float(state["step"])
    if rule.takes_first:
        hypers["first"] = hypers["step"] == 1 if rule.takes_step else first
    # the graph saves what it needs of the old value, and the parameter is about to be overwritten
    old = [_real(param.clone()), _real(_dense(param.grad))]
    given = [
        _scalar(own.get(n, rule.start(n, group)))
        if n in rule.numbers
        else _real(own[n] if n in own else torch.full_like(param, _filled(rule, n, group, param)))
        for n in rule.arguments
    ]
    moved, *results = rule.results(rule.function(*old, *given, **hypers))
    for name, before, after in zip(rule.arguments, given, results, strict=True):
        if name in rule.numbers:
            state[name] = torch.as_tensor(after)
        elif after is not before:
            state[name] = _like(after, param)
    param.copy_(_like(moved, param))


def _filled(rule: Rule, name: str, group: Mapping[str, Any], param: Tensor) -> Any:
    start = rule.start(name, group)
    return complex(start, start) if param.is_complex() else start


def _scalar(value: Any) -> Any:
    """A hyper-parameter as it is; of a tensor, its one number as a tensor without axes."""
    if isinstance(value, Tensor):
        return value.reshape(())
    if isinstance(value, tuple | list):
        return tuple(map(_scalar, value))
    return value


def _dense(grad: Any) -> Tensor:
    return grad if grad.layout == torch.strided else grad.to_dense()


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _like(value: Any, param: Tensor) -> Tensor:
    if not isinstance(value, Tensor):
        return torch.full_like(param, value)
    value = torch.view_as_complex(value.contiguous()) if param.is_complex() else value
    return value.expand_as(param)
