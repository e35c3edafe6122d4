"""What the optimizers with a defect are derived from, and the table of who catches them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch.optim import Optimizer


class HeavyBall(Optimizer):
    """Momentum, with nothing wrong: what the others are derived from."""

    def __init__(self, params, lr=1e-2, momentum=0.9, weight_decay=0.0, maximize=False):
        options = {"momentum": momentum, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, {"lr": lr, **options})

    def step(self, closure=None):
        return self.one_step(closure)

    @torch.no_grad()
    def one_step(self, closure):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p, p.grad, group)
        return loss

    def update(self, p, grad, group):
        grad = grad.to_dense() if grad.is_sparse else grad
        grad = -grad if group["maximize"] else grad
        if group["weight_decay"]:
            grad = grad + group["weight_decay"] * p
        self.apply(p, grad, group["lr"], group["momentum"])

    def apply(self, p, grad, lr, momentum):
        state = self.state[p]
        if "buffer" not in state:
            state["buffer"] = torch.zeros_like(p)
        state["buffer"].mul_(momentum).add_(grad)
        p.sub_(lr * state["buffer"])


BROKEN: dict[str, list[Any]] = defaultdict(list)
"""Check -> the optimizers that it has to catch, without a reference."""


def caught_by(*checks: str) -> Any:
    def entered(broken: Any) -> Any:
        for check in checks:
            BROKEN[check].append(broken)
        return broken

    return entered
