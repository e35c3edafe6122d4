"""The tasks of the bank: they are found, can be made, are the same each time, and can be learnt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import slalom
from slalom.bench.bank import BANK, kind, load
from slalom.bench.bank.convex import _rotated
from slalom.bench.bank.moving import Following, Turning
from slalom.bench.bank.noise import balanced_accuracy
from slalom.bench.bank.physics import Curve
from slalom.errors import InputError
from slalom.racing.entrants import FIELD
from slalom.racing.together import refusal
from slalom.tasks import TASKS
from slalom.train import Run

KINDS = (
    "plateau", "never arrives", "label noise", "tiny samples", "imbalance", "ill-conditioned",
    "sparse", "embeddings", "convolutions", "recurrent", "attention", "autoencoder",
    "physics-informed", "non-stationary", "late bloomer", "outside its range", "heavy-tailed",
    "deep and narrow",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread():
    """Threads cost such small models more than they bring."""
    torch.set_num_threads(1)


def test_the_bank_holds_the_kinds_it_is_for():
    kinds = [entry.kind for entry in BANK.values()]
    assert len(BANK) >= 18
    assert not BANK.keys() & TASKS.keys()
    assert [k for k in KINDS if not any(k in kind for kind in kinds)] == []
    assert kind("digits") == "built in"


@pytest.mark.parametrize("name", BANK)
def test_a_task_is_small_and_can_be_made(name):
    task = load(name)
    task.check()
    assert task.name == name
    assert task.target is not None
    assert task.max_steps / task.eval_every >= 40
    found = refusal(task, [FIELD["SGD"]], 0, to_the_bit=False)
    assert (found is None) == (name not in ("turning-classes", "walking-goal"))  # which count
    assert not task.reached(task.judge(task.make_model(0).eval())[1])
    assert sum(p.numel() for p in task.make_model(0).parameters()) < 10_000


@pytest.mark.parametrize("name", BANK)
def test_a_task_is_the_same_each_time_and_differs_by_seed(name):
    one, two = load(name), load(name)
    for a, b in ((one.train, two.train), (one.valid, two.valid)):
        for x, y in zip(a.span(0, len(a)), b.span(0, len(b)), strict=True):
            assert torch.equal(x, y)

    def after(task: slalom.Task, seed: int) -> torch.Tensor:
        run = Run(task, lambda p: slalom.optim.SGD(p, lr=1e-5), seed)
        run.advance(3)
        return torch.cat([p.detach().flatten() for p in run.model.parameters()])

    assert torch.equal(after(one, 0), after(two, 0))
    assert not torch.equal(after(one, 0), after(one, 1))


def test_there_is_no_other_task():
    with pytest.raises(InputError, match="there is no task 'nothing'; it is one of cancer, "):
        load("nothing")


FILE = """
from torch import nn
from slalom.bench.bank._entry import banked
from slalom.train import Task
import torch

@banked("of a kind of its own")
def space_shuttle(name: str) -> Task:
    x = torch.arange(40.0)[:, None] / 40
    return Task(nn.Linear(1, 1), nn.MSELoss(), (x, x), (x, x), "loss", 0.1, 8, name=name)
"""
USE = """
from slalom.bench.bank import kind, load
from slalom.tasks import TASKS
load("space-shuttle").check()
print(kind("space-shuttle"), "space-shuttle" in TASKS)
"""


def test_one_file_adds_a_task(tmp_path):
    house = shutil.copytree(Path(slalom.__file__).parent, tmp_path / "slalom")
    (house / "bench" / "bank" / "shuttles.py").write_text(FILE)
    found = subprocess.run(
        [sys.executable, "-c", USE], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert found.stdout.strip() == "of a kind of its own False"


def test_a_curve_knows_its_derivatives():
    torch.manual_seed(0)
    curve = Curve().double()
    x = torch.linspace(-1, 1, 7, dtype=torch.float64)[:, None].requires_grad_()
    u, first, second = curve(x).T
    first_layer, second_layer, last = curve.layers
    value = last(second_layer(first_layer(x).tanh()).tanh())
    (once,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (twice,) = torch.autograd.grad(once.sum(), x)
    for ours, theirs in ((u, value), (first, once), (second, twice)):
        assert torch.allclose(ours, theirs[:, 0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("condition", [1e2, 1e5])
def test_ill_conditioned_rows_are_so(condition):
    rows, weights = _rotated(20_000, 12, condition, 0)
    moments = np.linalg.eigvalsh(rows.T @ rows / len(rows))
    assert moments[-1] / moments[0] == pytest.approx(condition, rel=0.2)
    assert weights.shape == (12,)


@pytest.mark.parametrize("moving", [lambda: Turning(nn.Linear(2, 1), 0.1), lambda: Following()])
def test_what_moves_does_so_with_updates_alone(moving):
    model = moving()
    x = torch.ones(3, 8)[:, : 2 if isinstance(model, Turning) else 8]
    x[:, 0] = 2
    before = model.eval()(x)
    assert torch.equal(model(x), before)
    assert torch.equal(model.train()(x), before)
    assert not torch.equal(model.eval()(x), before)
    assert "updates" in model.state_dict()


def test_a_balanced_accuracy_counts_both_classes_alike():
    truth = torch.tensor([0] * 8 + [1] * 2)
    always = torch.tensor([[1.0, 0.0]]).expand(10, 2)
    assert balanced_accuracy(always, truth) == 0.5
    assert balanced_accuracy(nn.functional.one_hot(truth).float(), truth) == 1.0
