"""A rate that is cut where validation stands still, as torch's tutorials have it."""

import functools

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from slalom import Task

X, Y = torch.randn(120, 5), torch.randint(0, 3, (120,))


def test_a_plateau(losses, by_hand):
    plateau = functools.partial(ReduceLROnPlateau, factor=0.1, patience=0)
    task = Task(lambda: nn.Linear(5, 3), nn.CrossEntropyLoss(), (X[:80], Y[:80]), (X[80:], Y[80:]),
                batch_size=16, schedule=plateau, schedule_every="epoch")  # fmt: skip

    def scheduled(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
        schedule, steps = plateau(optimizer), iter(range(1, 21))

        def after(*_):
            if next(steps) % 5 == 0:
                schedule.step(nn.functional.cross_entropy(model(X[80:]), Y[80:]).item())

        optimizer.register_step_post_hook(after)
        return optimizer

    assert losses(task, lr=2.0) == by_hand(task, optimizer_of=scheduled)
