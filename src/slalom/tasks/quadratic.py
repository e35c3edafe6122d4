"""An ill-conditioned quadratic, whose optimum is known in closed form."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from slalom.train import Task

DIMENSIONS, SAMPLES, CONDITION = 20, 512, 300.0


class Point(nn.Module):
    """The parameters of a linear function, near 0, and drawn so that seeds differ."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.01 * torch.randn(DIMENSIONS))

    def forward(self, rows: Tensor) -> Tensor:
        """The values (n,) of rows (n, DIMENSIONS)."""
        return rows @ self.weight


def problem() -> tuple[np.ndarray, np.ndarray, float]:
    """(rows, values, least mean squared error): least squares with a given condition number.

    The Hessian of the mean squared error is ``2 * rows.T @ rows / n``, whose eigenvalues run from
    2 / CONDITION to 2; the optimum is that of the normal equations.
    """
    generator = np.random.default_rng(0)
    left, _ = np.linalg.qr(generator.standard_normal((SAMPLES, DIMENSIONS)))
    right, _ = np.linalg.qr(generator.standard_normal((DIMENSIONS, DIMENSIONS)))
    spectrum = np.geomspace(1.0, CONDITION**-0.5, DIMENSIONS)
    rows = np.sqrt(SAMPLES) * left @ np.diag(spectrum) @ right
    values = rows @ generator.standard_normal(DIMENSIONS) + 0.1 * generator.standard_normal(SAMPLES)
    best = np.linalg.lstsq(rows, values, rcond=None)[0]
    return rows, values, float(np.mean((rows @ best - values) ** 2))


def task() -> Task:
    """Come to within a tenth of the least error that there is."""
    rows, values, least = problem()
    data = rows.astype(np.float32), values.astype(np.float32)
    return Task(
        Point, nn.MSELoss(), data, data, "loss", target=1.1 * least, batch_size=64,
        max_steps=1500, eval_every=2, name="quadratic",
    )  # fmt: skip
