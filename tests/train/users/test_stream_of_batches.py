"""An iterable dataset that makes its batches itself; a loader that drops the last of another."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from slalom import Task

DATA = torch.randn(21, 4), torch.randint(0, 2, (21,))


class Rows(IterableDataset):
    def __iter__(self):
        return zip(*DATA, strict=True)


class Batches(IterableDataset):
    def __iter__(self):
        return zip(*(part.split(6) for part in DATA), strict=True)


LOADERS = DataLoader(Batches(), batch_size=None), DataLoader(Rows(), 8, drop_last=True)


@pytest.mark.parametrize("loader", LOADERS, ids=["batches", "drop_last"])
def test_a_stream(loader, losses, by_hand):
    task = Task(lambda: nn.Linear(4, 2), nn.CrossEntropyLoss(), loader, DATA)
    task.check()
    assert losses(task) == by_hand(task, batches=[b for _ in range(20) for b in loader])
