"""A model with a second head in training alone, as Inception has, and a sparse embedding."""

import torch
from torch import nn
from torch.nn import functional as F

from slalom import Task

X, Y = torch.randint(0, 9, (60, 4)), torch.randint(0, 2, (60,))


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.EmbeddingBag(9, 5, sparse=True)
        self.one, self.two = nn.Linear(5, 2), nn.Linear(5, 2)

    def forward(self, x):
        mean = self.words(x)
        return (self.one(mean), self.two(mean)) if self.training else self.one(mean)


def loss(outputs, y):
    one, *two = outputs if isinstance(outputs, tuple) else (outputs,)
    return F.cross_entropy(one, y) + sum(0.4 * F.cross_entropy(o, y) for o in two)


def test_two_heads(losses, by_hand):
    task = Task(Heads, loss, (X, Y), (X, Y), "accuracy", 0.9, batch_size=8)
    assert losses(task) == by_hand(task, lambda model, b: loss(model(b[0]), b[1]))
