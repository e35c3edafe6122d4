"""A pandas frame with named columns."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from slalom import Task

TABLE = pd.DataFrame({"age": np.random.default_rng(0).normal(size=64), "dose": np.arange(64) / 64.0,
                      "ill": np.arange(64) % 2})  # fmt: skip


def predict(model, batch):
    return model(torch.stack([batch["age"], batch["dose"]], 1).float()), batch["ill"].long()


def step(model, batch):
    return nn.functional.cross_entropy(*predict(model, batch))


def test_a_frame(losses, by_hand):
    task = Task(lambda: nn.Linear(2, 2), train=TABLE, valid=TABLE, batch_size=8, predict=predict,
                step=step)  # fmt: skip
    task.check()
    assert losses(task) == by_hand(task, step)
