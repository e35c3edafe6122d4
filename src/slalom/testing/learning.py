"""Checks that it goes downhill, and that its modes, if it has any, undo each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from slalom.testing.subject import NotApplicable, Subject, gradients, parameters, run, starts, walk

RATES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 3e-1, 1.0, 10.0, 100.0)
"""The learning rates tried in turn: one of them has to do."""


def parabola(x: Tensor) -> Tensor:
    """A valley ten times as steep across as along; least, 0, at (1, 2)."""
    return (x[0] - 1) ** 2 + 10 * (x[1] - 2) ** 2


def rosenbrock(x: Tensor) -> Tensor:
    """Rosenbrock's curved valley (1960); least, 0, at (1, 1)."""
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def _goes_down(
    subject: Subject, function: Callable[[Tensor], Tensor], steps: int, share: float
) -> None:
    """At one rate at least, so many steps leave less than this share of the loss at the start."""
    least = 1.0
    for lr in RATES:
        x = Parameter(torch.tensor([-1.5, 2.0 if function is rosenbrock else -3.0]))
        optimizer: Any = subject.make([x], lr=lr)
        start = function(x).item()
        for _ in range(steps):
            optimizer.zero_grad()
            function(x).backward()
            optimizer.step()
            if not bool(x.isfinite().all()):
                break
        if hasattr(optimizer, "eval"):
            optimizer.eval()
        left = function(x).item() / start
        if left < share:
            return
        least = min(least, left if left == left else 1.0)
    raise AssertionError(
        f"{steps} steps leave {least:.1%} of the loss, at the best of {RATES} as lr"
    )


def goes_down_a_parabola(subject: Subject) -> None:
    _goes_down(subject, parabola, 500, 0.02)


def goes_down_rosenbrocks_valley(subject: Subject) -> None:
    _goes_down(subject, rosenbrock, 1000, 0.4)


def modes_undo_each_other(subject: Subject) -> None:
    values = starts()
    params = parameters(values)
    optimizer: Any = subject.make(params)
    if not (hasattr(optimizer, "train") and hasattr(optimizer, "eval")):
        raise NotApplicable("it has no modes, train() and eval()")
    grads, later = gradients(values, 5), gradients(values, 3, seed=2)
    walk(optimizer, params, grads)
    training = [p.detach().clone() for p in params]
    optimizer.eval()
    moved = any(not torch.equal(p, t) for p, t in zip(params, training, strict=True))
    assert moved, "eval() changes nothing"
    optimizer.eval()
    optimizer.train()
    subject.same(params, training, "after eval() and train()")
    whole = run(subject.plain, values, [*grads, *later])
    subject.same(walk(optimizer, params, later), whole, "trained on after eval() and train()")


CHECKS = (goes_down_a_parabola, goes_down_rosenbrocks_valley, modes_undo_each_other)
