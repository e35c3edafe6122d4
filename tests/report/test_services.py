"""MLflow and Weights & Biases: by stand-ins, and by the real ones where they are installed."""

from __future__ import annotations

import sys
import types
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import slalom
from slalom.train import Task

X = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def task():
    return Task(
        lambda: nn.Linear(4, 2), nn.CrossEntropyLoss(), (X, Y), (X, Y), target=0.9, max_steps=60,
        batch_size=16, name="tiny",
    )  # fmt: skip


def race(out, **options):
    given = {"entrants": ["adam"], "points_each": 2, "seeds": 3, "baseline": None}
    return slalom.race(task(), out=out, progress=False, **{**given, **options})


def fit(out, **options):
    return slalom.fit(task(), "adam", steps=20, out=out, progress=False, **options)


def stop(event):
    if type(event).__name__ in ("Moved", "Evaluated"):
        raise KeyboardInterrupt


def fail(event):
    if type(event).__name__ in ("Moved", "Evaluated"):
        raise ZeroDivisionError


@pytest.fixture
def calls(monkeypatch):
    """What stand-ins were called with; their calls are as the docs of the two have them."""
    heard = []
    mlflow = types.ModuleType("mlflow")
    made = SimpleNamespace(info=SimpleNamespace(run_id="7"))
    for name in ("start_run", "log_metric", "log_text", "end_run"):
        setattr(mlflow, name, lambda *a, _n=name, **k: heard.append((_n, a, k)) or made)

    class Run:
        summary: dict = {}  # noqa: RUF012
        define_metric = log = lambda self, *a, **k: heard.append(("log", a, k))

        def finish(self, **k):
            heard.append(("finish", (), k))

    wandb = types.ModuleType("wandb")
    wandb.init = lambda **k: heard.append(("init", (), k)) or Run()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    return heard


def test_services_are_told_as_they_ask(tmp_path, calls):
    result = race(tmp_path / "it", log=["mlflow", "wandb"])
    evaluations = sum(len(c.step) for c in result.curves)
    names = [name for name, *_ in calls]
    assert names.count("log_metric") == 3 * evaluations
    assert names.count("log") == 3 * evaluations + 1
    assert calls[0] == ("start_run", (), {"run_name": "tiny", "nested": True})
    assert {k["run_id"] for name, _, k in calls if name in ("log_metric", "log_text")} == {"7"}
    assert [k["reinit"] for name, _, k in calls if name == "init"] == ["create_new"]
    assert ("end_run", ("FINISHED",), {}) in calls
    assert ("finish", (), {"exit_code": 0}) in calls


@pytest.mark.parametrize(("watch", "ended"), [(stop, "KILLED"), (fail, "FAILED")])
@pytest.mark.parametrize("train", [race, fit])
def test_what_is_broken_off_is_left_open_nowhere(tmp_path, calls, train, watch, ended):
    with pytest.raises((KeyboardInterrupt, ZeroDivisionError)):
        train(tmp_path / "it", log=["mlflow", "wandb"], watch=watch)
    assert calls[-2:] == [("finish", (), {"exit_code": 1}), ("end_run", (ended,), {})]


@pytest.mark.filterwarnings("ignore")
def test_with_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
    with mlflow.start_run(run_name="mine") as mine:
        result = race(tmp_path / "one", log="mlflow")
        with pytest.raises(KeyboardInterrupt):
            race(tmp_path / "two", log="mlflow", watch=stop)
        assert mlflow.active_run().info.run_id == mine.info.run_id
    client = mlflow.MlflowClient()
    found = {r.info.status: r for r in client.search_runs(["0"]) if r.info.run_name == "tiny"}
    assert set(found) == {"FINISHED", "KILLED"}
    for curve in result.curves:
        tag = f"{curve.label}/{curve.seed}/accuracy".replace("(", "_").replace("=", "_")
        history = client.get_metric_history(found["FINISHED"].info.run_id, tag.replace(")", "_"))
        assert [(h.step, h.value) for h in history] == list(
            zip(curve.step, curve.metric, strict=True)
        )


@pytest.mark.filterwarnings("ignore")
def test_with_weights_and_biases(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    mine = wandb.init(project="mine")
    result = race(tmp_path / "it", log="wandb")
    assert wandb.run is mine  # theirs goes on
    mine.finish()
    (path,) = (tmp_path / "it").rglob("*.wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    kept = [Record.FromString(r) for r in records(path.read_bytes())]
    rows = [r for r in kept if r.WhichOneof("record_type") == "history"]
    assert len(rows) == 3 * sum(len(c.step) for c in result.curves)
    told = [i for r in kept for i in r.summary.update if i.nested_key[:] == ["verdict"]
            or i.key == "verdict"]  # fmt: skip
    assert result.verdict.text[:20] in told[-1].value_json


def records(data: bytes):
    """The records of such a file: in blocks of 32 KiB, each part with checksum, length, kind."""
    at, part = 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        n, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        part += data[at + 7 : at + 7 + n]
        at += 7 + n
        if kind in (1, 4):  # whole, or the last of several
            yield part
            part = b""
