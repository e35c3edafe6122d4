"""Networks so narrow or so deep that a share of the seeds never arrives, whatever the rule."""

from __future__ import annotations

import numpy as np
from torch import nn

from slalom.bench.bank._entry import banked
from slalom.bench.bank._parts import cut, mlp
from slalom.train import Task


@banked("a share of the seeds never arrives: xor")
def xor(name: str) -> Task:
    """Exclusive or of two noisy signs with three hidden units."""
    chance = np.random.default_rng(0)
    signs = chance.choice([-1.0, 1.0], (256, 2))
    inputs = signs + 0.2 * chance.standard_normal(signs.shape)
    train, valid = cut(inputs, (signs.prod(1) > 0).astype(int), 128)
    return Task(
        lambda: mlp(2, 3, 2), nn.CrossEntropyLoss(), train, valid, "accuracy", 0.97, 8,
        max_steps=160, eval_every=1, name=name,
    )  # fmt: skip


@banked("a share of the seeds never arrives: ring")
def ring(name: str) -> Task:
    """A disc and the ring around it, which three half planes just tell apart."""
    chance = np.random.default_rng(0)
    angle, outside = chance.uniform(0, 2 * np.pi, 384), chance.integers(0, 2, 384)
    radius = np.where(outside, 2.2, 0.7 * np.sqrt(chance.random(384)))
    inputs = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    train, valid = cut(inputs, outside, 256)
    return Task(
        lambda: mlp(2, 3, 2), nn.CrossEntropyLoss(), train, valid, "accuracy", 0.98, 8,
        max_steps=240, eval_every=2, name=name,
    )  # fmt: skip


@banked("plateau: a rest halfway")
def wave(name: str) -> Task:
    """A sine from -240 to 240 degrees by four hidden units, which rest on half of it first."""
    x = np.linspace(-1, 1, 128)[:, None]
    data = x.astype(np.float32), np.sin(4 * np.pi / 3 * x).astype(np.float32)
    return Task(
        lambda: mlp(1, 4, 1, between=nn.Tanh), nn.MSELoss(), data, data, "loss", 0.02, 16,
        max_steps=800, eval_every=6, name=name,
    )  # fmt: skip


@banked("a share of the seeds never arrives: deep and narrow")
def deep_relu(name: str) -> Task:
    """Six layers of five rectifiers: in some seeds they are dead from the start."""
    chance = np.random.default_rng(0)
    inputs = chance.standard_normal((384, 4))
    labels = (inputs[:, 0] * inputs[:, 1] + inputs[:, 2] > 0).astype(int)
    train, valid = cut(inputs, labels, 256)
    return Task(
        lambda: mlp(4, 5, 5, 5, 5, 5, 5, 2), nn.CrossEntropyLoss(), train, valid, "accuracy", 0.85,
        16, max_steps=440, eval_every=4, name=name,
    )  # fmt: skip


@banked("deep and narrow")
def deep_tanh(name: str) -> Task:
    """Eight layers of eight units, through which little of the gradient comes at first."""
    chance = np.random.default_rng(0)
    inputs = chance.standard_normal((512, 4))
    values = np.tanh(inputs[:, 0] + inputs[:, 1]) - inputs[:, 2] / 2
    train, valid = cut(inputs, values, 384)
    return Task(
        lambda: mlp(4, *[8] * 8, 1, between=nn.Tanh), nn.MSELoss(), train, valid, "loss", 0.1, 16,
        max_steps=360, eval_every=3, name=name,
    )  # fmt: skip
