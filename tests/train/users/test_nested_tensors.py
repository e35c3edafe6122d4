"""Batches that are nested tensors, of samples of different lengths."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from slalom import Task

DATA = [(torch.rand(1 + i % 5, 6), i % 2) for i in range(48)]


def nested(batch):
    several = torch.nested.nested_tensor([x for x, _ in batch], layout=torch.jagged)
    return several, torch.tensor([y for _, y in batch])


class Net(nn.Linear):
    def forward(self, x):
        return torch.nested.to_padded_tensor(super().forward(x), 0.0).sum(1)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors(losses, by_hand):
    loader = DataLoader(DATA, 8, shuffle=True, collate_fn=nested)
    task = Task(lambda: Net(6, 2), nn.CrossEntropyLoss(), loader, loader)
    task.check()
    assert losses(task) == by_hand(task)
