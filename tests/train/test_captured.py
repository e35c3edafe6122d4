"""Recorded steps, by a stand-in for CUDA graphs: none was recorded by a GPU here."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import slalom
from slalom.errors import InputError
from slalom.train import Task
from slalom.train.captured import WARM, CapturedRun
from slalom.train.guarded import GuardedRun

X = torch.randn(44, 3, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 0).long()


class Recorder:
    """Replays by doing it again, so that it reads and writes the very memory that was there when it
    was recorded; what was done then is undone, as nothing is asked of the device."""

    def __init__(self):
        self.recorded = self.replayed = 0
        self.parameters = []

    def warm(self, function):
        return function()

    def record(self, function):
        self.recorded += 1
        before = [p.detach().clone() for p in self.parameters]
        found = function()
        with torch.no_grad():
            for p, value in zip(self.parameters, before, strict=True):
                p.copy_(value)

        def replay():
            self.replayed += 1
            if found is None:
                function()
                return
            grads = [p.grad for p in self.parameters]
            for p in self.parameters:
                p.grad = None
            now = function()
            for p, grad in zip(self.parameters, grads, strict=True):
                grad.copy_(p.grad)
                p.grad = grad
            found.copy_(now)

        return replay, found


def task(**options) -> Task:
    given = {"batch_size": 8} | options
    return Task(lambda: nn.Linear(3, 2), nn.CrossEntropyLoss(), (X, Y), (X, Y), **given)


@pytest.mark.parametrize("options", [{}, {"schedule": "cosine"}, {"clip_norm": 0.1}])
def test_updates_are_those_of_a_run_that_is_not_recorded(options):
    def make(parameters):
        return slalom.optim.SGD(parameters, lr=0.1)

    recorder = Recorder()
    plain = GuardedRun(task(**options), make, 3, updates=40)
    caught = CapturedRun(task(**options), make, 3, updates=40, recorder=recorder)
    recorder.parameters = caught._parameters
    assert plain.advance(20) == caught.advance(20)
    short = sum((i + 1) % 6 == 0 for i in range(WARM, 20))  # 44 samples: the last batch has four
    assert recorder.recorded == 2  # the pass, and the update
    assert recorder.replayed == 2 * (20 - WARM - short)
    state = copy.deepcopy(caught.state_dict())
    caught.advance(5)
    caught.load_state_dict(state)
    assert plain.advance(20) == caught.advance(20)
    assert recorder.recorded == 4
    for a, b in zip(plain.model.parameters(), caught.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_an_update_is_not_made_of_a_loss_that_is_not_finite():
    x = X.clone()
    bad = Task(task().model, nn.CrossEntropyLoss(), (x, Y), (X, Y), batch_size=8)
    recorder = Recorder()
    caught = CapturedRun(bad, lambda p: slalom.optim.SGD(p, lr=0.1), 3, recorder=recorder)
    recorder.parameters = caught._parameters
    caught.advance(10)
    with torch.no_grad():
        bad.train.arrays[0].fill_(float("nan"))
    caught._updates = type(caught._updates)(bad.train.batches(8, 3), 1)
    before = [p.detach().clone() for p in caught._parameters]
    caught.advance(3)
    assert "nan" in caught.diverged
    assert all(torch.equal(a, b) for a, b in zip(before, caught._parameters, strict=True))


@pytest.mark.parametrize(
    ("options", "make", "message"),
    [
        ({"accumulate": 2}, slalom.optim.SGD, "the run accumulates batches, which graph=True"),
        ({}, torch.optim.LBFGS, "an optimizer that asks for the loss by itself"),
        ({}, torch.optim.Adafactor, "a Adafactor has no option capturable"),
    ],
)
def test_what_cannot_be_recorded_is_refused(options, make, message):
    with pytest.raises(InputError, match=message):
        CapturedRun(task(**options), lambda p: make(p, lr=0.1), 0, recorder=Recorder())


def test_steps_are_recorded_on_a_gpu_alone(tmp_path):
    options = {"lr": 0.1, "steps": 3, "graph": True, "progress": False, "out": tmp_path / "run"}
    with pytest.raises(InputError, match="on an NVIDIA GPU, and the task trains on cpu; leave it"):
        slalom.fit(task(), "Adam", **options)
    assert not (tmp_path / "run").exists()
