"""A skorch net becomes a task: its own losses, its own split, and no callback passed over."""

import numpy as np
import pytest
import skorch
import torch
from skorch.callbacks import Freezer, GradientNormClipping, LRScheduler
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from slalom.errors import InputError
from slalom.racing.options import Options
from slalom.train import Run, Task
from slalom.train.groups import scaled

torch.manual_seed(0)
X = np.random.default_rng(0).standard_normal((200, 6)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
SCHEDULE = ("schedule", LRScheduler("StepLR", step_every="batch", step_size=4, gamma=0.5))

RISING = {"max_lr": 0.1, "total_steps": 40}
ONE_CYCLE = ("schedule", LRScheduler(OneCycleLR, step_every="batch", **RISING))


def plateau(monitor):
    options = {"mode": "max" if monitor == "train_loss" else "min", "patience": 0, "factor": 0.5}
    return "schedule", LRScheduler("ReduceLROnPlateau", monitor=monitor, **options)


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 2))

    def forward(self, x):
        return self.layers(x).softmax(1)


def net(kind=skorch.NeuralNetClassifier, module=Net, **options):
    return kind(module, lr=0.1, batch_size=16, max_epochs=4, verbose=0, **options)


REGRESSOR = {"module__in_features": 6, "module__out_features": 1}


@pytest.mark.parametrize(
    ("made", "y"),
    [
        (lambda: net(), Y),
        (lambda: net(callbacks=[SCHEDULE, ("clip", GradientNormClipping(0.05))]), Y),
        (lambda: net(optimizer__param_groups=[("layers.0.*", {"lr": 0.02})]), Y),
        (lambda: net(callbacks=[ONE_CYCLE]), Y),
        (lambda: net(callbacks=[plateau("train_loss")]), Y),
        (lambda: net(callbacks=[plateau("valid_acc")]), Y),
        (lambda: net(criterion=nn.CrossEntropyLoss, train_split=skorch.dataset.ValidSplit(4)), Y),
        (lambda: net(skorch.NeuralNetRegressor, nn.Linear, **REGRESSOR), 2 * X[:, :1]),
    ],
)
def test_the_losses_are_skorchs(made, y):
    own = made()
    task = Task.from_skorch(own, X, y)
    task.check()
    run = Run(task, lambda p: torch.optim.SGD(scaled(p, {"lr": 0.1}), lr=0.1), 3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        own.fit(X, y)
    theirs = [b["train_loss"] for e in own.history[:, "batches"] for b in e if "train_loss" in b]
    assert len(theirs) == task.max_steps
    assert [run.advance(1) for _ in theirs] == pytest.approx(theirs, rel=1e-6)
    evaluated = run.evaluate()
    assert evaluated.valid_loss == pytest.approx(own.history[-1, "valid_loss"], rel=1e-5)
    if isinstance(own, skorch.NeuralNetClassifier):
        assert evaluated.metric == pytest.approx(own.history[-1, "valid_acc"])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: 3, "from_skorch takes a skorch.NeuralNet, not a int"),
        (lambda: net(train_split=None), "train_split=None; give the data to judge by as valid="),
        (lambda: net(callbacks=[Freezer("layers.0.*")]), "the callback Freezer may change"),
        (lambda: net(callbacks=[plateau("mine")]), "follows mine every epoch; a race can tell it"),
    ],
)
def test_what_would_be_missed_is_refused(made, message):
    with pytest.raises(InputError, match=message):
        Task.from_skorch(made(), X, Y)


def test_a_step_of_its_own_is_refused():
    class Own(skorch.NeuralNetClassifier):
        def train_step(self, batch, **fit_params):
            return super().train_step(batch, **fit_params)

    with pytest.raises(InputError, match="Own has a train_step of its own"):
        Task.from_skorch(net(Own), X, Y)


def test_a_race_of_it_can_be_gone_on_with():
    one, two = (Task.from_skorch(net(module=Net()), X, Y) for _ in range(2))
    assert Options().record(one) == Options().record(two)


def test_another_schedule_is_another_race():
    def record(rate):
        schedule = LRScheduler("LambdaLR", lr_lambda=rate)
        return Options().record(Task.from_skorch(net(callbacks=[("s", schedule)]), X, Y))

    one, other = record(lambda epoch: 0.5**epoch), record(lambda epoch: 0.9**epoch)
    assert one == record(lambda epoch: 0.5**epoch)
    assert one != other
