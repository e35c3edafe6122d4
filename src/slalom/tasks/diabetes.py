"""Diabetes: 442 patients, 10 features (Efron et al. 2004), from scikit-learn."""

from __future__ import annotations

import numpy as np
from torch import nn

from slalom.train import Task


def task() -> Task:
    """Regression of the disease's progression, in its standard deviations: an r2 of 0.36."""
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split

    inputs, progression = load_diabetes(return_X_y=True, scaled=False)
    goal = np.asarray(progression)[:, None]
    parts = train_test_split(inputs, goal, test_size=0.3, random_state=0)
    x, xv, y, yv = (np.asarray(part) for part in parts)
    x, xv = ((part - x.mean(0)) / x.std(0) for part in (x, xv))
    y, yv = ((part - y.mean(0)) / y.std(0) for part in (y, yv))
    x, xv, y, yv = (part.astype(np.float32) for part in (x, xv, y, yv))
    return Task(
        lambda: nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 1)), nn.MSELoss(),
        (x, y), (xv, yv), "r2", target=0.36, batch_size=103, max_steps=300, eval_every=1,
        name="diabetes",
    )  # fmt: skip
