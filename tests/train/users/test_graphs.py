"""Graphs of varying size, collated into an object of one's own, as torch_geometric does."""

import torch
from torch import nn
from torch.utils.data import DataLoader

from slalom import Task

GRAPHS = [(torch.randn(3 + i % 4, 4), torch.tensor(i % 2)) for i in range(40)]


class Batch:
    def __init__(self, graphs):
        nodes, self.y = zip(*graphs, strict=True)
        sizes = torch.tensor([len(n) for n in nodes])
        self.x, self.y = torch.cat(nodes), torch.stack(self.y)
        self.of = torch.arange(len(graphs)).repeat_interleave(sizes)


def predict(model, batch):
    empty = torch.zeros(len(batch.y), 2)
    return empty.index_add(0, batch.of, model(batch.x)), batch.y


def test_graphs(losses, by_hand):
    loader = DataLoader(GRAPHS, 8, shuffle=True, collate_fn=Batch)
    step = lambda model, batch: nn.functional.cross_entropy(*predict(model, batch))  # noqa: E731
    task = Task(lambda: nn.Linear(4, 2), train=loader, valid=loader, step=step, predict=predict)
    task.check()
    assert losses(task) == by_hand(task, step)
