"""Handwritten digits: 1797 real images of 8x8 (Alpaydin & Kaynak 1998), from scikit-learn."""

from __future__ import annotations

import numpy as np
from torch import nn

from slalom.train import Task


def data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(inputs float32 (n, 64) in [0, 1], classes int64 (n,)), for training and validation.

    Split 3 to 1, each class in the same shares.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    inputs, classes = load_digits(return_X_y=True)
    inputs = (inputs / 16).astype(np.float32)
    parts = train_test_split(inputs, classes, test_size=0.25, random_state=0, stratify=classes)
    x, xv, y, yv = (np.asarray(part) for part in parts)
    return (x, y), (xv, yv)


def model() -> nn.Module:
    """A multi-layer perceptron of 64-128-128-10."""
    return nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def task() -> Task:
    """Classify held-out digits: 97 in 100 right."""
    train, valid = data()
    return Task(
        model, nn.CrossEntropyLoss(), train, valid, "accuracy", target=0.97, batch_size=64,
        max_steps=1500, name="digits",
    )  # fmt: skip
