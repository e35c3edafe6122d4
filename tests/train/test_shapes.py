"""Batches of many shapes, each trained and evaluated as it is."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from slalom.errors import InputError
from slalom.train import Run, Task

X, Y = torch.randn(40, 3), torch.randn(40, 1)


class Named(NamedTuple):
    x: Tensor
    y: Tensor


@dataclass
class Held:
    x: Tensor
    y: Tensor


def of(get_x, get_y):
    return lambda model, batch: nn.functional.mse_loss(model(get_x(batch)), get_y(batch))


FRAME = pd.DataFrame(
    {"a": X[:, 0].numpy(), "b": X[:, 1].numpy(), "c": X[:, 2].numpy(), "y": Y[:, 0]}
)
COLUMNS = of(
    lambda b: torch.stack([b["a"], b["b"], b["c"]], 1).float(), lambda b: b["y"][:, None].float()
)


@pytest.mark.parametrize(
    ("data", "step"),
    [
        ({"x": X, "y": Y}, of(lambda b: b["x"], lambda b: b["y"])),
        (Named(X, Y), of(lambda b: b.x, lambda b: b.y)),
        (Held(X, Y), of(lambda b: b.x, lambda b: b.y)),
        ((X[:, :1], {"rest": X[:, 1:]}, Y),
         of(lambda b: torch.cat([b[0], b[1]["rest"]], 1), lambda b: b[2])),
        (FRAME, COLUMNS),
        ([(x, y) for x, y in zip(X, Y, strict=True)], of(lambda b: b[0], lambda b: b[1])),
        (torch.cat([X, Y], 1), of(lambda b: b[:, :3], lambda b: b[:, 3:])),
    ],
    ids=["dict", "named tuple", "dataclass", "nested", "frame", "list of pairs", "no labels"],
)  # fmt: skip
def test_all_shapes_train_alike(data, step):
    task = Task(lambda: nn.Linear(3, 1), train=data, valid=data, step=step, batch_size=8)
    task.check()
    plain = Task(lambda: nn.Linear(3, 1), nn.MSELoss(), (X, Y), (X, Y), "loss", batch_size=8)
    one, two = (Run(t, lambda p: torch.optim.SGD(p, lr=0.1), 1) for t in (task, plain))
    assert one.advance(12) == pytest.approx(two.advance(12), rel=1e-6)
    assert one.evaluate().metric == pytest.approx(two.evaluate().metric, rel=1e-6)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(3, 1)

    def forward(self, one, rest):
        return self.f(torch.cat([one, rest], 1))


def test_several_inputs_are_several_arguments():
    data = X[:, :1], X[:, 1:], Y
    task = Task(Two, nn.MSELoss(), data, data, "mse", batch_size=8)
    task.check()
    assert Run(task, lambda p: torch.optim.SGD(p, lr=0.1), 0).advance(3) > 0


def test_a_model_with_its_own_loss():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.f = nn.Linear(3, 2)

        def forward(self, x, labels):
            logits = self.f(x)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    data = {"x": X, "labels": (X[:, 0] > 0).long()}
    task = Task(Own, train=data, valid=data, metric="accuracy", target=0.9, batch_size=8)
    task.check()
    run = Run(task, lambda p: torch.optim.Adam(p, lr=0.1), 0)
    run.advance(60)
    assert run.evaluate().metric > 0.9


def test_what_is_missing_is_said():
    with pytest.raises(InputError, match="train is missing; give the data as train="):
        Task(Two, nn.MSELoss())
    with pytest.raises(InputError, match="needs outputs; give predict="):
        Task(Two, train=(X, Y), valid=(X, Y), step=lambda m, b: b, metric="accuracy")
    with pytest.raises(InputError, match="say how it is used by step="):
        Task(nn.Linear(3, 1), nn.MSELoss(), {"x": X, "y": Y}, {"x": X, "y": Y}, "mse").check()
    words = pd.DataFrame({"a": ["x"] * 3})
    with pytest.raises(InputError, match="column 'a' of train is object, not numbers"):
        Task(nn.Linear(3, 1), train=words, valid=words, step=lambda m, b: m(b["a"]))


def test_float64_follows_the_model():
    data = np.random.default_rng(0).normal(size=(20, 3)), np.zeros((20, 1))
    for dtype in (torch.float32, torch.float64):
        task = Task(lambda d=dtype: nn.Linear(3, 1, dtype=d), nn.MSELoss(), data, data, "mse")
        task.check()
        assert task.train.arrays[0].dtype == dtype
