"""A deep network on the digits, and how far rules move there for the gradient they are given."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from slalom import optim
from slalom.bench.claims._tuned import family, tuned
from slalom.bench.need import Need
from slalom.tasks import digits
from slalom.train import Batches, Task

WIDTH, BATCH = 32, 32

DEEP = 6
"""Layers of the deep network. Of 8 on, most rules arrive late or never at any rate."""

RATES = {
    "AdaGrad": np.geomspace(1e-3, 1, 8), "RMSProp": np.geomspace(1e-4, 0.1, 8),
    "SGD": np.geomspace(3e-3, 3, 8),
}  # fmt: skip


def net(depth: int) -> nn.Module:
    """Digits through ``depth`` layers of 32 with tanh."""
    sizes = [64, *[WIDTH] * depth]
    hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, 10))


@cache
def needed(depth: int, quick: bool) -> tuple[float, dict[str, tuple[float, Need]]]:
    """(cap, rule -> the rate that needs least updates to an accuracy of 93%, and what it needs)."""
    train, valid = digits.data()
    cap = 40 if quick else 1500
    task = Task(
        lambda: net(depth), nn.CrossEntropyLoss(), train, valid, "accuracy", 0.93,
        batch_size=BATCH, max_steps=cap, eval_every=10, name="deep digits",
    )  # fmt: skip
    found = {}
    for label, rates in RATES.items():
        own = [float(f"{r:.3g}") for r in (rates[::3] if quick else rates)]
        seeds = {"search": 1, "fresh": 2} if quick else {"search": 2, "fresh": 10}
        found[label] = tuned(task, family(label), own, **seeds)
    return float(cap), found


@cache
def reach(label: str, lr: float, depth: int, quick: bool) -> tuple[list[int], list[list[float]]]:
    """(updates, for each seed how far a unit of gradient moved a weight then).

    That is the length of the update over that of the gradient, over all parameters.
    """
    (inputs, classes), _ = digits.data()
    x, y = torch.from_numpy(inputs), torch.from_numpy(classes)
    make = {"AdaGrad": optim.Adagrad, "RMSProp": optim.RMSprop}[label]
    looks = [10, 20, 40, 80] if quick else [10, 20, 40, 80, 160, 320, 640, 1280, 2560]
    rows = []
    for seed in range(2 if quick else 8):
        torch.manual_seed(seed)
        model, loss = net(depth), nn.CrossEntropyLoss()
        optimizer = make(model.parameters(), lr=lr)
        batches, row = Batches(len(x), BATCH, seed), []
        for step in range(looks[-1] + 5):
            optimizer.zero_grad()
            chosen = batches[step]
            loss(model(x[chosen]), y[chosen]).backward()
            near = [t for t in looks if 0 <= step - t < 5]
            before = [p.detach().clone() for p in model.parameters()] if near else []
            optimizer.step()
            if near:
                row.append(_moved(model, before))
        rows.append(np.exp(np.log(np.reshape(row, (-1, 5))).mean(1)).tolist())
    return looks, rows


def _moved(model: nn.Module, before: list[torch.Tensor]) -> float:
    pairs = list(zip(model.parameters(), before, strict=True))
    moved = sum(float((p.detach() - b).square().sum()) for p, b in pairs)
    slopes = sum(float(p.grad.square().sum()) for p, _ in pairs if p.grad is not None)
    return (moved / slopes) ** 0.5
