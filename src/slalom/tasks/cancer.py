"""Breast cancer: 569 real measurements of 30 features (Street et al. 1993), from scikit-learn."""

from __future__ import annotations

import numpy as np
from torch import nn

from slalom.train import Task


def task() -> Task:
    """Logistic regression, a convex problem: validation loss of 0.09."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    inputs, classes = load_breast_cancer(return_X_y=True)
    labels = np.asarray(classes, dtype=np.float32)[:, None]
    parts = train_test_split(inputs, labels, test_size=0.3, random_state=0, stratify=classes)
    x, xv, y, yv = (np.asarray(part) for part in parts)
    mean, deviation = x.mean(0), x.std(0)
    x, xv = ((part - mean) / deviation for part in (x, xv))
    return Task(
        lambda: nn.Linear(30, 1), nn.BCEWithLogitsLoss(), (x.astype(np.float32), y),
        (xv.astype(np.float32), yv), "loss", target=0.09, batch_size=32, max_steps=1500,
        name="cancer",
    )  # fmt: skip
