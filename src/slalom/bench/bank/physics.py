"""Differential equations solved by a network (Raissi et al. 2019), second derivatives exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slalom.bench.bank._entry import banked
from slalom.train import Task


class Curve(nn.Module):
    """A perceptron u(x) of one number, which tells its first two derivatives with its value.

    They are carried through the layers beside it, so that no gradient is asked for on the way.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        sizes = (1, width, width, 1)
        self.layers = nn.ModuleList(map(nn.Linear, sizes[:-1], sizes[1:]))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3) of x (n, 1): u, u' and u''."""
        u, first, second = x, torch.ones_like(x), torch.zeros_like(x)
        for i, layer in enumerate(self.layers):
            if i:
                u = torch.tanh(u)
                slope = 1 - u * u
                second = slope * (second - 2 * u * first * first)
                first = slope * first
            weight: Any = layer.weight
            u, first, second = layer(u), first @ weight.T, second @ weight.T
        return torch.cat([u, first, second], 1)


class Residual(nn.Module):
    """What is left of an equation: a column that is to be zero, of each row's own kind."""

    def __init__(self) -> None:
        super().__init__()
        self.curve = Curve()

    def forward(self, rows: Tensor) -> Tensor:
        """(n, 1) of rows (n, 4): x, and the factors of u, u' and u''."""
        return (self.curve(rows[:, :1]) * rows[:, 1:]).sum(1, keepdim=True)


def _task(name: str, inside: list[np.ndarray], edge: list[list[float]], **options: Any) -> Task:
    """From columns of (x, three factors, the value that their sum is to have).

    Rows at the edge are few, and repeated until they count as much as those inside.
    """
    body, rim = np.stack(inside, 1), np.array(edge)
    rows = np.concatenate([body, np.repeat(rim, len(body) // len(rim), 0)]).astype(np.float32)
    data = rows[:, :4], rows[:, 4:]
    return Task(Residual, nn.MSELoss(), data, data, "loss", name=name, **options)


@banked("physics-informed: Poisson's equation")
def poisson(name: str) -> Task:
    """u'' = -(pi^2 / 4) sin(pi x), and u = 0 at -1 and 1."""
    x = np.linspace(-1, 1, 64)
    inside = [x, 0 * x, 0 * x, 1 + 0 * x, -(np.pi**2) / 4 * np.sin(np.pi * x)]
    return _task(
        name, inside, [[-1, 3, 0, 0, 0], [1, 3, 0, 0, 0]], target=0.02, batch_size=32,
        max_steps=260, eval_every=2,
    )  # fmt: skip


@banked("physics-informed: an oscillator")
def oscillator(name: str) -> Task:
    """u'' = -9 u, from u(0) = 1 and u'(0) = 0, up to 1.5."""
    x = np.linspace(0, 1.5, 64)
    inside = [x, 3 + 0 * x, 0 * x, 1 / 3 + 0 * x, 0 * x]
    return _task(
        name, inside, [[0, 2, 0, 0, 2], [0, 0, 1, 0, 0]], target=0.03, batch_size=32,
        max_steps=480, eval_every=4,
    )  # fmt: skip
