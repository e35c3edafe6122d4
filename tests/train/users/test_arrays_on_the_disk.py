"""Arrays on the disk, mapped into memory, that nobody may write to."""

import numpy as np
from torch import nn

from slalom import Task


def test_arrays_on_the_disk(losses, by_hand, tmp_path):
    drawn = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", drawn.normal(size=(64, 2)).astype(np.float32))
    np.save(tmp_path / "y.npy", drawn.integers(0, 2, 64))
    data = tuple(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy")
    task = Task(lambda: nn.Linear(2, 2), nn.CrossEntropyLoss(), data, data, batch_size=8)
    task.check()
    assert losses(task) == by_hand(task)
