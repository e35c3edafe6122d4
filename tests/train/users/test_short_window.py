"""Accumulation over epochs of seven batches: the last update of each has three."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from slalom import Task

X, Y = torch.randn(50, 4), torch.randint(0, 2, (50,))
LOSS = nn.CrossEntropyLoss()
LOADER = DataLoader(TensorDataset(X, Y), 8)


def test_a_short_window(losses):
    task = Task(lambda: nn.Linear(4, 2), LOSS, LOADER, (X, Y), accumulate=4)
    model, found = task.make_model(3), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    while len(found) < 20:
        for window in (range(4), range(4, 7)):
            batches = [batch for i, batch in enumerate(LOADER) if i in window]
            n = sum(len(y) for _, y in batches)
            optimizer.zero_grad()
            parts = [LOSS(model(x), y) * len(y) / n for x, y in batches]
            torch.autograd.backward(parts)
            optimizer.step()
            found.append(sum(parts).item())
    assert losses(task) == pytest.approx(found, rel=1e-5)
