"""Convex problems that are ill-conditioned, badly scaled, or sparse."""

from __future__ import annotations

import numpy as np
from torch import nn

from slalom.bench.bank._entry import banked
from slalom.train import Task


def _rotated(n: int, dimensions: int, condition: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows (n, dimensions), the largest of whose second moments is ``condition`` times the least,
    along axes at random; the weights (dimensions,) of a plane, that all of them see alike)."""
    chance = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(chance.standard_normal((dimensions, dimensions)))
    scales = np.geomspace(1, condition**-0.5, dimensions)
    rows = chance.standard_normal((n, dimensions)) * scales @ axes
    return rows, axes.T @ (chance.choice([-1.0, 1.0], dimensions) / scales**0.5)


def _least_squares(name: str, condition: float, target: float, max_steps: int, every: int) -> Task:
    rows, weights = _rotated(256, 12, condition, 0)
    values = rows @ weights
    data = rows.astype(np.float32), (values / values.std()).astype(np.float32)[:, None]
    return Task(
        lambda: nn.Linear(12, 1, bias=False), nn.MSELoss(), data, data, "loss", target, 32,
        max_steps=max_steps, eval_every=every, name=name,
    )  # fmt: skip


@banked("ill-conditioned convex: least squares, 1e3")
def least_squares_1e3(name: str) -> Task:
    """A condition number of 1e3."""
    return _least_squares(name, 1e3, 0.01, 300, 3)


@banked("ill-conditioned convex: least squares, 1e5")
def least_squares_1e5(name: str) -> Task:
    """A condition number of 1e5."""
    return _least_squares(name, 1e5, 0.012, 1200, 8)


@banked("ill-conditioned convex: logistic, 1e4")
def logistic_1e4(name: str) -> Task:
    """Two classes told apart by axes whose scales differ by 1e2."""
    rows, weights = _rotated(512, 12, 1e4, 1)
    data = rows.astype(np.float32), (rows @ weights > 0).astype(np.int64)
    return Task(
        lambda: nn.Linear(12, 2), nn.CrossEntropyLoss(), data, data, "loss", 0.15, 32,
        max_steps=400, eval_every=4, name=name,
    )  # fmt: skip


@banked("sparse features")
def rare_words(name: str) -> Task:
    """A linear model of 300 words, few in a text, of which half occur in one text in a hundred."""
    chance = np.random.default_rng(0)
    often = 0.5 / np.arange(1, 301) ** 0.7
    inputs = (chance.random((1000, 300)) < often).astype(np.float32)
    logits = inputs @ (3 * chance.standard_normal(300))
    labels = (logits > np.median(logits)).astype(np.int64)
    return Task(
        lambda: nn.Linear(300, 2), nn.CrossEntropyLoss(), (inputs[:700], labels[:700]),
        (inputs[700:], labels[700:]), "accuracy", 0.85, 16, max_steps=300, eval_every=2, name=name,
    )  # fmt: skip


def _scaled(name: str, inputs: float, outputs: float, target: float, max_steps: int) -> Task:
    """A plane in units that are no good ones, with errors of 0.1; the target is in good ones."""
    chance = np.random.default_rng(0)
    rows, weights = _rotated(384, 8, 100.0, 2)
    values = rows @ weights + 0.1 * chance.standard_normal(384)
    x, y = (inputs * rows).astype(np.float32), (outputs * values).astype(np.float32)[:, None]
    return Task(
        lambda: nn.Linear(8, 1, bias=False), nn.MSELoss(), (x[:256], y[:256]), (x[256:], y[256:]),
        "loss", outputs**2 * target, 16, max_steps=max_steps, eval_every=3, name=name,
    )  # fmt: skip


@banked("best rate outside its range: faint inputs")
def faint_inputs(name: str) -> Task:
    """Inputs of 0.1: gradient descent must go a hundred times as fast as usual."""
    return _scaled(name, 0.1, 1.0, 0.02, 600)


@banked("best rate outside its range: loud inputs")
def loud_inputs(name: str) -> Task:
    """Inputs and outputs of 20: gradient descent must go four hundred times as slowly as usual."""
    return _scaled(name, 20.0, 20.0, 0.02, 600)
