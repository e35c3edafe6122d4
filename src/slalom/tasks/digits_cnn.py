"""The digits with a small convolutional network."""

from __future__ import annotations

from torch import nn

from slalom.tasks.digits import data
from slalom.train import Task


def model() -> nn.Module:
    """Two convolutions of 3x3 with 16 and 32 channels, pooled, and one linear layer."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 4 * 4, 10),
    )  # fmt: skip


def task() -> Task:
    """Classify held-out digits: 98 in 100 right."""
    train, valid = data()
    return Task(
        model, nn.CrossEntropyLoss(), train, valid, "accuracy", target=0.98, batch_size=64,
        max_steps=1000, name="digits-cnn",
    )  # fmt: skip
