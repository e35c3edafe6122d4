"""A run that is stopped anywhere, by any means, ends with the weights of one that never was."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import slalom
from slalom.errors import InputError
from slalom.fitting import UnwrittenError, events
from slalom.fitting.checkpoints import Checkpoints
from slalom.train import Task

X = torch.randn(90, 5, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 0).long()


def task(pause: float = 0.0, **options) -> Task:
    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))

    def loss(outputs, targets):
        if pause:
            time.sleep(pause)
        return nn.functional.cross_entropy(outputs, targets)

    given = {"batch_size": 16, "eval_every": 4, "target": 0.9, "name": "plane"} | options
    return Task(model, loss, (X, Y), (X, Y), **given)


METHODS = {
    "Adam": {"lr": 0.01}, "SGD": {"lr": 0.1}, "Momentum": {"lr": 0.1}, "RMSProp": {"lr": 0.01},
    "ScheduleFreeAdamW": {"lr": 0.01}, "BGD": {"lr": 0.1},
}  # fmt: skip

KINDS = {
    "plain": {}, "ema": {"ema": 0.9}, "cosine": {"schedule": "cosine", "warmup": 3},
    "accumulated": {"accumulate": 2, "batch_size": 8}, "replacement": {"replacement": True},
}  # fmt: skip


class Stopped(Exception):  # noqa: N818 - it is none
    pass


def stopping(at: int):
    """A callback that ends the process's run after so many updates, wherever that is."""

    def watch(event):
        if isinstance(event, events.Moved) and event.step >= at:
            raise Stopped

    return watch


def fit(*given, **options) -> slalom.fitting.Fit:
    return slalom.fit(*given, progress=False, **options)


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def told_of(found: slalom.fitting.Fit) -> list:
    return [(e.step, e.samples, e.train_loss, e.valid_loss, e.metric) for e in found.history]


@pytest.mark.parametrize("machine_code", [False, True])
@pytest.mark.parametrize(
    ("method", "kind"),
    [*((m, "plain") for m in METHODS), *(("Adam", k) for k in KINDS if k != "plain")],
)
def test_one_that_was_stopped_ends_like_one_that_was_not(method, kind, machine_code, tmp_path):
    options = {"steps": 22, "seed": 4, "machine_code": machine_code, **METHODS[method]}
    whole = fit(task(**KINDS[kind]), method, **options)
    for at in (3, 13, 14):
        with pytest.raises(Stopped):
            fit(task(**KINDS[kind]), method, out=tmp_path / "run", save_every=3,
                watch=stopping(at), **options)  # fmt: skip
    found = fit(task(**KINDS[kind]), method, out=tmp_path / "run", save_every=3, **options)
    assert equal(found.model, whole.model)
    assert told_of(found) == told_of(whole)
    written = load_file(tmp_path / "run" / "weights.safetensors")
    assert all(torch.equal(written[n], t) for n, t in whole.model.state_dict().items())
    again = fit(task(**KINDS[kind]), method, out=tmp_path / "run", save_every=3, **options)
    assert equal(again.model, whole.model)
    assert again.history == found.history


PAUSE = 0.002
"""Seconds that an update takes at least in what is killed."""


def test_weights_of_any_layout_are_written(tmp_path):
    def model() -> nn.Module:
        net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(36, 2))
        net[2].weight = nn.Parameter(torch.randn(36, 2).t())
        return net.to(memory_format=torch.channels_last)

    x = torch.randn(32, 2, 5, 5)
    given = Task(model, nn.CrossEntropyLoss(), (x, torch.arange(32) % 2), (x, torch.arange(32) % 2))
    found = fit(given, "Adam", lr=0.01, steps=4, out=tmp_path / "run")
    written = load_file(tmp_path / "run" / "weights.safetensors")
    assert all(torch.equal(written[n], t) for n, t in found.model.state_dict().items())


def test_one_whose_optimizer_asks_for_the_loss_is_resumed(tmp_path):
    make = functools.partial(torch.optim.LBFGS, lr=0.1, max_iter=3)
    options = {"steps": 12, "seed": 4, "batch_size": "all"}
    whole = fit(task(), make, **options)
    with pytest.raises(Stopped):
        fit(task(), make, out=tmp_path / "run", save_every=1, watch=stopping(7), **options)
    found = fit(task(), make, out=tmp_path / "run", save_every=1, **options)
    assert equal(found.model, whole.model)


def begun(
    folder: Path, seconds: float | None, kill: int, method: str, machine_code: bool = False
) -> int:
    """Begin a run in a process of its own and end that after some seconds; how it ended."""
    process = os.fork()
    if not process:
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            options = {"machine_code": machine_code, **METHODS[method]}
            fit(task(PAUSE), method, out=folder, save_every=2, steps=60, seed=4, **options)
            code = 0
        except SystemExit as end:
            code = end.code
        finally:
            os._exit(code)
    if seconds is not None:
        late = time.monotonic() + 20
        while not (folder / "run.json").exists() and time.monotonic() < late:
            time.sleep(0.002)
        time.sleep(seconds)
        os.kill(process, kill)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


def killed(
    folder: Path, moments: int, method: str, choose: random.Random, machine_code: bool = False
) -> None:
    options = {"machine_code": machine_code, **METHODS[method]}
    whole = fit(task(), method, steps=60, seed=4, **options)
    begins = 0
    for _ in range(moments):
        ended = begun(folder, choose.uniform(0, 0.25), signal.SIGKILL, method, machine_code)
        begins += ended == -signal.SIGKILL
        if ended == 0:  # it was over before: anew
            shutil.rmtree(folder)
    assert begins
    assert begun(folder, None, 0, method, machine_code) == 0
    written = load_file(folder / "weights.safetensors")
    assert all(torch.equal(written[n], t) for n, t in whole.model.state_dict().items())


@needs_fork
@pytest.mark.parametrize(("method", "machine_code"), [("Adam", True), ("Momentum", False)])
def test_one_that_is_killed_again_and_again_ends_the_same(method, machine_code, tmp_path):
    killed(tmp_path / "run", 4, method, random.Random(method), machine_code)


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "machine_code"), [*((m, False) for m in METHODS), ("Adam", True)]
)
def test_one_that_is_killed_at_twenty_moments_ends_the_same(method, machine_code, tmp_path):
    killed(tmp_path / "run", 20, method, random.Random(method), machine_code)


@needs_fork
def test_sigterm_writes_a_checkpoint_and_exits_with_its_code(tmp_path):
    folder = tmp_path / "run"
    assert begun(folder, 0.05, signal.SIGTERM, "Adam") == 143
    known = json.loads((folder / "run.json").read_text())
    assert known["status"] == "begun"
    step, _ = max(
        (int(p.name.split("-")[1]), p) for p in (folder / "checkpoints").iterdir()
    )  # fmt: skip
    assert known["step"] == step > 0
    assert not (folder / "weights.safetensors").exists()
    killed_not = fit(task(), "Adam", steps=60, seed=4, **METHODS["Adam"])
    assert begun(folder, None, 0, "Adam") == 0
    written = load_file(folder / "weights.safetensors")
    assert all(torch.equal(written[n], t) for n, t in killed_not.model.state_dict().items())


def test_a_damaged_checkpoint_is_passed_over_with_a_message(tmp_path):
    options = {"steps": 30, "seed": 4, "lr": 0.01, "out": tmp_path / "run", "save_every": 5}
    with pytest.raises(Stopped):
        fit(task(), "Adam", watch=stopping(22), **options)
    first, last = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert first.name.startswith("step-000000015-")
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    said = []
    found = fit(task(), "Adam", watch=said.append, **options)
    texts = [e.text for e in said if isinstance(e, events.Told)]
    assert texts == [f"{last} is damaged; the run goes on from the one before it"]
    assert next(e for e in said if isinstance(e, events.Started)).run is not None
    assert equal(found.model, fit(task(), "Adam", steps=30, seed=4, lr=0.01).model)


def test_where_all_are_damaged_it_begins_anew_with_a_message(tmp_path):
    options = {"steps": 30, "seed": 4, "lr": 0.01, "out": tmp_path / "run", "save_every": 5}
    with pytest.raises(Stopped):
        fit(task(), "Adam", watch=stopping(22), **options)
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    said = []
    found = fit(task(), "Adam", watch=said.append, **options)
    assert sum("is damaged" in e.text for e in said if isinstance(e, events.Told)) == 2
    assert equal(found.model, fit(task(), "Adam", steps=30, seed=4, lr=0.01).model)


def test_checkpoints_of_later_steps_go_when_one_is_written(tmp_path):
    kept = Checkpoints(tmp_path, keep=2)
    for step in (1, 5, 9, 3):
        kept.write(step, {"step": step})
    assert [step for step, _ in kept.found()] == [3]  # 5 and 9 were of where it went back from
    assert kept.last() == ({"step": 3}, [])


def test_a_checkpoint_executes_no_code(tmp_path):
    ran = tmp_path / "ran"

    class Bad:
        def __reduce__(self):
            return (Path.touch, (ran,))

    options = {"steps": 10, "lr": 0.01, "out": tmp_path / "run", "save_every": 5}
    with pytest.raises(Stopped):
        fit(task(), "Adam", watch=stopping(6), **options)
    Checkpoints(tmp_path / "run" / "checkpoints", 5).write(7, {"run": Bad()})
    said = []
    fit(task(), "Adam", watch=said.append, **options)
    assert not ran.exists()
    assert any("is damaged" in e.text for e in said if isinstance(e, events.Told))


CHANGES = {
    "the training data has changed": {"train": (X + 1e-6, Y)},
    "the model has changed": {"model": lambda: nn.Linear(5, 2)},
    "the way of training has changed": {"clip_norm": 1.0},
    "the loss has changed": {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)},
}


@pytest.mark.parametrize("message", CHANGES)
def test_what_has_changed_is_said_and_nothing_written_over(message, tmp_path):
    folder = tmp_path / "run"
    options = {"steps": 6, "lr": 0.01, "out": folder}
    given = {
        "model": lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)),
        "loss": nn.CrossEntropyLoss(), "train": (X, Y), "valid": (X, Y), "batch_size": 16,
    }  # fmt: skip
    fit(Task(**given), "Adam", **options)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match=f"{message} since the run in .*give another folder"):
        fit(Task(**given | CHANGES[message]), "Adam", **options)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.02}, r"has Adam\(lr=0.01\) as its optimizer, and here it is Adam\(lr=0.02\)"),
        ({"steps": 7}, "has 6 steps as its length, and here it is 7 steps"),
        ({"seed": 1}, "has 0 as its seed"), ({"batch_size": 8}, "has 16 as its batch size"),
    ],
)  # fmt: skip
def test_another_run_is_not_written_over_it(change, message, tmp_path):
    options = {"steps": 6, "lr": 0.01, "out": tmp_path / "run"}
    fit(task(), "Adam", **options)
    with pytest.raises(InputError, match=message):
        fit(task(), "Adam", **options | change)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("text")
    with pytest.raises(InputError, match="holds something else than a run; give another folder"):
        fit(task(), "Adam", out=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="cannot be made"):
        fit(task(), "Adam", out=tmp_path / "thesis.tex" / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"form": 1}')
    with pytest.raises(InputError, match="says nothing of run; it is not as it was written"):
        fit(task(), "Adam", out=tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run.json cannot be read"):
        fit(task(), "Adam", out=tmp_path / "run")


def full(*_):
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_told_after_one_update(tmp_path, monkeypatch):
    seen = []

    def filling(event):
        seen.append(event)
        if isinstance(event, events.Moved):
            monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(InputError, match=r"no checkpoint can be .* after 1 updates: No space left"):
        fit(task(), "Adam", steps=50, out=tmp_path / "run", watch=filling)
    assert [e.step for e in seen if isinstance(e, events.Moved)] == [1]


@pytest.mark.skipif(os.name != "posix", reason="no limit of a file's size there")
@pytest.mark.parametrize("begins", [0, 8])
def test_a_file_that_cannot_grow_is_as_a_full_disk(begins, tmp_path):
    """torch's writer, which fails in the middle of it, says so in words of its own."""
    import resource

    told, before = [], resource.getrlimit(resource.RLIMIT_FSIZE)

    def limiting(event):
        if isinstance(event, events.Moved) and begins < event.step < 14:
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
        if isinstance(event, events.Told):
            told.append(event.text)
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    options = {"steps": 20, "seed": 4, "lr": 0.01, "out": tmp_path / "run", "save_every": 6}
    try:
        if not begins:
            with pytest.raises(
                InputError, match=r"no checkpoint .* after 1 updates: File too large"
            ):
                fit(task(), "Adam", watch=limiting, **options)
            return
        fit(task(), "Adam", watch=limiting, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(told) == 1, told
    assert "after 12 updates, and the run goes on without: File too large" in told[0]


def test_a_disk_without_room_for_the_checkpoints_is_told_after_one_update(tmp_path, monkeypatch):
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=10_000))
    with pytest.raises(InputError, match="MB left, and the checkpoints of this run need"):
        fit(task(), "Adam", steps=50, out=tmp_path / "run")


def test_a_disk_that_fills_up_later_costs_checkpoints_and_no_training(tmp_path, monkeypatch):
    said = []

    def filling(event):
        said.append(event)
        if isinstance(event, events.Moved):
            monkeypatch.setattr(os, "fsync", full if 8 < event.step < 25 else real)

    real = os.fsync
    options = {"steps": 30, "seed": 4, "lr": 0.01}
    found = fit(task(), "Adam", out=tmp_path / "run", save_every=5, watch=filling, **options)
    texts = [e.text for e in said if isinstance(e, events.Told)]
    assert len(texts) == 3
    assert all("the run goes on without" in t and "No space left" in t for t in texts)
    assert [e.step for e in said if isinstance(e, events.Saved)] == [1, 5, 25, 30]
    assert equal(found.model, fit(task(), "Adam", **options).model)


def test_a_disk_that_is_full_at_the_end_loses_nothing_that_was_trained(tmp_path, monkeypatch):
    options = {"steps": 30, "seed": 4, "lr": 0.01}

    def filling(event):
        if isinstance(event, events.Moved) and event.step >= 25:
            monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(
        UnwrittenError, match=r"run is over, but no .* after 30 updates: .*No space"
    ) as e:
        fit(task(), "Adam", out=tmp_path / "run", save_every=5, watch=filling, **options)
    monkeypatch.undo()
    alone = fit(task(), "Adam", **options).model
    assert equal(e.value.result.model, alone)
    assert equal(fit(task(), "Adam", out=tmp_path / "run", save_every=5, **options).model, alone)


def test_a_folder_that_is_removed_under_way_is_made_anew(tmp_path):
    options = {"steps": 30, "seed": 4, "lr": 0.01, "out": tmp_path / "run", "save_every": 5}
    texts = []

    def removing(event):
        if isinstance(event, events.Saved) and event.step == 10:
            shutil.rmtree(tmp_path / "run")
        if isinstance(event, events.Told):
            texts.append(event.text)

    found = fit(task(), "Adam", watch=removing, **options)
    assert texts == [f"{tmp_path / 'run'} was removed; it is made anew"]
    assert equal(fit(task(), "Adam", watch=texts.append, **options).model, found.model)
    assert "this run is over" in str(texts[1])
    assert not list((tmp_path / "run").glob("*-lock"))


def test_a_run_that_came_to_be_where_another_was_is_left_alone(tmp_path):
    place = tmp_path / "run"
    other = fit(task(), "SGD", steps=5, lr=0.1, out=tmp_path / "other")

    def replacing(event):
        if isinstance(event, events.Saved) and event.step == 10:
            shutil.rmtree(place)
            shutil.copytree(tmp_path / "other", place)

    with pytest.raises(UnwrittenError, match=r"another run was begun in .*run meanwhile") as e:
        fit(task(), "Adam", steps=20, lr=0.01, out=place, save_every=5, watch=replacing)
    assert equal(e.value.result.model, fit(task(), "Adam", steps=20, lr=0.01).model)
    weights = load_file(place / "weights.safetensors")
    assert all(torch.equal(weights[n], t) for n, t in other.model.state_dict().items())


@pytest.mark.skipif(os.name != "posix", reason="folders have no modes there")
def test_a_read_only_folder_is_told_before_anything():
    fit(task(), "Adam", steps=1)  # so that all is imported which another user may not read
    at, user = Path(tempfile.mkdtemp()), os.geteuid()
    at.chmod(0o555)
    try:
        if user == 0:  # may write anywhere
            os.seteuid(65534)
        with pytest.raises(InputError, match="cannot be made: Permission denied"):
            fit(task(), "Adam", out=at / "run")
    finally:
        os.seteuid(user)
        shutil.rmtree(at)


def test_two_do_not_write_one_run(tmp_path):
    def second(event):
        if isinstance(event, events.Started):
            fit(task(), "Adam", steps=5, out=tmp_path / "run")

    with pytest.raises(InputError, match=r"run.json is being written by this process"):
        fit(task(), "Adam", steps=5, out=tmp_path / "run", watch=second)


def test_the_last_are_kept_and_the_best_weights(tmp_path):
    best = {}

    def remember(event):
        if isinstance(event, events.Evaluated) and event.best:
            best["step"] = event.evaluation.step

    found = fit(task(), "Adam", lr=0.05, steps=60, out=tmp_path / "run", save_every=3, keep=3,
                watch=remember)  # fmt: skip
    names = sorted(p.name[:14] for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["step-000000054", "step-000000057", "step-000000060"]
    assert found.best.step == best["step"] < 60
    net = task().make_model(0)
    net.load_state_dict(load_file(tmp_path / "run" / "best.safetensors"))
    assert task().judge(net.eval())[1] == found.best.metric


def test_what_it_was_begun_with_is_told_where_that_has_changed(tmp_path):
    options = {"steps": 12, "lr": 0.01, "out": tmp_path / "run", "save_every": 1}
    with pytest.raises(Stopped):
        fit(task(), "Adam", watch=stopping(5), **options)
    file = tmp_path / "run" / "run.json"
    known = json.loads(file.read_text())
    known["versions"]["torch"] = "2.10"
    file.write_text(json.dumps(known))
    said = []
    fit(task(), "Adam", watch=said.append, **options)
    texts = [e.text for e in said if isinstance(e, events.Told)]
    told_once = f"torch was 2.10, and is {torch.__version__} since this run was begun; its numbers"
    assert texts == [f"{told_once} may differ"]
