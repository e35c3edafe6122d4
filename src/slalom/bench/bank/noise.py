"""Labels that are wrong, errors with heavy tails, few samples, and one class that is rare."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from slalom.bench.bank._entry import banked
from slalom.bench.bank._parts import cut, digits, mlp
from slalom.train import Task


def _mislabelled(name: str, share: float, target: float, max_steps: int, every: int) -> Task:
    """Digits of which a share of the training labels was drawn anew; judged on right ones."""
    train, valid = cut(*digits(), 1000, 300)
    chance = np.random.default_rng(1)
    wrong = chance.random(1000) < share
    labels = np.where(wrong, chance.integers(0, 10, 1000), train[1])
    return Task(
        lambda: mlp(64, 32, 10), nn.CrossEntropyLoss(), (train[0], labels), valid, "accuracy",
        target, 32, max_steps=max_steps, eval_every=every, name=name,
    )  # fmt: skip


@banked("label noise: a fifth")
def mislabelled_fifth(name: str) -> Task:
    """A fifth of the labels drawn anew."""
    return _mislabelled(name, 0.2, 0.9, 400, 4)


@banked("label noise: a half")
def mislabelled_half(name: str) -> Task:
    """Half of the labels drawn anew."""
    return _mislabelled(name, 0.5, 0.8, 300, 3)


@banked("heavy-tailed noise, several targets")
def heavy_tails(name: str) -> Task:
    """Three values at once, with errors of Student's t with 1.5 degrees of freedom."""
    chance = np.random.default_rng(0)
    inputs = chance.standard_normal((768, 8))
    clean = np.tanh(inputs @ chance.standard_normal((8, 3)))
    noisy = clean + 0.3 * chance.standard_t(1.5, clean.shape)
    inputs, both = inputs.astype(np.float32), (noisy.astype(np.float32), clean.astype(np.float32))
    return Task(
        lambda: mlp(8, 24, 3, between=nn.Tanh), nn.MSELoss(), (inputs[:512], both[0][:512]),
        (inputs[512:], both[1][512:]), "mae", 0.35, 16, max_steps=320, eval_every=3, name=name,
    )  # fmt: skip


@banked("tiny samples: wines")
def few_wines(name: str) -> Task:
    """Three cultivars from 24 wines (Forina et al. 1988); the others judge."""
    from sklearn.datasets import load_wine

    inputs, classes = load_wine(return_X_y=True)
    inputs, classes = np.asarray(inputs), np.asarray(classes)
    train, valid = cut((inputs - inputs.mean(0)) / inputs.std(0), classes, 24)
    return Task(
        lambda: mlp(13, 8, 3, between=nn.Tanh), nn.CrossEntropyLoss(), train, valid, "loss", 0.17,
        4, max_steps=160, eval_every=1, name=name,
    )  # fmt: skip


@banked("tiny samples: digits")
def few_digits(name: str) -> Task:
    """Ten classes from 60 images."""
    train, valid = cut(*digits(), 60, 300)
    return Task(
        lambda: mlp(64, 32, 10), nn.CrossEntropyLoss(), train, valid, "accuracy", 0.78, 10,
        max_steps=200, eval_every=2, name=name,
    )  # fmt: skip


def balanced_accuracy(outputs: Tensor, targets: Tensor) -> float:
    """The mean over the two classes of the share that is found."""
    found = (outputs.argmax(1) == targets).double()
    return float(torch.stack([found[targets == c].mean() for c in (0, 1)]).mean())


@banked("class imbalance")
def rare_class(name: str) -> Task:
    """One sample in twenty is of the class that counts for half."""
    chance = np.random.default_rng(0)
    labels = (np.arange(1600) % 20 == 0).astype(int)
    inputs = chance.standard_normal((1600, 6))
    inputs[labels == 1] += np.array([1.8, 1.8, 0, 0, 0, 0])
    train, valid = cut(inputs, labels, 1000)
    return Task(
        lambda: mlp(6, 16, 2), nn.CrossEntropyLoss(), train, valid, balanced_accuracy, 0.76, 32,
        higher_is_better=True, max_steps=400, eval_every=4, name=name,
    )  # fmt: skip
