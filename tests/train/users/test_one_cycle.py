"""Schedules with an end, as torch's own schedulers make them."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LinearLR, OneCycleLR

from slalom import Task

X, Y = torch.randn(96, 5), torch.randint(0, 3, (96,))
SCHEDULES = {
    "one_cycle": lambda o: OneCycleLR(o, 0.1, total_steps=21, cycle_momentum=False),
    "linear": lambda o: LinearLR(o, 1.0, 0.0, total_iters=20),
    "wsd": lambda o: LambdaLR(o, lambda k: 1 if k < 16 else (20 - k) / 4),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule(name, losses, by_hand):
    task = Task(lambda: nn.Linear(5, 3), nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=16,
                schedule=name, budget="20 steps")  # fmt: skip

    def scheduled(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        schedule = SCHEDULES[name](optimizer)
        optimizer.register_step_post_hook(lambda *_: schedule.step())
        return optimizer

    assert losses(task) == pytest.approx(by_hand(task, optimizer_of=scheduled), rel=1e-6)
