"""What a rule does with its weight decay, which its function alone says: found by a few steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from slalom.rules.definition import REQUIRED, Rule
from slalom.rules.parts import decay

STEPS, SHAPE = 12, (3, 2)
"""More steps than rules wait for by default, of a matrix that is not square."""


@cache
def decays_apart(rule: Rule, flags: tuple[tuple[str, Any], ...]) -> bool | None:
    """How :func:`slalom.rules.parts.decay` does what a rule's own weight decay does.

    False where that is in the gradient, True where it is decoupled, before the step (False of
    both), and None where it is neither. ``flags`` are the rule's flags and words; of its numbers
    those with no default are 0.1, and those that are 0 are 0.5 in a second trial. A rule that
    cannot be tried so is None, too; what has no decay is False.
    """
    if "weight_decay" not in rule.hypers:
        return False
    hypers = {n: 0.1 if default is REQUIRED else default for n, default in rule.hypers.items()}
    given = {"lr": 0.1, "weight_decay": 0.1, "maximize": False, **dict(flags)}
    hypers |= {n: value for n, value in given.items() if n in hypers}
    zeros = [n for n, v in hypers.items() if v == 0 and not isinstance(v, bool)]
    acting = {n: 0.5 for n in zeros if (bound := rule.bound(n)) is None or 0.5 in bound}
    ways = [False, True]
    with _disable_current_modes(), torch.no_grad():
        for tried in (hypers, {**hypers, **acting}):
            try:
                own = _path(rule, rule, tried)
                ways = [w for w in ways if _alike(own, _path(rule, _apart(rule, w), tried))]
            except Exception:
                return None  # of a user's function, which may ask for other numbers than these
    return ways[0] if ways else None


def _apart(rule: Rule, decoupled: bool) -> Callable[..., Any]:
    """The rule without its decay, and that done before."""

    def call(param: Any, grad: Any, *state: Any, **hypers: Any) -> Any:
        lr, own = hypers.get("lr", 0), hypers["weight_decay"]
        param, grad = decay(param, grad, lr, own, False, decoupled)
        return rule(param, grad, *state, **hypers | {"weight_decay": 0})

    return call


def _alike(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-10, atol=1e-12)


def _path(rule: Rule, call: Callable[..., Any], hypers: Mapping[str, Any]) -> Tensor:
    """Parameter and states after each of some steps in float64, one after another."""
    generator = torch.Generator("cpu").manual_seed(0)
    options: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}
    param = torch.randn(SHAPE, generator=generator, **options)
    state: list[Any] = [
        rule.start(n, hypers)
        if n in rule.numbers
        else torch.full(rule.shape(n, SHAPE, hypers), rule.start(n, hypers), **options)
        for n in rule.arguments
    ]
    path: list[Tensor] = []
    for step in range(1, 1 + STEPS):
        grad = torch.randn(SHAPE, generator=generator, **options)
        clock = {"step": step} if rule.takes_step else {}
        clock |= {"first": step == 1} if rule.takes_first else {}
        param, *state = rule.results(call(param, grad, *state, **hypers, **clock))
        path += [torch.as_tensor(each, **options).flatten() for each in (param, *state)]
    return torch.cat(path)
