"""Loops of one's own: driven as written, refused where they cannot be."""

from __future__ import annotations

import functools
import random

import numpy as np
import pytest
import torch
from torch import nn

import slalom
from slalom.errors import InputError
from slalom.racing.options import Options
from slalom.train import loop as loops

SGD = functools.partial(torch.optim.SGD, lr=0.1)


def made(body, **options):
    def train(trial):
        model = nn.Linear(2, 1)
        optimizer = trial.optimizer(model.parameters())
        while True:
            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(4, 2)).square().mean().backward()
                optimizer.step()
            yield body(trial, model)

    given = {"every": 3, "max_steps": 60, "higher_is_better": False, **options}
    return slalom.trial(**given)(train)


def weight(trial, model):
    return model.weight.norm().item() + 0 * (random.random() + np.random.rand())


def test_runs_go_on_and_share_nothing():
    task = made(weight)
    task.check()
    before = torch.get_rng_state(), random.getstate()
    one, two, whole = (loops.LoopRun(task, SGD, seed) for seed in (1, 2, 1))
    told = []
    for _ in range(4):
        one.advance(3), two.advance(3)
        told.append((one.evaluate().metric, two.evaluate().metric))
    whole.advance(12)
    assert whole.step == one.step == 12
    assert whole.evaluate().metric == told[-1][0] != told[-1][1]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert torch.equal(task.make_model(1)[0], task.make_model(1)[0])
    assert Options().record(task) == Options().record(made(weight))
    assert Options().record(task) != Options().record(made(lambda t, m: 1.0))


def test_a_value_that_is_no_number_ends_the_run():
    run = loops.LoopRun(made(lambda t, m: float("nan")), SGD, 0)
    run.advance(3)
    assert run.diverged == "the loop told nan in step 3"


def test_the_loss_may_be_told_too():
    run = loops.LoopRun(made(lambda t, m: {"metric": 3, "loss": 5}, higher_is_better=True), SGD, 0)
    run.advance(3)
    assert (run.evaluate().metric, run.evaluate().valid_loss) == (3, 5)


def short(trial):
    optimizer = trial.optimizer([torch.zeros(1, requires_grad=True)])
    for _ in range(2):
        optimizer.step()
    yield 1.0


def never(trial):
    yield 1.0


@pytest.mark.parametrize(
    ("loop", "every", "message"),
    [
        (lambda trial: 1.0, 2, "trial takes a function of one argument that yields its metric"),
        (short, 2, "the loop ends after 2 updates, and max_steps is 9; let it go on"),
        (short, 4, "yields after 2 updates, and every is 4"),
        (never, 2, "yields after 0 updates, and every is 2"),
    ],
)
def test_loops_that_cannot_be_driven_are_refused(loop, every, message):
    with pytest.raises(InputError, match=message):
        slalom.trial(every=every, max_steps=9, higher_is_better=True)(loop).check()


def test_what_is_no_number_is_refused():
    with pytest.raises(InputError, match="yields a str; it must be a number"):
        made(lambda t, m: "good").check()
    with pytest.raises(InputError, match="yields accuracy, and no metric"):
        made(lambda t, m: {"accuracy": 1.0}).check()
    with pytest.raises(InputError, match="asks for no optimizer before it yields"):
        slalom.trial(every=1, max_steps=9, higher_is_better=True)(never).make_model(0)


@pytest.mark.parametrize(
    "given",
    [
        lambda m: m.parameters(),
        lambda m: m.named_parameters(),
        lambda m: [{"params": m.parameters()}],
        lambda m: [{"params": m.weight}, {"params": iter([m.bias])}],
        lambda m: [{"params": m.named_parameters()}],
    ],
    ids=["iterator", "named", "group", "groups", "named group"],
)
def test_parameters_come_in_every_form_that_torch_takes(given):
    @slalom.trial(every=1, max_steps=5, higher_is_better=False)
    def train(trial):
        model = nn.Linear(2, 1)
        optimizer = trial.optimizer(given(model))
        while True:
            optimizer.zero_grad()
            model(torch.ones(4, 2)).square().mean().backward()
            optimizer.step()
            yield model(torch.ones(4, 2)).square().mean().item()

    run = loops.LoopRun(train, SGD, 0)
    run.advance(1)
    first = run.evaluate().metric
    run.advance(3)
    assert run.evaluate().metric < first
    assert [p.numel() for p in run.model] == [2, 1]
    assert [p.numel() for p in train.make_model(0)] == [2, 1]
