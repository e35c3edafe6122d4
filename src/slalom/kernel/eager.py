"""Run a rule on tensors, operation by operation: the reference, and the way that always works."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from slalom.rules.rule import Rule


def update(
    rule: Rule,
    param: Tensor,
    grad: Tensor,
    state: Mapping[str, Tensor],
    numbers: Mapping[str, float],
    hypers: Mapping[str, Any],
    *,
    step: float,
    first: bool,
) -> None:
    """Update ``param`` and ``state`` in place, whatever their device, dtype and layout.

    ``state`` holds the live states of the rule, each of the parameter's shape, and ``numbers``
    its numbers, whose new values are the caller's to compute. Complex tensors are updated as
    pairs of reals, as in torch. A sparse gradient counts as a dense one. Arithmetic is done in the
    widest of the dtypes, and at least in float32; what is narrower is rounded once.
    """
    keywords: dict[str, Any] = {name: plain(hypers[name]) for name in rule.hypers}
    if rule.takes_step:
        keywords["step"] = step
    if rule.takes_first:
        keywords["first"] = first
    with torch.no_grad():
        grad = grad.to_dense() if grad.layout != torch.strided else grad
        old = {"param": param} | {name: state.get(name) for name in rule.arguments}
        if param.is_complex():
            grad = torch.view_as_real(grad)
            old = {n: t if t is None else torch.view_as_real(t) for n, t in old.items()}
        tensors = [grad, *(t for t in old.values() if t is not None)]
        widest = reduce(torch.promote_types, (t.dtype for t in tensors), torch.float32)
        wide = {n: t if t is None else t.to(widest) for n, t in old.items()}
        given, *states = (wide | dict(numbers)).values()
        results = rule.function(given, grad.to(widest), *states, **keywords)
        results = results if isinstance(results, tuple) else (results,)
        for tensor, before, result in zip(old.values(), wide.values(), results, strict=True):
            if tensor is not None and before is not result:
                tensor.copy_(torch.as_tensor(result))


def plain(value: Any) -> Any:
    """A hyper-parameter as a Python value: a tensor of one element as its number."""
    if isinstance(value, Tensor):
        return value.item()
    if isinstance(value, tuple | list):
        return tuple(plain(v) for v in value)
    return value
