"""Several processes that train one model make the updates of one that sees whole batches."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import served
import slalom
from slalom.backends.base import RefusedTensorError
from slalom.errors import InputError
from slalom.fitting import training
from slalom.fitting.folder import agree
from slalom.train import Run
from slalom.train.ranks import LostError, Ranks
from slalom.train.sharded import ShardedRun, blocks

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="this torch has no torch.distributed"
)

FILE = """
import os, slalom, time, torch
x = torch.randn(128, 4, generator=torch.Generator().manual_seed(0))
y = (x.sum(1) > 0).long()
if not {trap}:
    y[::9] = -100  # ignored, so that parts of a batch do not count alike
    y[40 : 40 if {pause} else 52] = -100  # and some not at all

LAST = int(os.environ.get("RANK", 0)) == int(os.environ.get("WORLD_SIZE", 1)) - 1

class Loss(torch.nn.CrossEntropyLoss):
    calls = 0

    def forward(self, outputs, targets):
        time.sleep({pause} * outputs.requires_grad)
        self.calls += outputs.requires_grad
        found = super().forward(outputs, targets)
        return found * float("nan") if LAST and self.calls == {trap} else found

class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(8, 8)

    def forward(self, x):
        return x + self.inner(x).tanh()

mine = slalom.Task(
    lambda: torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8) if {norm} else torch.nn.Tanh(),
        Block(), Block(), torch.nn.Dropout({drop}), torch.nn.Linear(8, 2),
    ),
    Loss() if {pause} or {trap} else torch.nn.CrossEntropyLoss(),
    (x[:95], y[:95]), (x[96:], y[96:]),
    batch_size={batch}, name="mine", eval_every=10, metric="loss",
)
"""
WORDS = ["train", "mine.py", "--optimizer", "Adam", "--lr", "0.01", "--seed", "5", "--steps", "60",
         "--save-every", "5"]  # fmt: skip


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return s.getsockname()[1]


def start(cwd: Path, size: int, *more: str) -> list[served.Started]:
    env = {"WORLD_SIZE": str(size), "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
    return [
        served.Started(served.slalom, *WORDS, *more, cwd=cwd, env={**env, "RANK": str(rank)})
        for rank in range(size)
    ]


def trained(cwd: Path, size: int, out: str, *more: str) -> dict[str, torch.Tensor]:
    ended = [one.ended() for one in start(cwd, size, "--out", out, *more)]
    assert [e.returncode for e in ended] == [0] * size, ended
    assert "after 60 steps (" in ended[0].stdout
    assert all(e.stdout == "" for e in ended[1:])  # the first tells for all
    return load_file(cwd / out / "weights.safetensors")


def test_two_make_the_updates_of_one(tmp_path):
    (tmp_path / "mine.py").write_text(FILE.format(pause=0, norm=False, drop=0.0, batch=7, trap=0))
    one = trained(tmp_path, 1, "of-1")
    for more in ((), ("--shard",)):
        two = trained(tmp_path, 2, f"of-2{len(more)}", *more)
        for name, weights in one.items():
            torch.testing.assert_close(two[name], weights, rtol=2e-4, atol=2e-5)


def test_blocks_of_a_model_are_found():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))

        def forward(self, x):
            return self.inner(x)

    class Head(Block):
        pass

    made = nn.Sequential(nn.ModuleList([Block(), Block()]), Head(), nn.Linear(2, 2))
    assert blocks(made) == [*made[0]]
    made[0][1].inner[0].weight = made[2].weight  # which is needed outside of the block too
    assert blocks(made) == [made[0][0]]
    assert blocks(nn.Linear(2, 2)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "divides a model among processes, and this one is alone; start several: torchrun"),
        ({"compile": True}, "sharded or compiled, and not both"),
        ({"ema": 0.9}, r"an average of the weights \(ema\) cannot be sharded"),
    ],
)
def test_what_cannot_be_sharded_is_refused(options, message, monkeypatch):
    x = torch.randn(64, 4)
    task = slalom.Task(
        lambda: nn.Linear(4, 2), nn.CrossEntropyLoss(), (x, (x.sum(1) > 0).long()),
        (x, (x.sum(1) > 0).long()), ema=options.pop("ema", None),
    )  # fmt: skip
    if "alone" not in message:
        monkeypatch.setattr(Ranks, "here", lambda: Ranks(0, 2))
        monkeypatch.setattr(training, "agree", lambda *_: None)
        monkeypatch.setattr(ShardedRun, "_placed", lambda self, model: model)
    with pytest.raises(InputError, match=message):
        slalom.fit(task, "Adam", lr=0.1, steps=2, shard=True, progress=False, **options)


@pytest.mark.parametrize(
    ("error", "told", "message"),
    [
        (RefusedTensorError("Muon is not served"), InputError, "Muon is not served.*without shard"),
        (RuntimeError("gloo: it is gone"), LostError, "another process of this run has ended"),
        (RuntimeError("a bug of the task's"), RuntimeError, "a bug of the task's"),
    ],
)
def test_what_goes_wrong_in_a_sharded_update_is_told_as_what_it_is(
    error, told, message, monkeypatch
):
    def fails(self, steps):
        raise error

    monkeypatch.setattr(Run, "advance", fails)
    with pytest.raises(told, match=message) as caught:
        object.__new__(ShardedRun).advance(1)
    assert type(caught.value) is told


class Unlike(Ranks):
    """Two, of which the other one has something else."""

    def __init__(self, **other):
        super().__init__(0, 2)
        self.other = other

    def all(self, value):
        return [value, {**value, **self.other}]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 6}, "number 1 has 6 and not 5 as its seed; give all of them the same"),
        ({"fingerprints": {"training data": "b"}}, "number 1 has another one as its training data"),
        ({}, ""),
    ],
)
def test_all_must_be_given_the_same(other, message):
    prints = {"training data": "a", "validation data": "a", "loss": "a"}
    record, weights = {"seed": 5, "fingerprints": prints}, {"f": torch.zeros(2)}
    if not other:
        agree(record, weights, Unlike())
        agree(
            {**record, "fingerprints": {**prints, "loss": "asks for the rank"}}, weights, Unlike()
        )
        return
    with pytest.raises(InputError, match=message):
        agree(record, weights, Unlike(**other))


def test_one_that_is_gone_is_told_of_in_one_sentence(monkeypatch):
    def lost(*_, **__):
        raise RuntimeError("[pair.cc:553] Connection closed by peer")

    monkeypatch.setattr(torch.distributed, "all_reduce", lost)
    with pytest.raises(LostError, match="another process of this run has ended"):
        Ranks(0, 2).add([torch.ones(1)])


@pytest.mark.slow
def test_what_is_not_finite_in_one_is_left_out_by_all(tmp_path):
    (tmp_path / "mine.py").write_text(FILE.format(pause=0, norm=False, drop=0.0, batch=7, trap=20))
    skip = "--on-nonfinite", "skip", "--json"
    found = []
    for size, more in ((1, ()), (2, ()), (2, ("--shard",))):
        out = f"of-{len(found)}"
        ended = [one.ended() for one in start(tmp_path, size, "--out", out, *skip, *more)]
        assert json.loads(ended[0].stdout)["skipped"] == 1, ended
        found.append(load_file(tmp_path / out / "weights.safetensors"))
    one, *others = found
    for other in others:
        for name, weights in one.items():
            torch.testing.assert_close(other[name], weights, rtol=2e-4, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "more"), [(2, ()), (4, ()), (2, ("--shard",)), (4, ("--shard",))])
def test_one_that_is_killed_ends_all_and_the_same_command_goes_on(size, more, tmp_path):
    (tmp_path / "mine.py").write_text(
        FILE.format(pause=0.01, norm=True, drop=0.3, batch=16, trap=0)
    )
    whole = trained(tmp_path, size, "whole", *more)
    begun = start(tmp_path, size, "--out", "killed", *more)
    late = time.monotonic() + 60
    while not list((tmp_path / "killed").glob("checkpoints/step-00000001*")):
        assert time.monotonic() < late
        time.sleep(0.01)
    os.kill(begun[1].process.pid, signal.SIGKILL)
    others = [one.ended(60) for one in begun]
    assert all(one.returncode for one in others)
    said = [one.stderr for i, one in enumerate(others) if i != 1]
    assert all(text.startswith("slalom: another process of this run has ended") for text in said)
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    again = trained(tmp_path, size, "killed", *more)
    assert all(torch.equal(again[name], t) for name, t in whole.items())


@pytest.mark.slow
def test_torchrun_starts_it_and_another_number_goes_on(tmp_path):
    (tmp_path / "mine.py").write_text(FILE.format(pause=0, norm=False, drop=0.0, batch=7, trap=0))
    one = trained(tmp_path, 1, "whole")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command += ["2", "-m", "slalom", *WORDS, "--out", "it", "--shard"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert ended.returncode == 0, ended.stderr
    for size, more in ((4, ("--shard",)), (3, ()), (1, ())):  # whatever went before
        for path in (tmp_path / "it").glob("checkpoints/step-000000060*"):
            path.unlink()  # as if it had been stopped on its way
        first, *others = start(tmp_path, size, "--out", "it", *more)
        told = first.ended().stdout
        assert all(one.ended().returncode == 0 for one in others)
        assert f"and is {size} since this run was begun" in told
        assert "on from step 5" in told
        found = load_file(tmp_path / "it" / "weights.safetensors")
        for name, weights in one.items():
            torch.testing.assert_close(found[name], weights, rtol=2e-4, atol=2e-5)
