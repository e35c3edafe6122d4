"""What several tasks of the bank are made of."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from torch import nn

Pair = tuple[np.ndarray, np.ndarray]


def mlp(*sizes: int, between: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """A multi-layer perceptron of these sizes, with ``between()`` between its layers."""
    layers: list[nn.Module] = []
    for n, m in pairwise(sizes):
        layers += [nn.Linear(n, m), between()]
    return nn.Sequential(*layers[:-1])


def cut(
    inputs: np.ndarray, targets: np.ndarray, n: int, judges: int | None = None, seed: int = 0
) -> tuple[Pair, Pair]:
    """The samples in a random order, the first ``n`` for training and the rest for validation.

    Of the rest the first ``judges``, if that is given.
    Floating-point numbers become float32, whole ones int64; targets that are one number a sample
    become (n, 1).
    """
    if targets.ndim == 1 and targets.dtype.kind == "f":
        targets = targets[:, None]
    order = np.random.default_rng(seed).permutation(len(inputs))
    whole = [a.astype(np.int64 if a.dtype.kind in "iub" else np.float32) for a in (inputs, targets)]
    first, rest = ((whole[0][i], whole[1][i]) for i in (order[:n], order[n:][:judges]))
    return first, rest


def digits() -> Pair:
    """scikit-learn's digits: inputs (1797, 64) in [0, 1], classes."""
    from sklearn.datasets import load_digits

    inputs, classes = load_digits(return_X_y=True)
    return np.asarray(inputs) / 16, np.asarray(classes)
