"""Batches that are sparse tensors."""

import torch
from torch import nn
from torch.utils.data import DataLoader

from slalom import Task

DATA = [(torch.rand(6).round(), i % 2) for i in range(48)]


def gaps(batch):
    return torch.stack([x for x, _ in batch]).to_sparse(), torch.tensor([y for _, y in batch])


class Net(nn.Linear):
    def forward(self, x):
        return torch.sparse.mm(x, self.weight.T) + self.bias


def test_gaps(losses, by_hand):
    loader = DataLoader(DATA, 8, shuffle=True, collate_fn=gaps)
    task = Task(lambda: Net(6, 2), nn.CrossEntropyLoss(), loader, loader)
    task.check()
    assert losses(task) == by_hand(task)
