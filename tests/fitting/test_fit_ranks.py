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
from slalom.backends.refusals import RefusedTensorError
from slalom.errors import InputError
from slalom.fitting import training
from slalom.fitting.folder import agree
from slalom.tasks import loaded
from slalom.train import Run
from slalom.train.ranks import LostError, Ranks, joined
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

class Learns(torch.nn.CrossEntropyLoss):
    def __init__(self, scale=1.5):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor([scale, 0.5]))

    def forward(self, outputs, targets):
        return super().forward(outputs * self.scale, targets)

mine = slalom.Task(
    lambda: torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8) if {norm} else torch.nn.Tanh(),
        Block(), Block(), torch.nn.Dropout({drop}), torch.nn.Linear(8, 2),
    ),
    valid=(x[96:], y[96:]),
    batch_size={batch}, name="mine", eval_every=10, metric="loss",
    **dict(
        {{
            "loss": Loss() if {pause} or {trap} else torch.nn.CrossEntropyLoss(),
            "train": (x[:95], y[:95]),
        }},
        **eval(os.environ.get("MORE", "dict()")),
    ),
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


def test_two_make_the_updates_of_one(tmp_path, monkeypatch):
    kept = "train=(x[:95], (x[:95].sum(1) > 0).long())"  # of a loss of one's own all targets count
    more = f"dict(ema=0.9, accumulate=2, clip_norm=0.3, loss=Learns(), {kept})"
    monkeypatch.setenv("MORE", more)
    (tmp_path / "mine.py").write_text(FILE.format(pause=0, norm=False, drop=0.0, batch=7, trap=0))
    one = trained(tmp_path, 1, "of-1")
    for more in ((), ("--shard",)):
        two = trained(tmp_path, 2, f"of-2{len(more)}", *more)
        for name, weights in one.items():
            torch.testing.assert_close(two[name], weights, rtol=2e-4, atol=2e-5)


def fitted(size, out, compile):
    """Train without the command, which knows of no other compilers."""
    with joined(torch.device("cpu")):
        slalom.fit(
            loaded("mine.py").task, "Adam", lr=0.01, seed=5, steps=20, out=out, progress=False,
            compile=compile, shard=size > 1,
        )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("more", "compile"), [("precision='float16'", False), ("", "aot_eager")])
def test_float16_and_compiled_models_are_sharded(more, compile, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(FILE.format(pause=0, norm=False, drop=0.0, batch=14, trap=0))
    monkeypatch.setenv("MORE", f"dict({more})")
    found = []
    for size in (1, 2):
        env = {"WORLD_SIZE": str(size), "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
        begun = [
            served.Started(
                fitted, size, f"of-{size}", compile, cwd=tmp_path, env={**env, "RANK": str(rank)}
            )
            for rank in range(size)
        ]
        ended = [one.ended() for one in begun]
        assert [e.returncode for e in ended] == [0] * size, ended
        found.append(load_file(tmp_path / f"of-{size}" / "weights.safetensors"))
    one, two = found
    for name, weights in one.items():
        torch.testing.assert_close(two[name], weights, rtol=2e-3, atol=1e-3 if more else 1e-6)


class Step(nn.Module):
    """What a batch is trained by, which learns too."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, model, batch):
        return least(model, batch) * self.scale.mean()


def least(model, batch):
    return model["one"](batch[0]).square().mean()


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
        ({"task": {"step": Step()}}, "a step= with parameters of its own cannot be sharded"),
        ({"task": {"step": {"one": least, "two": least}}}, "a model that is trained in parts"),
    ],
)
def test_what_cannot_be_sharded_is_refused(options, message, monkeypatch):
    x = torch.randn(64, 4)
    own = options.pop("task", {"loss": nn.CrossEntropyLoss()})
    metric = (lambda model, loader: 0.0) if "parts" in message else "loss"
    data = (x, (x.sum(1) > 0).long())
    task = slalom.Task(
        lambda: nn.ModuleDict({"one": nn.Linear(4, 2), "two": nn.Linear(4, 2)}),
        train=data, valid=data, metric=metric, higher_is_better=False, **own,
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


@pytest.mark.slow
def test_a_loss_that_learns_must_begin_alike_in_all(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(FILE.format(pause=0, norm=False, drop=0.0, batch=7, trap=0))
    monkeypatch.setenv("MORE", "dict(loss=Learns(1.0 + int(os.environ['RANK'])))")
    for one in start(tmp_path, 2, "--out", "it"):
        ended = one.ended()
        assert ended.returncode == 2
        assert "has another one as its initial weights" in ended.stderr


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
def test_one_that_is_killed_ends_all_and_the_same_command_goes_on(
    size, more, tmp_path, monkeypatch
):
    if more:
        monkeypatch.setenv("MORE", "dict(ema=0.9, loss=Learns())")
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
