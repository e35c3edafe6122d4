"""An iterable dataset: an epoch is what it yields."""

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from slalom.train import Task


class Stream(IterableDataset):
    def __iter__(self):
        for i in range(70):
            x = torch.randn(4)
            yield x, (x.sum() > 0).long() + i % 2 * 0


def test_a_stream(losses, by_hand):
    data = torch.randn(20, 4), torch.randint(0, 2, (20,))
    task = Task(
        lambda: nn.Linear(4, 2), nn.CrossEntropyLoss(), DataLoader(Stream(), 8), data, "accuracy"
    )
    assert losses(task) == by_hand(task)
