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
    """The parameter before the first and after each update, in float64, stacked."""
    hypers = {**rule.hypers, **hypers}
    param = start.detach().double().clone()
    state: list[Any] = []
    path = [param]
    for name in rule.arguments:
        begin = rule.start(name, hypers)
        number = torch.tensor(begin).item()
        state.append(number if name in rule.numbers else torch.full_like(param, begin))
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
    a, b = a.detach().double(), b.detach().double()
    if a.numel() == 0 or torch.equal(a, b):
        return 0.0
    return ((a - b).abs().max() / (b if scale is None else scale).abs().max()).item()
