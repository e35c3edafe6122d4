"""Faults in what users give are told in one sentence, with the nearest valid thing."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from slalom.errors import InputError
from slalom.racing.entrants import families
from slalom.train import Task

X = torch.randn(40, 4)
Y = torch.randint(0, 2, (40,))


class Long(Dataset):
    """Says that it has more than it has."""

    def __len__(self):
        return 50

    def __getitem__(self, i):
        return X[i], Y[i]


class Backwards(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        raise ArithmeticError("no gradient here")


class Net(nn.Linear):
    def __init__(self):
        super().__init__(4, 2)

    def forward(self, x):
        return Backwards.apply(super().forward(x))


def missing():
    raise FileNotFoundError("weights.pt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": Long()}, "sample 49 of train, the last of its 50, cannot be read: IndexError"),
        ({"model": missing}, r"model\(\) fails: FileNotFoundError: weights.pt"),
        ({"model": Net}, "the gradient of the loss cannot be computed: ArithmeticError: no grad"),
        ({"device": "cuad"}, "device 'cuad' cannot be used here, where there is cpu"),
    ],
)
def test_faults_of_a_task(options, message):
    given = {"model": lambda: nn.Linear(4, 2), "train": (X, Y), "valid": (X, Y), **options}
    with pytest.raises(InputError, match=message) as caught:
        Task(loss=nn.CrossEntropyLoss(), batch_size=8, **given).check()
    assert caught.value.__cause__ is not None  # the traceback of the user's own line
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entrants", "message"),
    [
        (["adm"], "did you mean Adam?"),
        (["LOIN"], "did you mean Lion?"),
        ({"a": (torch.optim.Adam, {"lr": (0.1, 0.001)})}, r"did you mean \(0.001, 0.1\)\?"),
    ],
)
def test_faults_of_entrants(entrants, message):
    with pytest.raises(InputError, match=message):
        families(entrants)
