"""Where training goes wrong it is said where, and the weights from before are there still."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import slalom
from slalom.errors import InputError
from slalom.fitting import TrainingError, events
from slalom.train import Batches, Task

X = torch.randn(90, 5, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 0).long()
BATCHES = Batches(90, 16, 0)


class Trap(torch.autograd.Function):
    """What it was given, with a gradient that is infinite."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * math.inf


def task(*, losses=(), gradients=(), rate: float = 0.0, **options) -> Task:
    """One whose loss, or gradient, is not finite for the batches of these steps; with ``rate``
    only as long as the optimizer's learning rate, which is in the weights, is above it."""

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))

    def step(net, batch):
        inputs, targets = batch
        outputs = net(inputs)
        loss = nn.functional.cross_entropy(outputs, targets)
        for steps, bad in ((losses, "loss"), (gradients, "gradient")):
            for i in steps:
                if torch.equal(inputs, X[BATCHES[i]]):
                    loss = loss * math.nan if bad == "loss" else Trap.apply(loss)
        return loss

    given = {"batch_size": 16, "eval_every": 4, "name": "trap", "metric": "loss"} | options
    return Task(model, train=(X, Y), valid=(X, Y), step=step, **given)


def fit(*given, **options):
    return slalom.fit(*given, "SGD", lr=0.1, progress=False, **options)


def by_hand(without: set[int], steps: int) -> list[torch.Tensor]:
    """The weights after so many steps of which some were left out."""
    torch.manual_seed(0)
    net = task().model()
    for step in set(range(steps)) - without:
        net.zero_grad()
        nn.functional.cross_entropy(net(X[BATCHES[step]]), Y[BATCHES[step]]).backward()
        with torch.no_grad():
            for p in net.parameters():
                p -= 0.1 * p.grad
    return list(net.parameters())


def close(model: nn.Module, expected: list[torch.Tensor]) -> None:
    for a, b in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_a_loss_that_is_not_finite_stops_with_step_and_checkpoint(tmp_path):
    kept = []

    def watch(event):
        if isinstance(event, events.Started):
            kept.append(event.run)

    with pytest.raises(TrainingError) as caught:
        fit(task(losses=[9]), steps=30, out=tmp_path / "run", save_every=4, watch=watch)
    text = str(caught.value)
    assert text.startswith("the loss was nan in step 10; NaN or infinity is in 0.weight, 0.bias")
    last = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    assert last.name.startswith("step-000000008-")
    assert text.endswith(f"The last checkpoint from before is {last}")
    assert caught.value.step == 10
    assert [e.step for e in caught.value.history] == [4, 8]
    close(kept[0].model, by_hand(set(), 9))  # the last good weights


def test_a_gradient_that_is_not_finite_stops_and_names_parameters(tmp_path):
    with pytest.raises(TrainingError, match=r"NaN or infinity is in 0.weight, 0.bias, 2.weight"):
        fit(task(gradients=[9]), steps=30, out=tmp_path / "run", save_every=1)
    names = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert names[-1].startswith("step-000000009-")  # none was written of what is not finite


def test_one_in_the_last_step_is_seen_too():
    with pytest.raises(TrainingError, match="the weights are not finite after step 10; NaN or"):
        fit(task(gradients=[9]), steps=10)


@pytest.mark.parametrize("kind", ["losses", "gradients"])
def test_skip_leaves_the_update_out(kind):
    found = fit(task(**{kind: [3, 9]}), steps=14, on_nonfinite="skip")
    close(found.model, by_hand({3, 9}, 14))
    assert found.skipped == 2
    assert found.last.step == 14
    assert math.isfinite(found.last.train_loss)
    assert "2 updates were left out" in repr(found)


def test_skip_ends_where_nothing_else_comes():
    given = slalom.Task(
        lambda: nn.Linear(5, 2), train=(X, Y), valid=(X, Y), batch_size=16, metric="loss",
        step=lambda net, batch: net(batch[0]).sum() * (math.nan if net.training else 1.0),
    )  # fmt: skip
    given.check = lambda: None  # which would find it at once
    with pytest.raises(TrainingError, match="100 updates one after the other were left out"):
        fit(given, steps=300, on_nonfinite="skip")


def steep(**options) -> Task:
    """A bowl on which SGD at a rate above 0.5 goes away."""

    class Bowl(nn.Module):
        def __init__(self):
            super().__init__()
            self.x = nn.Parameter(torch.ones(3))

    data = (torch.zeros(8, 1),)
    return Task(
        Bowl, train=data, valid=data, batch_size=8, metric="loss", name="bowl", eval_every=5,
        step=lambda net, batch: 2 * (net.x**2).sum(), **options,
    )  # fmt: skip


def test_back_goes_on_from_the_last_evaluation_at_half_the_rate():
    said = []
    found = slalom.fit(steep(), "SGD", lr=0.8, steps=40, on_nonfinite="back", progress=False,
                       watch=said.append)  # fmt: skip
    texts = [e.text for e in said if isinstance(e, events.Told)]
    assert len(texts) == 1
    assert texts[0].endswith("at half the learning rate")
    back = int(texts[0].split("back to step ")[1].split()[0])
    assert [g["lr"] for g in found.optimizer.param_groups] == [0.4]
    expected = (1 - 4 * 0.8) ** back * (1 - 4 * 0.4) ** (40 - back)
    torch.testing.assert_close(found.model.x.detach(), torch.full((3,), expected))
    assert [e.step for e in found.history] == list(range(5, 45, 5))
    for e in found.history:  # none of where it went back from
        value = (1 - 4 * 0.8) ** back * (1 - 4 * 0.4) ** (e.step - back)
        assert e.valid_loss == pytest.approx(6 * value**2, rel=1e-4)


def test_back_lowers_what_a_schedule_begins_from():
    found = slalom.fit(steep(schedule=lambda t, n: 1 - t / 80), "SGD", lr=0.8, steps=40,
                       on_nonfinite="back", progress=False)  # fmt: skip
    assert found.optimizer.param_groups[0]["lr"] == pytest.approx(0.4 * 0.5)


def test_back_ends_where_no_rate_is_small_enough():
    with pytest.raises(TrainingError, match="The learning rate was halved 8 times"):
        slalom.fit(steep(), "SGD", lr=1e9, steps=200, on_nonfinite="back", progress=False)


class Stopped(Exception):  # noqa: N818 - it is none
    pass


@pytest.mark.parametrize("at", [2, 7, 12, 16, 23])
def test_back_is_the_same_where_the_run_was_stopped(at, tmp_path):
    given = {"lr": 0.8, "steps": 40, "on_nonfinite": "back", "progress": False}
    whole = slalom.fit(steep(), "SGD", **given)

    def watch(event):
        if isinstance(event, events.Moved) and event.step >= at:
            raise Stopped

    with pytest.raises(Stopped):
        slalom.fit(steep(), "SGD", **given, out=tmp_path / "run", save_every=2, watch=watch)
    found = slalom.fit(steep(), "SGD", **given, out=tmp_path / "run", save_every=2)
    assert torch.equal(found.model.x, whole.model.x)
    assert [e.valid_loss for e in found.history] == [e.valid_loss for e in whole.history]


def test_a_run_that_went_wrong_is_written_as_that(tmp_path):
    with pytest.raises(TrainingError):
        fit(task(losses=[9]), steps=30, out=tmp_path / "run")
    assert '"status": "diverged"' in (tmp_path / "run" / "run.json").read_text()
    with pytest.raises(InputError, match="has stop as its on_nonfinite, and here it is skip"):
        fit(task(losses=[9]), steps=30, out=tmp_path / "run", on_nonfinite="skip")
