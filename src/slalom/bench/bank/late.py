"""Late bloomers: whoever is best in the end first throws the loss up."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from slalom.bench.bank._entry import banked
from slalom.bench.bank._parts import cut
from slalom.train import Task


class Start(nn.Module):
    """A linear function that starts at weights near the given ones."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        near = torch.from_numpy(weights.astype(np.float32))
        self.weight = nn.Parameter(near + 0.02 * torch.randn(len(near)))

    def forward(self, rows: Tensor) -> Tensor:
        """Values (n, 1) of rows (n, d)."""
        return (rows @ self.weight)[:, None]


@banked("late bloomer: steep directions are right at first")
def far_and_flat(name: str) -> Task:
    """Eight steep directions start where they should be, and four flat ones far from it.

    Large rates throw the steep ones out, and are the only ones to come far enough along the flat.
    """
    chance = np.random.default_rng(0)
    rows = chance.standard_normal((384, 12)) * np.array([1.0] * 8 + [0.01] * 4)
    goal = np.array([1.0] * 8 + [100.0, -90.0, 110.0, -95.0])
    values = rows @ goal
    start = np.array([1.0] * 8 + [0.0] * 4)
    train, valid = cut(rows, values, 256)
    return Task(
        lambda: Start(start), nn.MSELoss(), train, valid, "loss", 0.15, 16, max_steps=720,
        eval_every=5, name=name,
    )  # fmt: skip
