"""A siamese model: two inputs, and triplets without targets."""

import torch
from torch import nn
from torch.nn import functional as F

from slalom import Task

A, B, SAME = torch.randn(60, 5), torch.randn(60, 5), 2 * torch.randint(0, 2, (60,)) - 1


class Siamese(nn.Linear):
    def forward(self, one, other):
        return F.pairwise_distance(super().forward(one), super().forward(other))


def test_pairs(losses, by_hand):
    data, loss = (A, B, SAME), nn.HingeEmbeddingLoss()
    task = Task(lambda: Siamese(5, 3), loss, data, data, "loss", batch_size=8)
    task.check()
    assert losses(task) == by_hand(task, lambda model, b: loss(model(b[0], b[1]), b[2]))


def test_triplets(losses, by_hand):
    step = lambda model, batch: F.triplet_margin_loss(*map(model, batch))  # noqa: E731
    data = A, A + 0.1 * B, B
    task = Task(lambda: nn.Linear(5, 3), train=data, valid=data, step=step, batch_size=8)
    task.check()
    assert losses(task) == by_hand(task, step)
