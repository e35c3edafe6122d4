"""A stream that shuffles by itself, told of the seed of the run and of the epoch."""

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from slalom import Task

X, Y = torch.randn(80, 4), torch.randint(0, 2, (80,))


class Stream(IterableDataset):
    def set_seed(self, seed):
        self.seed = seed

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        order = torch.Generator().manual_seed(1000 * self.seed + self.epoch)
        return ((X[i], Y[i]) for i in torch.randperm(80, generator=order).tolist())


def test_a_stream_with_a_seed(losses, by_hand):
    loader = DataLoader(Stream(), 8)
    task = Task(lambda: nn.Linear(4, 2), nn.CrossEntropyLoss(), loader, (X, Y))
    orders = [torch.randperm(80, generator=torch.Generator().manual_seed(3000 + e)) for e in (0, 1)]
    batches = [(X[i], Y[i]) for order in orders for i in order.split(8)]
    assert losses(task) == by_hand(task, batches=batches)
