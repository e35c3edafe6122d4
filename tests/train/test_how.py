"""How people train: autocast, averages, closures, physics, torch's schedulers."""

import copy
import functools
from dataclasses import replace
from unittest.mock import ANY

import pytest
import torch
from torch import nn

import slalom
from slalom.errors import InputError
from slalom.train import Run, Task
from slalom.train.followed import Followed

X = torch.randn(64, 4)
Y = (X[:, 0] > 0).long()


def net():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def run(steps=10, make=torch.optim.SGD, model=net, seed=1, **options):
    task = Task(model, nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=16, **options)
    task.check()
    made = Run(task, lambda p: make(p, lr=0.1), seed)
    made.advance(steps)
    return made


def test_bfloat16_is_autocast():
    one, two = run(precision="bfloat16"), run()
    weights = [r.model[0].weight for r in (one, two)]
    assert weights[0].dtype == torch.float32
    assert not torch.equal(*weights)
    assert torch.allclose(*weights, atol=0.05)


def test_float16_is_scaled_and_resumes(tmp_path):
    one = run(precision="float16")
    half = run(4, precision="float16")
    half.save(tmp_path / "it.pt")
    again = run(0, precision="float16")
    again.load(tmp_path / "it.pt")
    again.advance(6)
    assert torch.equal(one.model[0].weight, again.model[0].weight)


def test_the_average_of_the_weights_is_judged(tmp_path):
    one = run(ema=0.9)
    average = torch.optim.swa_utils.AveragedModel(
        run(0).model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    )
    plain = run(0)
    for _ in range(10):
        plain.advance(1)
        average.update_parameters(plain.model)
    loss = one.task.judge(average.module.eval())[0]
    assert one.evaluate().valid_loss == pytest.approx(loss, rel=1e-6)
    one.save(tmp_path / "it.pt")
    again = run(0, ema=0.9)
    again.load(tmp_path / "it.pt")
    assert again.evaluate().valid_loss == one.evaluate().valid_loss


def test_an_optimizer_with_a_closure():
    found = run(3, torch.optim.LBFGS, lambda: nn.Linear(4, 2))
    assert found.step == 3
    assert found.evaluate().valid_loss < 0.5


class Physics(nn.Module):
    """du/dx = cos(x), by the gradient inside the model."""

    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x):
        x = x.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(self.f(x).sum(), x, create_graph=True)
        return slope


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_plateau_goes_on_where_it_was(mode):
    plateau = functools.partial(
        torch.optim.lr_scheduler.ReduceLROnPlateau, mode=mode, factor=0.5, patience=0, threshold=0.9
    )
    options = {"schedule": plateau, "schedule_every": "epoch"}
    one, other, often = (run(9, **options) for _ in range(3))
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for _ in range(15):
        often.evaluate()  # which changes nothing, wherever it is done
        assert len({r.advance(1) for r in (one, other, often)}) == 1
    assert one.evaluate() == replace(often.evaluate(), seconds=one.seconds, train_loss=ANY)
    assert one.optimizer.param_groups[0]["lr"] < 0.1


class Thawing(nn.Sequential):
    """A backbone that is trained from the fifth batch on."""

    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        self[0].requires_grad_(False)
        self.batches = 0

    def forward(self, x):
        self.batches += self.training
        if self.batches == 5:
            self[0].requires_grad_(True)
        return super().forward(x)


def test_what_a_model_thaws_is_trained():
    fresh = run(0, model=Thawing).model[0].weight
    assert torch.equal(run(4, model=Thawing).model[0].weight, fresh)
    one, other = run(6, model=Thawing), run(0, model=Thawing)
    assert not torch.equal(one.model[0].weight, fresh)
    one.model[1].eval()
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    assert one.advance(5) == other.advance(5)
    assert other.model.training > other.model[1].training


def test_gradients_inside_the_model():
    x = torch.rand(64, 1)
    task = Task(Physics, nn.MSELoss(), (x, x.cos()), (x, x.cos()), "mse", 0.01, batch_size=16)
    task.check()
    made = Run(task, lambda p: torch.optim.Adam(p, lr=0.01), 0)
    made.advance(200)
    assert made.evaluate().metric < 0.01


@pytest.mark.parametrize("every", ["step", "epoch"])
def test_a_scheduler_of_torch(every):
    halving = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    made = run(8, schedule=halving, schedule_every=every)
    assert made.optimizer.param_groups[0]["lr"] == 0.1 * 0.5 ** (8 if every == "step" else 2)


def test_schedules_end_where_the_run_does(tmp_path):
    for name in ("cosine", "linear", "wsd", "one_cycle"):
        made = run(12, schedule=name, max_steps=12)
        assert made.optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-6)
        made.advance(1)  # up to the next evaluation
    flat = run(6, schedule="wsd", max_steps=10)
    assert flat.optimizer.param_groups[0]["lr"] == 0.1
    flat.save(tmp_path / "it.pt")
    again = run(0, schedule="wsd", max_steps=10)
    again.load(tmp_path / "it.pt")
    again.advance(3)
    assert again.optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


@pytest.mark.parametrize("make", [
    slalom.optim.Adagrad, slalom.optim.Adam, slalom.optim.Momentum, torch.optim.SGD,
    lambda p, lr: slalom.optim.split(p.model, lr=lr),
])  # fmt: skip
def test_a_cycle_of_the_momentum_is_for_all_that_have_one(make):
    def cycle(optimizer):
        top = [group["lr"] for group in optimizer.param_groups]
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, top, 21)

    plain = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    schedule = cycle(plain)
    made = run(0, make, schedule=cycle, max_steps=20)
    for _ in range(20):
        for group in made.optimizer.param_groups:
            own, (first, *_) = plain.param_groups[0], group.get("betas", (None,))
            assert group["lr"] == own["lr"]
            assert group.get("momentum", first) in (None, own["momentum"])
        made.advance(1)
        plain.step()
        schedule.step()


class Decaying(torch.optim.lr_scheduler.LRScheduler):
    """Of the weight decay alone, and of epsilon later."""

    def __init__(self, optimizer, begin):
        self.begin = begin
        super().__init__(optimizer)

    def get_lr(self):
        for group in self.optimizer.param_groups:
            group["weight_decay"] = self.begin * (1 + self.last_epoch)
            if self.last_epoch > 2:
                group["eps"] = 0.5
        return self.base_lrs


def test_what_else_a_schedule_of_another_optimizer_changes():
    def followed(begin):
        def made(total):
            theirs = torch.optim.AdamW([nn.Parameter(torch.ones(1))], lr=3.0)
            return theirs, Decaying(theirs, begin)

        return Followed(made, False, "Decaying")

    def make(parameters, lr):
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=0.2)

    one, other = (run(0, make, schedule=followed(0.04)) for _ in range(2))
    (group,) = one.optimizer.param_groups
    for step in range(4):
        assert group["weight_decay"] == pytest.approx(0.2 * (1 + step))
        one.advance(1)
    assert (group["lr"], group["eps"], group["betas"]) == (0.1, 0.5, (0.9, 0.999))
    other.load_state_dict(one.state_dict())
    for made in (one, other):
        made.advance(3)
    (again,) = other.optimizer.param_groups
    assert {n: again[n] for n in ("weight_decay", "eps")} == {
        n: one.optimizer.param_groups[0][n] for n in ("weight_decay", "eps")
    }
    with pytest.raises(InputError, match="makes a weight_decay of 0 one of"):
        run(3, make, schedule=Followed(lambda n: _from_nothing(), False, "Rising"))


def _from_nothing():
    theirs = torch.optim.AdamW([nn.Parameter(torch.ones(1))], lr=3.0)
    schedule = Decaying(theirs, 0.0)
    schedule.begin = 0.1
    return theirs, schedule


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "cosin"}, "did you mean cosine"),
        ({"schedule": 5}, "schedule is a int; it must be a name or callable"),
        ({"warmup": -1}, "warmup is -1; it must be updates"),
        ({"ema": 2}, "ema is 2; it must be a decay between 0 and 1"),
        ({"precision": "int8"}, "precision is 'int8'; it must be"),
        ({"clip_norm": 0}, "clip_norm is 0; it must be a number above 0"),
        ({"accumulate": 0}, "accumulate is 0; it must be a whole number from 1 on"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used here"),
    ],
)
def test_what_cannot_be_is_said(options, message):
    with pytest.raises(InputError) as caught:
        run(**options)
    assert message in str(caught.value)
