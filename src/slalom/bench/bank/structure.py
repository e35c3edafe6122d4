"""Small networks of the usual kinds: convolutions, recurrence, attention, embeddings, a code."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor, nn

from slalom.bench.bank._entry import banked
from slalom.bench.bank._parts import cut, digits, mlp
from slalom.tasks._stdlib_text import sources
from slalom.train import Task


@banked("convolutions")
def small_cnn(name: str) -> Task:
    """Digits by one convolution of 3x3 with eight channels."""
    train, valid = cut(*digits(), 1200, 200)

    def model() -> nn.Module:
        return nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.Flatten(),
            nn.Linear(72, 10),
        )  # fmt: skip

    return Task(
        model, nn.CrossEntropyLoss(), train, valid, "accuracy", 0.92, 16, max_steps=480,
        eval_every=5, name=name,
    )  # fmt: skip


class Reader(nn.Module):
    """A plain recurrent network over the rows of an image; its last state decides."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.Linear(24 + 8, 24)
        self.out = nn.Linear(24, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 10) of images (n, 64)."""
        state = images.new_zeros(len(images), 24)
        for row in images.unflatten(1, (8, 8)).unbind(1):
            state = torch.tanh(self.memory(torch.cat([state, row], 1)))
        return self.out(state)


@banked("recurrent")
def small_rnn(name: str) -> Task:
    """Digits row by row, without gates."""
    train, valid = cut(*digits(), 1200, 200)
    return Task(
        Reader, nn.CrossEntropyLoss(), train, valid, "accuracy", 0.85, 16, max_steps=640,
        eval_every=6, name=name,
    )  # fmt: skip


class Attentive(nn.Module):
    """One layer of self-attention over the rows of an image, and the mean of what it says."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.rows, self.places = nn.Linear(8, width), nn.Parameter(0.1 * torch.randn(8, width))
        self.three, self.out = nn.Linear(width, 3 * width), nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 10) of images (n, 64)."""
        rows = self.rows(images.unflatten(1, (8, 8))) + self.places
        query, key, value = self.three(rows).chunk(3, 2)
        seen = torch.softmax(query @ key.transpose(1, 2) / query.shape[2] ** 0.5, 2)
        return self.out((rows + seen @ value).relu().mean(1))


@banked("attention")
def small_attention(name: str) -> Task:
    """Digits by attention among their rows."""
    train, valid = cut(*digits(), 1200, 200)
    return Task(
        Attentive, nn.CrossEntropyLoss(), train, valid, "accuracy", 0.8, 16, max_steps=900,
        eval_every=9, name=name,
    )  # fmt: skip


@banked("autoencoder")
def digits_code(name: str) -> Task:
    """Digits through eight numbers and back: half of their variance."""
    images = cut(*digits(), 800)[0][0]
    train, valid = images[:600], images[600:]
    return Task(
        lambda: mlp(64, 32, 8, 32, 64), nn.MSELoss(), (train, train), (valid, valid), "loss",
        0.045, 16, max_steps=800, eval_every=8, name=name,
    )  # fmt: skip


class Factors(nn.Module):
    """Each row and each column has a vector; an entry is the product of its two."""

    def __init__(self, rows: int, columns: int, rank: int) -> None:
        super().__init__()
        self.rows, self.columns = nn.Embedding(rows, rank), nn.Embedding(columns, rank)
        for table in (self.rows, self.columns):
            nn.init.normal_(table.weight, std=0.3)

    def forward(self, places: Tensor) -> Tensor:
        """Entries (n, 1) at places (n, 2)."""
        return (self.rows(places[:, 0]) * self.columns(places[:, 1])).sum(1, keepdim=True)


@banked("embeddings: matrix factorisation")
def factors(name: str) -> Task:
    """A matrix of rank 3 from 60 in 100 of its entries."""
    chance = np.random.default_rng(0)
    whole = chance.standard_normal((40, 3)) @ chance.standard_normal((3, 30)) / 3**0.5
    places = np.stack(np.meshgrid(range(40), range(30), indexing="ij"), 2).reshape(-1, 2)
    train, valid = cut(places, whole.reshape(-1), 720)
    return Task(
        lambda: Factors(40, 30, 4), nn.MSELoss(), train, valid, "loss", 0.3, 32, max_steps=260,
        eval_every=2, name=name,
    )  # fmt: skip


@banked("embeddings: skip-gram")
def skip_gram(name: str) -> Task:
    """Which word stands beside this one, of the 150 most frequent in the standard library."""
    words = re.findall(r"[A-Za-z_]\w+", sources(("json",), 60_000)["json"])
    names, counts = np.unique(words, return_counts=True)
    known = {names[i]: n for n, i in enumerate(np.argsort(-counts, kind="stable")[:150])}
    codes = np.array([known.get(word, -1) for word in words])
    pairs = np.stack([codes[:-1], codes[1:]], 1)
    pairs = pairs[(pairs >= 0).all(1)]
    train, valid = cut(pairs[:, 0], pairs[:, 1], len(pairs) * 3 // 4)
    return Task(
        lambda: nn.Sequential(nn.Embedding(150, 12), nn.Linear(12, 150)), nn.CrossEntropyLoss(),
        train, valid, "perplexity", 60.0, 32, max_steps=300, eval_every=3, name=name,
    )  # fmt: skip
