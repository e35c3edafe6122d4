"""A physics-informed network: the loss is an equation of the model's own derivative."""

import torch
from torch import nn

from slalom.train import Run, Task

X = torch.rand(96, 1)


def equation(model, x):
    x = x.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    return (slope - x.cos()).square().mean()


def test_physics(losses, by_hand):
    task = Task(
        lambda: nn.Sequential(nn.Linear(1, 9), nn.Tanh(), nn.Linear(9, 1)), step=equation,
        train=X, valid=X[:32], metric="loss", target=0.01, batch_size=16,
    )  # fmt: skip
    task.check()
    assert losses(task) == by_hand(task, equation)
    run = Run(task, lambda p: torch.optim.SGD(p, lr=0.1), 3)
    assert run.evaluate().metric == equation(run.model, X[:32]).item()
