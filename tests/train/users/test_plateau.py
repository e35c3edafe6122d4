"""A rate that is cut where validation stands still, as torch's tutorials have it."""

import functools

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from slalom import Task
from slalom.train import Run

X, Y = torch.randn(120, 5), torch.randint(0, 3, (120,))
TRAIN, VALID = (X[:80], Y[:80]), (X[80:], Y[80:])


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_plateau(mode, losses, by_hand):
    plateau = functools.partial(ReduceLROnPlateau, mode=mode, factor=0.1, patience=0)
    task = Task(lambda: nn.Linear(5, 3), nn.CrossEntropyLoss(), TRAIN, VALID, "accuracy", 0.9, 16,
                schedule=plateau, schedule_every="epoch")  # fmt: skip
    task.check()

    def scheduled(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
        schedule, steps = plateau(optimizer), []

        def judge(*_):
            steps.append(1)
            if len(steps) % 5 == 0:
                loss, accuracy = task.judge(model)
                schedule.step(loss if mode == "min" else accuracy)

        optimizer.register_step_post_hook(judge)
        return optimizer

    found = losses(task, lr=2.0)
    assert found == by_hand(task, optimizer_of=scheduled)
    one, other = (Run(task, lambda p: torch.optim.SGD(p, lr=2.0), 3) for _ in range(2))
    one.advance(12)
    other.load_state_dict(one.state_dict())
    assert [other.advance(1) for _ in range(8)] == found[12:]
    assert other.optimizer.param_groups[0]["lr"] < 2.0
