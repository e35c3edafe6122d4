"""A small task that races in a second."""

from __future__ import annotations

import signal
from typing import Any

import torch
from torch import nn

from slalom.train import Task

INTERRUPTIBLE: dict[str, Any] = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
"""For subprocess: Ctrl-C ends what is started, though it is ignored here, as in the background."""

ENTRANTS = ["SGD", "Momentum", "Adam"]


def small_task(**options) -> Task:
    """Tell the two sides of a plane apart, from 192 samples of 6 numbers."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 6, generator=generator)
    y = (x @ torch.randn(6, generator=generator) > 0).long()
    given = {"target": 0.95, "batch_size": 16, "max_steps": 400, "eval_every": 5, "name": "small"}
    given |= options
    return Task(
        lambda: nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 2)),
        nn.CrossEntropyLoss(), (x[:192], y[:192]), (x[192:], y[192:]), **given,
    )  # fmt: skip
