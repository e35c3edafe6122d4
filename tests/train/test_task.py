"""Bad input to a task: found before anything is trained, and told in one sentence."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler, Subset, TensorDataset

from slalom.errors import InputError
from slalom.train import Task

X = torch.randn(20, 3)
Y = torch.randint(0, 2, (20,))
BAD = X.clone()
BAD[7, 1] = math.nan


LATE = torch.cat([Y[:19], torch.tensor([2])])
SHARED = nn.Linear(3, 2)
PAIRS = TensorDataset(X, Y)


class Fickle(Sampler):
    """Draws by what is no function of a seed."""

    times = 0

    def __iter__(self):
        Fickle.times += 1
        return iter(range(Fickle.times % 20, 20))

    def __len__(self):
        return 20


class Listed(Dataset):
    def __init__(self, chosen):
        self.chosen = list(chosen)

    def __len__(self):
        return len(self.chosen)

    def __getitem__(self, i):
        return X[self.chosen[i]], Y[self.chosen[i]]


LISTED = Listed(range(20))


def with_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def made(**options) -> Task:
    given = {
        "model": lambda: nn.Linear(3, 2), "loss": nn.CrossEntropyLoss(), "train": (X, Y),
        "valid": (X, Y), "target": 0.9,
    }  # fmt: skip
    task = Task(**{**given, **options})
    task.check()
    return task


def frozen() -> nn.Module:
    return nn.Linear(3, 2).requires_grad_(False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": 3}, "model is a int; it must be an nn.Module or a function that makes one"),
        ({"model": lambda: 3}, "model() made a int; it must make an nn.Module"),
        ({"model": lambda: nn.Linear(4, 2)},
         "the model fails on inputs of shape (20, 3), 20 samples of train: mat1 and mat2"),
        ({"model": frozen}, "the model has no parameter that requires a gradient"),
        ({"model": lambda: nn.Sequential(nn.Linear(3, 2), nn.Flatten(0), nn.Unflatten(0, (5, 8)))},
         "the model returns 5 rows for 20 samples of train, and the targets have 20"),
        ({"model": lambda: nn.Linear(3, 1), "loss": nn.MSELoss(), "train": (X, X[:, 0]),
          "valid": (X, X[:, 0])}, "the model returns shape (20, 1) where the targets have (20,)"),
        ({"loss": 1}, "loss is a int; it must be callable"),
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, "the loss must be one number"),
        ({"loss": lambda o, t: o.detach().sum()}, "does not depend on the model's parameters"),
        ({"loss": lambda o, t: o.sum() * math.inf}, "the loss of the untrained model is"),
        ({"loss": lambda o, t: o @ o},
         "the loss fails on outputs of shape (20, 2) and targets of shape (20,), 20 samples"),
        ({"train": (X, LATE), "batch_size": 4},
         "the target of sample 19 of train is 2; the model tells 2 classes apart"),
        ({"valid": (X, -1 - Y)}, "of valid is -"),
        ({"model": with_norm, "batch_size": 19},
         "the model fails on inputs of shape (1, 3), 1 sample of train: Exp"),
        ({"model": lambda: SHARED}, "model() returns the same parameters each time"),
        ({"metric": "r2", "loss": nn.MSELoss(), "model": lambda: nn.Linear(3, 1),
          "train": (X, X[:, :1]), "valid": (X[:1], X[:1, :1])}, "is not a number on the 1 samples"),
        ({"train": DataLoader(PAIRS, sampler=Fickle())},
         "the Fickle of train gives another order each time it is asked with the same seed"),
        ({"valid": (X[:, :2], Y)},
         "the model fails on inputs of shape (20, 2), 20 samples of valid"),
        ({"train": (X, Y[:19])}, "train has 20 inputs and 19 targets; each input needs one"),
        ({"train": (X[:0], Y[:0])}, "train is empty; it needs at least one sample"),
        ({"valid": (X[:0], Y[:0])}, "valid is empty"),
        ({"train": (BAD, Y)}, "train holds NaN or infinity, first in sample 7"),
        ({"valid": (BAD.numpy(), Y)}, "valid holds NaN or infinity, first in sample 7"),
        ({"train": (np.array(["a"] * 20), Y)}, "train holds an array of dtype <U1, not numbers"),
        ({"train": 5}, "train is a int; it must be (inputs, targets)"),
        ({"metric": "acuracy"}, "metric 'acuracy' is unknown; it is one of accuracy"),
        ({"metric": lambda o, t: 0.0}, "needs higher_is_better=True or False"),
        ({"metric": lambda o, t: o.nothing, "higher_is_better": True}, "cannot be computed from"),
        ({"target": math.nan}, "target is nan; it must be a finite number, or None"),
        ({"batch_size": 0}, "batch_size is 0; it must be a whole number from 1 on"),
        ({"batch_size": 2.5}, "batch_size is 2.5; it must be a whole number"),
        ({"batch_size": True}, "batch_size is True; it must be a whole number"),
        ({"max_steps": 0}, "max_steps is 0; it must be a whole number"),
        ({"eval_every": 0}, "eval_every is 0; it must be a whole number"),
        ({"batch_size": 21}, "batch_size is 21 and train has 20 samples; it can be 20 at most"),
        ({"max_steps": -1}, "max_steps is -1; it must be a whole number from 1 on"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(options, message):
    with pytest.raises(InputError) as caught:
        made(**options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_near_name_is_offered():
    with pytest.raises(InputError, match="did you mean accuracy"):
        made(metric="acuracy")


def test_what_is_left_out_is_sensible():
    task = made()
    assert (task.batch_size, task.n_train, task.n_valid) == (20, 20, 20)
    assert task.max_steps == 500
    assert task.reached(0.9)
    assert not task.reached(0.89)
    lower = made(metric="loss", target=0.5)
    assert lower.reached(0.5)
    assert not lower.reached(0.51)


def test_targets_that_are_ignored_are_no_class():
    ignored = nn.CrossEntropyLoss(ignore_index=-1)
    made(loss=ignored, train=(X, torch.where(torch.arange(20) < 4, -1, Y)))


def test_numbers_of_numpy_are_whole_numbers():
    assert made(batch_size=np.int64(4), max_steps=np.int32(7)).max_steps == 7


def test_a_metric_sees_the_whole_validation_set():
    seen = []

    def count(outputs, targets):
        seen.append((len(outputs), len(targets)))
        return 0.0

    x, y = torch.randn(2500, 3), torch.randint(0, 2, (2500,))
    made(valid=(x, y), metric=count, higher_is_better=True)
    assert seen == [(2500, 2500)]


@pytest.mark.parametrize(
    ("train", "valid", "options", "judged_on"),
    [
        ((X, Y), (X, Y), {}, "the training data"),
        ((X, Y), (X.clone(), Y.numpy()), {}, "the training data"),
        ((X, Y), (X.flip(0), Y.flip(0)), {}, "the training data"),
        ((X, Y), (X[3:5], Y[3:5]), {}, "the training data"),
        (PAIRS, DataLoader(PAIRS, batch_size=3), {}, "the training data"),
        (PAIRS, Subset(PAIRS, [1, 2]), {}, "the training data"),
        (Subset(PAIRS, range(9)), Subset(PAIRS, range(8, 20)), {}, "held-out data"),
        (Subset(PAIRS, range(9)), Subset(Subset(PAIRS, range(4, 20)), [0, 4]), {},
         "the training data"),
        (Listed(range(20)), Listed(range(20)), {}, "held-out data"),
        (LISTED, LISTED, {}, "the training data"),
        (Subset(LISTED, [1, 2, 3]), Subset(LISTED, [3, 1]), {}, "the training data"),
        (Subset(LISTED, [1, 2, 3]), Subset(LISTED, [3, 4]), {}, "held-out data"),
        (Listed(range(20)), Listed(range(20)), {"held_out": False}, "the training data"),
        ((X, Y), (X, Y), {"held_out": True}, "held-out data"),
        ((X, Y), (X + 1, Y), {}, "held-out data"),
        ((X, Y), (X, 1 - Y), {}, "held-out data"),
        ((X, Y), (torch.cat([X[:3], X[:1] + 1]), Y[:4]), {}, "held-out data"),
        ((X, Y), (X.double().numpy(), Y), {}, "the training data"),
        ((X, Y), (X.double(), Y), {}, "held-out data"),
    ],
)  # fmt: skip
def test_a_task_knows_what_it_is_judged_on(train, valid, options, judged_on):
    task = Task(nn.Linear(3, 2), nn.CrossEntropyLoss(), train, valid, batch_size=2, **options)
    assert task.judged_on == judged_on
