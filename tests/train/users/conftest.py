"""What the tasks of this folder are compared with: the loop that their user would have written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from slalom.train import Run, Task

SEED = 3


def losses(task: Task, make=torch.optim.SGD, steps: int = 20, **options) -> list[float]:
    """The losses of the first updates of a run."""
    run = Run(task, lambda p: make(p, **({"lr": 0.1} | options)), SEED)
    return [run.advance(1) for _ in range(steps)]


def looped(
    task: Task, begin: Callable, per_update: int = 1, steps: int = 20, batches: Any = None
) -> list[float]:
    """The losses of a loop in plain torch: ``begin(model)`` makes what takes the batches of an
    update and returns their loss; on the run's own model and noise, and its own batches where no
    others are given."""
    model = task.make_model(SEED)
    if batches is None:
        drawn = task.train.batches(task.batch_size // task.accumulate, SEED)
        batches = [drawn[i][0] for i in range(steps * per_update)]
    noise = Run(task, lambda p: torch.optim.SGD(p, lr=0.1), SEED)._random
    update = begin(model)
    found = []
    for step in range(steps):
        own = batches[step * per_update : (step + 1) * per_update]
        with noise:
            found.append(update(*own))
    return found


def classified(model: nn.Module, batch: Any) -> torch.Tensor:
    """The cross-entropy of a pair."""
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    """As :func:`losses` has it."""
    return torch.optim.SGD(model.parameters(), lr=0.1)


def by_hand(task: Task, loss=classified, optimizer_of=sgd, **options) -> list[float]:
    """The losses of the loop that everyone writes; options are those of :func:`looped`."""

    def begin(model):
        optimizer = optimizer_of(model)

        def update(batch):
            optimizer.zero_grad()
            value = loss(model, batch)
            value.backward()
            optimizer.step()
            return value.item()

        return update

    return looped(task, begin, **options)


@pytest.fixture(name="losses")
def _losses():
    return losses


@pytest.fixture(name="looped")
def _looped():
    return looped


@pytest.fixture(name="by_hand")
def _by_hand():
    return by_hand
