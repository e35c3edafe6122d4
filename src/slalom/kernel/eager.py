"""Run a rule on tensors, operation by operation: the reference, and the way that always works."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from slalom.kernel.noise import rounded
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
    by_rows: bool = False,
    noise: int | None = None,
) -> None:
    """Update ``param`` and ``state`` in place, whatever their device, dtype and layout.

    ``state`` holds the live states of the rule, each of the parameter's shape, and ``numbers``
    its numbers, whose new values are the caller's to compute. Complex tensors are updated as
    pairs of reals, as in torch. ``by_rows``, the gradient is sparse and only what it touches is
    read and written; else a sparse gradient counts as a dense one. Arithmetic is done in the
    widest of the dtypes, and at least in float32; what is narrower is rounded once, bfloat16 by
    chance where ``noise`` gives random bits.
    """
    keywords: dict[str, Any] = {name: plain(hypers[name]) for name in rule.hypers}
    if rule.takes_step:
        keywords["step"] = step
    if rule.takes_first:
        keywords["first"] = first
    with torch.no_grad():
        old = {"param": param} | {name: state.get(name) for name in rule.arguments}
        whole = dict(old)
        if by_rows:
            grad = grad.coalesce()
            rows, grad = tuple(grad.indices()), grad.values()
            old = {n: t if t is None else t[rows] for n, t in old.items()}
        elif grad.layout != torch.strided:
            grad = grad.to_dense()
        if param.is_complex():
            grad = torch.view_as_real(grad)
            old = {n: t if t is None else torch.view_as_real(t) for n, t in old.items()}
        tensors = [grad, *(t for t in old.values() if t is not None)]
        widest = reduce(torch.promote_types, (t.dtype for t in tensors), torch.float32)
        wide = {n: t if t is None else t.to(widest) for n, t in old.items()}
        given, *states = (wide | dict(numbers)).values()
        results = rule.function(given, grad.to(widest), *states, **keywords)
        results = results if isinstance(results, tuple) else (results,)
        for name, result in zip(old, results, strict=True):
            tensor = old[name]
            if tensor is None or wide[name] is result:
                continue
            result = torch.as_tensor(result)
            if noise is not None and tensor.dtype == torch.bfloat16:
                result = rounded(result.expand_as(tensor), noise + len(name))
            tensor.copy_(result)
            if by_rows:
                target = whole[name]
                assert target is not None
                target[rows] = torch.view_as_complex(tensor) if target.is_complex() else tensor


def plain(value: Any) -> Any:
    """A hyper-parameter as a Python value: a tensor of one element as its number."""
    if isinstance(value, Tensor):
        return value.item()
    if isinstance(value, tuple | list):
        return tuple(plain(v) for v in value)
    return value
