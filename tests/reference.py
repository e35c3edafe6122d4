"""What every backend is held against: the rule itself, on float64 tensors, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from slalom.rules import Rule


def reference(rule: Rule, start: Tensor, grads: Sequence[Tensor], **hypers: Any) -> Tensor:
    """The parameter after one update a gradient, in float64."""
    return trajectory(rule, start, grads, **hypers)[-1]


def trajectory(rule: Rule, start: Tensor, grads: Sequence[Tensor], **hypers: Any) -> Tensor:
    """The parameter before the first and after each update, in float64, stacked.

    Complex numbers are pairs of reals to every rule, and come back as complex numbers.
    """
    if start.is_complex():
        real = [torch.view_as_real(t.detach().to(torch.complex128)) for t in (start, *grads)]
        return torch.view_as_complex(trajectory(rule, real[0], real[1:], **hypers))
    hypers = {**rule.hypers, **hypers}
    param = start.detach().double().clone()
    state: list[Any] = []
    path = [param]
    for name in rule.arguments:
        begin = rule.start(name, hypers)
        if name in rule.numbers:
            state.append(torch.tensor(begin).item())
        else:
            state.append(param.new_full(rule.shape(name, param.shape, hypers), begin))
    for i, grad in enumerate(grads):
        clock = {"step": i + 1} if rule.takes_step else {}
        clock |= {"first": i == 0} if rule.takes_first else {}
        results = rule(param, grad.double(), *state, **hypers, **clock)
        param, *state = results if isinstance(results, tuple) else (results,)
        state = [  # a rule's numbers are kept in the default dtype, as torch keeps them
            torch.tensor(float(s)).item() if name in rule.numbers else s
            for name, s in zip(rule.arguments, state, strict=True)
        ]
        path.append(param)
    return torch.stack(path)


def distance(a: Tensor, b: Tensor, scale: Tensor | None = None) -> float:
    """The largest difference, as a share of the largest value; 0 for what is equal to the bit.

    ``scale`` holds the values among which the largest is sought, those of ``b`` by default.
    """
    wide = torch.complex128 if a.is_complex() or b.is_complex() else torch.float64
    a, b = a.detach().to(wide), b.detach().to(wide)
    if a.numel() == 0 or torch.equal(a, b):
        return 0.0
    return ((a - b).abs().max() / (b if scale is None else scale).abs().max()).item()
