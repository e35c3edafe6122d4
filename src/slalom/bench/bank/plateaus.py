"""Tasks on which the metric stays at chance for most of the way, until the model has the idea."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor, nn

from slalom.bench.bank._entry import banked
from slalom.bench.bank._parts import cut, mlp
from slalom.train import Task


def _signs(n: int, bits: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice([-1.0, 1.0], (n, bits))


@banked("plateau: parity")
def parity_of_four(name: str) -> Task:
    """The parity of four of ten bits: no bit alone, no two and no three tell anything about it."""
    bits = _signs(1256, 10, 0)
    train, valid = cut(bits, (bits[:, :4].prod(1) > 0).astype(int), 1000)
    return Task(
        lambda: mlp(10, 32, 2), nn.CrossEntropyLoss(), train, valid, "accuracy", 0.95, 32,
        max_steps=480, eval_every=4, name=name,
    )  # fmt: skip


@banked("plateau: parity, few seeds arrive")
def parity_of_six(name: str) -> Task:
    """The parity of six bits, of all 64 rows there are, with ten hidden units."""
    rows = np.array(list(itertools.product([-1.0, 1.0], repeat=6)), dtype=np.float32)
    data = rows, (rows.prod(1) > 0).astype(np.int64)
    return Task(
        lambda: mlp(6, 10, 2, between=nn.Tanh), nn.CrossEntropyLoss(), data, data, "accuracy", 0.97,
        16, max_steps=600, eval_every=5, name=name,
    )  # fmt: skip


class Recaller(nn.Module):
    """A recurrent network that reads a text of symbols and names one class at its end."""

    def __init__(self, symbols: int, units: int, classes: int) -> None:
        super().__init__()
        self.symbols = nn.Embedding(symbols, units)
        self.memory = nn.Linear(2 * units, units)
        self.out = nn.Linear(units, classes)

    def forward(self, text: Tensor) -> Tensor:
        """Logits (n, classes) of text (n, length)."""
        read = self.symbols(text)
        state = torch.zeros_like(read[:, 0])
        for i in range(text.shape[1]):
            state = torch.tanh(self.memory(torch.cat([state, read[:, i]], 1)))
        return self.out(state)


@banked("plateau: copying (recurrent)")
def copying(name: str) -> Task:
    """Name the first of twelve symbols (Hochreiter & Schmidhuber 1997's long time lag)."""
    text = np.random.default_rng(0).integers(0, 4, (640, 12))
    train, valid = cut(text, text[:, 0], 512)
    return Task(
        lambda: Recaller(4, 16, 4), nn.CrossEntropyLoss(), train, valid, "accuracy", 0.95, 32,
        max_steps=400, eval_every=3, name=name,
    )  # fmt: skip


class Lookup(nn.Module):
    """One head of attention: a query looks among pairs of key and value for its own."""

    def __init__(self, keys: int, values: int, width: int) -> None:
        super().__init__()
        self.key, self.query = nn.Embedding(keys, width), nn.Embedding(keys, width)
        self.value, self.out = nn.Embedding(values, width), nn.Linear(width, values)

    def forward(self, rows: Tensor) -> Tensor:
        """Logits (n, values) of rows (n, 2 pairs + 1): keys, values, and the key asked for."""
        pairs = rows.shape[1] // 2
        keys, values = self.key(rows[:, :pairs]), self.value(rows[:, pairs : 2 * pairs])
        query = self.query(rows[:, -1])
        seen = torch.softmax((keys * query[:, None]).sum(2) / query.shape[1] ** 0.5, 1)
        return self.out((seen[:, :, None] * values).sum(1))


@banked("attention: a lookup")
def lookup(name: str) -> Task:
    """The value of the key that is asked for, among eight pairs."""
    chance = np.random.default_rng(0)
    keys = np.argsort(chance.random((1256, 24)), 1)[:, :8]
    values, asked = chance.integers(0, 8, (1256, 8)), chance.integers(0, 8, 1256)
    picked = np.arange(1256), asked
    rows = np.concatenate([keys, values, keys[picked][:, None]], 1)
    train, valid = cut(rows, values[picked], 1000)
    return Task(
        lambda: Lookup(24, 8, 8), nn.CrossEntropyLoss(), train, valid, "accuracy", 0.95, 32,
        max_steps=400, eval_every=3, name=name,
    )  # fmt: skip


class Adder(nn.Module):
    """Two numbers by their vectors, and a perceptron over both."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.numbers = nn.Embedding(numbers, 12)
        self.rest = mlp(24, 48, numbers)

    def forward(self, pairs: Tensor) -> Tensor:
        """Logits (n, numbers) of pairs (n, 2)."""
        return self.rest(self.numbers(pairs).flatten(1))


@banked("embeddings: a table learnt by heart")
def clock_sums(name: str) -> Task:
    """The sums modulo eleven of all pairs of numbers."""
    pairs = np.array(list(itertools.product(range(11), repeat=2)), dtype=np.int64)
    data = pairs, pairs.sum(1) % 11
    return Task(
        lambda: Adder(11), nn.CrossEntropyLoss(), data, data, "accuracy", 0.9, 32,
        max_steps=200, eval_every=2, name=name,
    )  # fmt: skip
