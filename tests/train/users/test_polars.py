"""A polars frame with named columns, numbers and truths; and a pair of a frame and a series."""

import numpy as np
import polars
import torch
from torch import nn

from slalom import Task

DRAWN = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
TABLE = polars.DataFrame({"age": DRAWN[:, 0], "dose": DRAWN[:, 1], "old": DRAWN[:, 0] > 0,
                          "ill": (DRAWN.sum(1) > 0).astype(int)})  # fmt: skip


def predict(model, batch):
    return model(torch.stack([batch["age"], batch["dose"], batch["old"]], 1)), batch["ill"]


def step(model, batch):
    return nn.functional.cross_entropy(*predict(model, batch))


def test_a_frame(losses, by_hand):
    task = Task(lambda: nn.Linear(3, 2), train=TABLE, valid=TABLE, batch_size=8, predict=predict,
                step=step)  # fmt: skip
    assert losses(task) == by_hand(task, step)
    pair = TABLE.select("age", "dose"), TABLE["ill"]
    task = Task(lambda: nn.Linear(2, 2), nn.CrossEntropyLoss(), pair, pair, batch_size=8)
    assert losses(task) == by_hand(task)
