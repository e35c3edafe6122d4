"""Four small batches an update, clipped, with warm-up and a cosine: to rounding the hand's loop."""

import numpy as np
import pytest
import torch
from torch import nn

from slalom import Task

X, Y = torch.randn(96, 5), torch.randint(0, 3, (96,))


def test_accumulation_clipping_and_schedule(losses, looped):
    task = Task(lambda: nn.Linear(5, 3), nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=8,
                accumulate=4, clip_norm=0.5, schedule="cosine", warmup=5, max_steps=20)  # fmt: skip

    def begin(model):
        def update(*batches):
            parts = [nn.functional.cross_entropy(model(x), y) / 4 for x, y in batches]
            torch.autograd.backward(parts)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step(), schedule.step(), optimizer.zero_grad()
            return sum(parts).item()

        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        share = lambda k: min(1, (k + 1) / 5) * (1 + np.cos(np.pi * min(k / 20, 1))) / 2  # noqa: E731
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return update

    assert losses(task) == pytest.approx(looped(task, begin, 4), rel=1e-5)
