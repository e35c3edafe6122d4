"""A pandas frame with named columns, and arrays on the disk that nobody may write to."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from slalom.train import Task

TABLE = pd.DataFrame({"age": np.random.default_rng(0).normal(size=64), "dose": np.arange(64) / 64.0,
                      "ill": np.arange(64) % 2})  # fmt: skip


def net(model, batch):
    return model(torch.stack([batch["age"], batch["dose"]], 1).float()), batch["ill"].long()


def test_a_frame(losses, by_hand, by_torch):
    task = Task(
        lambda: nn.Linear(2, 2), train=TABLE, valid=TABLE, batch_size=8, predict=net,
        step=lambda model, batch: nn.functional.cross_entropy(*net(model, batch)),
    )  # fmt: skip

    def begin(model):
        update = by_torch(model)
        return lambda b: update((torch.stack([b["age"], b["dose"]], 1).float(), b["ill"].long()))

    assert losses(task) == by_hand(task, begin)


def test_arrays_on_the_disk(losses, by_hand, by_torch, tmp_path):
    np.save(tmp_path / "x.npy", TABLE[["age", "dose"]].to_numpy(np.float32))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    data = x, TABLE["ill"].to_numpy()
    task = Task(lambda: nn.Linear(2, 2), nn.CrossEntropyLoss(), data, data, batch_size=8)
    assert losses(task) == by_hand(task, by_torch)
