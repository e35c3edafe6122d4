"""A diffusion model: times and noise drawn in the step, gradients clipped, the average judged."""

import torch
from torch import nn

from slalom import Task

X = torch.randn(80, 4)


def step(model, x):
    t, noise = torch.rand(len(x), 1), torch.randn_like(x)
    found = model(torch.cat([(1 - t).sqrt() * x + t.sqrt() * noise, t], 1))
    return (found - noise).square().mean()


def clipped(model):
    optimizer, own = torch.optim.SGD(model.parameters(), lr=0.1), list(model.parameters())

    def clip(*_):
        nn.utils.clip_grad_norm_(own, 1.0)

    optimizer.register_step_pre_hook(clip)
    return optimizer


def test_diffusion(losses, by_hand):
    task = Task(lambda: nn.Linear(5, 4), train=X, valid=X, step=step, batch_size=8, ema=0.99,
                clip_norm=1.0)  # fmt: skip
    assert losses(task) == by_hand(task, step, clipped)
