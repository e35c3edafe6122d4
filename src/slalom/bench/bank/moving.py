"""Tasks that change while they are learnt."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from slalom.bench.bank._entry import banked
from slalom.bench.bank._parts import cut, mlp
from slalom.train import Task


class Turning(nn.Module):
    """A network before whose inputs the plane turns, by an angle with every update.

    Updates are counted by the batches that come through it in training, and the count is part of
    its state.
    """

    def __init__(self, net: nn.Module, angle: float) -> None:
        super().__init__()
        self.net, self.angle = net, angle
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(self, rows: Tensor) -> Tensor:
        """Of rows (n, d), whose first two columns turn."""
        turn = self.angle * int(self.updates)
        if self.training:
            self.updates += 1
        a, b = rows[:, :1], rows[:, 1:2]
        c, s = math.cos(turn), math.sin(turn)
        return self.net(torch.cat([c * a - s * b, s * a + c * b, rows[:, 2:]], 1))


@banked("non-stationary: the inputs turn")
def turning_classes(name: str) -> Task:
    """Four classes by quadrant and a third axis, which turn once in 250 updates."""
    rows = np.random.default_rng(0).standard_normal((768, 4))
    labels = (rows[:, 0] * rows[:, 1] + rows[:, 2] > 0).astype(int)
    train, valid = cut(rows, labels, 512)
    return Task(
        lambda: Turning(mlp(4, 24, 2), 2 * math.pi / 250), nn.CrossEntropyLoss(), train, valid,
        "accuracy", 0.9, 32, max_steps=160, eval_every=1, name=name,
    )  # fmt: skip


class Following(nn.Module):
    """A linear function whose goal walks away from it, more slowly with every update."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(8, 1)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.register_buffer("way", torch.tensor([1.0, -1.0] * 4) / 8**0.5)

    def forward(self, rows: Tensor) -> Tensor:
        """Values (n, 1) of rows (n, 8), less by how far the goal has moved."""
        gone = 3 * (1 - math.exp(-int(self.updates) / 60))
        if self.training:
            self.updates += 1
        way: Tensor = self.get_buffer("way")
        return self.line(rows) - gone * (rows @ way)[:, None]


@banked("non-stationary: the goal walks away")
def walking_goal(name: str) -> Task:
    """A plane that starts near and goes on to three times as far, to be held to a small error."""
    chance = np.random.default_rng(0)
    rows = chance.standard_normal((512, 8)) * np.geomspace(1, 0.1, 8)
    values = rows @ chance.standard_normal(8) + 0.1 * chance.standard_normal(512)
    train, valid = cut(rows, values, 384)
    return Task(
        Following, nn.MSELoss(), train, valid, "loss", 0.014, 16, max_steps=400, eval_every=4,
        name=name,
    )  # fmt: skip
