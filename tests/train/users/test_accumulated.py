"""Four small batches an update, clipped, with warm-up and a cosine: to rounding the hand's loop."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from slalom.train import Task

X, Y = torch.randn(96, 5), torch.randint(0, 3, (96,))


def test_accumulation_clipping_and_schedule(losses, by_hand):
    task = Task(
        lambda: nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 3)), nn.CrossEntropyLoss(),
        DataLoader(TensorDataset(X, Y), 8, shuffle=True), (X, Y), accumulate=4, clip_norm=0.5,
        schedule="cosine", warmup=5, max_steps=20,
    )  # fmt: skip

    def start(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min(1, (k + 1) / 5) * (
            1 + torch.cos(torch.tensor(torch.pi * min(1, k / 20))).item()) / 2)  # fmt: skip

        def update(*batches):
            optimizer.zero_grad()
            parts = [nn.functional.cross_entropy(model(x), y) / 4 for x, y in batches]
            for part in parts:
                part.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            schedule.step()
            return sum(part.item() for part in parts)

        return update

    assert losses(task) == pytest.approx(by_hand(task, start, per_update=4), rel=1e-5)
