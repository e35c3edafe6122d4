"""A frozen backbone with BatchNorm, which stays in eval mode, and a loss that learns a weight."""

import torch
from torch import nn

from slalom import Task

X, Y = 5 + 3 * torch.randn(96, 5), torch.randint(0, 3, (96,))


class Weighted(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, outputs, targets):
        return nn.functional.cross_entropy(outputs * self.weight, targets)


def tuned():
    backbone = nn.Sequential(nn.Linear(5, 9), nn.BatchNorm1d(9), nn.Dropout(0.5))
    return nn.Sequential(backbone.eval().requires_grad_(False), nn.Linear(9, 3))


def test_fine_tuning(losses, by_hand):
    task, own = Task(tuned, Weighted(), (X, Y), (X, Y), batch_size=16), Weighted()
    assert losses(task) == by_hand(
        task, lambda model, batch: own(model(batch[0]), batch[1]),
        lambda model: torch.optim.SGD([*model[1].parameters(), own.weight], lr=0.1),
    )  # fmt: skip
