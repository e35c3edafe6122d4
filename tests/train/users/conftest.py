"""What the tasks of this folder are compared with: the loop that their user would have written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from slalom.train import Run, Task


def losses(
    task: Task, make=torch.optim.SGD, steps: int = 20, seed: int = 3, **options
) -> list[float]:
    """The losses of the first updates of a run."""
    run = Run(task, lambda p: make(p, **({"lr": 0.1} | options)), seed)
    return [run.advance(1) for _ in range(steps)]


def by_hand(
    task: Task, update: Callable, seed: int = 3, steps: int = 20, per_update: int = 1
) -> list[float]:
    """The losses of a loop in plain torch: ``update(model, batches) -> loss``, which closes over
    its own optimizer once it knows the model; the run's own batches and noise."""
    model = task.make_model(seed)
    batches = task.train.batches(task.batch_size // task.accumulate, seed)
    noise = Run(task, lambda p: torch.optim.SGD(p, lr=0.1), seed)._random
    state = update(model)
    found = []
    for step in range(steps):
        own = [batches[step * per_update + i][0] for i in range(per_update)]
        with noise:
            found.append(state(*own))
    return found


@pytest.fixture(name="losses")
def _losses():
    return losses


@pytest.fixture(name="by_hand")
def _by_hand():
    return by_hand


@pytest.fixture
def by_torch():
    """For :func:`by_hand`: a classifier trained by SGD on the cross-entropy, as everyone does."""

    def begin(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def update(batch):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(batch[0]), batch[1])
            loss.backward()
            optimizer.step()
            return loss.item()

        return update

    return begin
