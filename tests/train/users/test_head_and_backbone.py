"""A head that learns ten times as fast as its backbone, which decays."""

import torch
from torch import nn

from slalom.racing.entrants import Entrant, families
from slalom.train import Task

X, Y = torch.randn(96, 5), torch.randint(0, 3, (96,))


def groups(model):
    slow, _, fast = model
    slowly = {"params": slow.parameters(), "weight_decay": 0.1}
    return [slowly, {"params": fast.parameters(), "lr": 10}]


def test_groups(losses, by_hand):
    task = Task(
        lambda: nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 3)), nn.CrossEntropyLoss(),
        (X, Y), (X, Y), batch_size=16, parameter_groups=groups,
    )  # fmt: skip

    def begin(model):
        optimizer = torch.optim.Adam([
            {"params": model[0].parameters(), "weight_decay": 0.1},
            {"params": model[2].parameters(), "lr": 10 * 0.003},
        ], lr=0.003)  # fmt: skip

        def update(batch):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
            loss.backward()
            optimizer.step()
            return loss.item()

        return update

    entrant = Entrant(0, families({"mine": (torch.optim.Adam, {"lr": 0.003})})[0], {})
    assert losses(task, lambda p, lr: entrant.optimizer(p)) == by_hand(task, begin)
