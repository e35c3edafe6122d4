"""Adversarial training: a gradient by the inputs is taken within the step; and a penalty of it."""

import torch
from torch import nn
from torch.nn import functional as F

from slalom import Task

DATA = torch.randn(60, 4), torch.randint(0, 3, (60,))


def attacked(model, batch):
    x = batch[0].clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(F.cross_entropy(model(x), batch[1]), x)
    return F.cross_entropy(model((x + 0.1 * slope.sign()).detach()), batch[1])


def penalised(model, batch):
    x = batch[0].clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    return F.cross_entropy(model(x), batch[1]) + (slope.norm(dim=1) - 1).square().mean()


def test_gradients_by_the_inputs(losses, by_hand):
    for step in (attacked, penalised):
        task = Task(lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), train=DATA,
                    valid=DATA, step=step, batch_size=8)  # fmt: skip
        task.check()
        assert losses(task) == by_hand(task, step)
