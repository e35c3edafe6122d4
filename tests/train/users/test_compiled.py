"""A model that torch.compile made: the same numbers, where its backend computes the same."""

import torch
from torch import nn

from slalom import Task

X = torch.randn(80, 6)
Y = (X[:, 0] > 0).long()


def net():
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 2))


def test_a_compiled_model(losses, by_hand):
    data = (X, Y), (X, Y)
    compiled = Task(lambda: torch.compile(net(), backend="aot_eager"), nn.CrossEntropyLoss(),
                    *data, target=0.9, batch_size=8)  # fmt: skip
    compiled.check()
    plain = Task(net, nn.CrossEntropyLoss(), *data, target=0.9, batch_size=8)
    assert losses(compiled) == losses(plain) == by_hand(plain)
