"""A run: what it says of itself is so, and stopped anywhere it goes on as if it had not been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import slalom
from slalom.errors import InputError
from slalom.train import Run, Task, checkpoint

INPUTS = torch.randn(90, 5, generator=torch.Generator().manual_seed(0))
CLASSES = (INPUTS.sum(1) > 0).long()


def task(**options) -> Task:
    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))

    given = {
        "train": (INPUTS, CLASSES),
        "valid": (INPUTS, CLASSES),
        "target": 0.9,
        "batch_size": 16,
    }
    return Task(model, nn.CrossEntropyLoss(), **{**given, **options})


MAKERS = {
    "ours": lambda p: slalom.optim.Adam(p, lr=0.01),
    "ours, momentum": lambda p: slalom.optim.SGD(p, lr=0.1, momentum=0.9),
    "torch": lambda p: torch.optim.AdamW(p, lr=0.01),
    "schedule-free": lambda p: slalom.optim.ScheduleFreeAdamW(p, lr=0.01),
}


def same(a: Run, b: Run) -> bool:
    return all(
        torch.equal(p, q) for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True)
    )


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("batch", [None, 1, "all"])
def test_stopped_and_gone_on_is_the_same_to_the_bit(maker, batch, tmp_path):
    whole = Run(task(), MAKERS[maker], 3, batch_size=batch)
    for _ in range(4):
        whole.advance(5)
        expected = whole.evaluate()
    part = Run(task(), MAKERS[maker], 3, batch_size=batch)
    part.advance(5)
    part.evaluate()
    part.advance(3)
    part.save(tmp_path / "run.pt")
    torch.rand(100)  # whatever else the program draws
    other = Run(task(), MAKERS[maker], 3, batch_size=batch)
    other.load(tmp_path / "run.pt")
    other.advance(2)
    other.evaluate()
    for _ in range(2):
        other.advance(5)
        found = other.evaluate()
    assert same(whole, other)
    assert (found.step, found.samples, found.metric, found.valid_loss, found.train_loss) == (
        expected.step, expected.samples, expected.metric, expected.valid_loss, expected.train_loss,
    )  # fmt: skip


def test_random_numbers_of_others_are_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run = Run(task(), MAKERS["ours"], 0)
    run.advance(7)
    run.evaluate()
    assert torch.equal(torch.rand(3), expected)


def test_seeds_differ_and_agree():
    runs = [Run(task(), MAKERS["ours"], seed) for seed in (0, 0, 1)]
    for run in runs:
        run.advance(3)
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_a_module_is_made_anew_for_each_seed():
    module = nn.Linear(5, 2)
    weight = module.weight.clone()
    made = Task(module, nn.CrossEntropyLoss(), (INPUTS, CLASSES), (INPUTS, CLASSES))
    a, b, c = (made.make_model(seed) for seed in (0, 0, 1))
    assert torch.equal(a.weight, b.weight)
    assert not torch.equal(a.weight, c.weight)
    assert torch.equal(module.weight, weight)


def test_bgd_takes_the_step_of_the_whole_gradient():
    given = task()
    run = Run(given, lambda p: slalom.optim.SGD(p, lr=0.5), 0, batch_size="all")
    run.model.eval()  # no dropout
    before = [p.detach().clone() for p in run.model.parameters()]
    loss = nn.CrossEntropyLoss()(run.model(INPUTS), CLASSES)
    gradients = torch.autograd.grad(loss, list(run.model.parameters()))
    run.advance(1)
    for p, b, g in zip(run.model.parameters(), before, gradients, strict=True):
        torch.testing.assert_close(p.detach(), b - 0.5 * g)
    assert run.samples == 90


def test_a_run_that_blows_up_says_so():
    run = Run(task(), lambda p: torch.optim.SGD(p, lr=1e12), 0)
    run.advance(50)
    assert run.diverged is not None
    assert run.step < 50
    before = run.step
    run.advance(10)
    assert run.step == before


class Pairs(Dataset):
    def __len__(self) -> int:
        return 90

    def __getitem__(self, i):
        return INPUTS[i], CLASSES[i]


@pytest.mark.parametrize(
    "data",
    [
        Pairs(),
        DataLoader(Pairs(), batch_size=16),
        TensorDataset(INPUTS, CLASSES),
        (INPUTS.numpy(), CLASSES.numpy()),
        (INPUTS.double().numpy(), CLASSES.numpy()),
    ],
    ids=["dataset", "loader", "tensor dataset", "numpy", "float64 numpy"],
)
def test_all_forms_of_data_are_the_same_data(data):
    expected, found = (
        Run(task(), MAKERS["ours"], 0),
        Run(task(train=data, valid=data), MAKERS["ours"], 0),
    )
    for run in (expected, found):
        run.advance(9)
    assert same(expected, found)
    assert expected.evaluate().metric == found.evaluate().metric


def test_a_file_is_whole_whenever_the_process_dies(tmp_path):
    code = f"""
        import torch
        from pathlib import Path
        from slalom.train import checkpoint
        for i in range(10**6):
            state = {{"i": i, "data": torch.full((50_000,), float(i))}}
            checkpoint.save(Path({str(tmp_path / "c.pt")!r}), state)
    """
    for wait in (0.0, 0.01, 0.03, 0.06):
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
        while not (tmp_path / "c.pt").exists():
            time.sleep(0.01)
            assert process.poll() is None
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        state = checkpoint.load(tmp_path / "c.pt")
        assert torch.equal(state["data"], torch.full((50_000,), float(state["i"])))


def test_damaged_and_missing_checkpoints(tmp_path):
    run = Run(task(), MAKERS["ours"], 0)
    with pytest.raises(InputError, match="there is no checkpoint"):
        run.load(tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=r"the checkpoint .*bad.pt cannot be read"):
        run.load(tmp_path / "bad.pt")
