"""A head that learns ten times as fast as its backbone, which decays."""

import torch
from torch import nn

from slalom.racing.entrants import Entrant, families
from slalom.train import Task

X, Y = torch.randn(96, 5), torch.randint(0, 3, (96,))


def groups(model):
    slowly = {"params": model[0].parameters(), "weight_decay": 0.1}
    return [slowly, {"params": model[2].parameters(), "lr": 10}]


def by_torch(model):
    slowly = {"params": model[0].parameters(), "weight_decay": 0.1}
    return torch.optim.Adam([slowly, {"params": model[2].parameters(), "lr": 0.03}], lr=0.003)


def test_groups(losses, by_hand):
    task = Task(
        lambda: nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 3)), nn.CrossEntropyLoss(),
        (X, Y), (X, Y), batch_size=16, parameter_groups=groups,
    )  # fmt: skip
    mine = Entrant(0, families({"mine": (torch.optim.Adam, {"lr": 0.003})})[0], {})
    assert losses(task, lambda p, lr: mine.optimizer(p)) == by_hand(task, optimizer_of=by_torch)
