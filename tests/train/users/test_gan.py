"""A GAN: two parts of a model, each with its loss and its optimizer, trained in turn."""

import torch
from torch import nn

from slalom import Task

REAL = 2 + 0.5 * torch.randn(256, 1)
STEP = {"critic": lambda m, x: (m["critic"](fake(m, x).detach()) - m["critic"](x)).mean(),
        "generator": lambda m, x: -m["critic"](fake(m, x)).mean()}  # fmt: skip


def fake(model, real):
    return model["generator"](torch.randn(len(real), 1))


def test_a_gan(losses, looped):
    net = nn.ModuleDict({name: nn.Linear(1, 1) for name in STEP})
    task = Task(net, train=REAL, valid=REAL, step=STEP, higher_is_better=False, batch_size=32,
                metric=lambda model, loader: (fake(model, REAL).mean() - 2).abs())  # fmt: skip

    def begin(model):
        turns = [(STEP[n], torch.optim.Adam(part.parameters(), 0.02)) for n, part in model.items()]
        return lambda real: sum(turn(model, real, *one) for one in turns)

    def turn(model, real, loss, optimizer):
        (value := loss(model, real)).backward(), optimizer.step(), model.zero_grad()
        return value.item()

    assert losses(task, torch.optim.Adam, lr=0.02) == looped(task, begin)
