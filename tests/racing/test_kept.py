"""What is left of a race beside its ledger: weights, logs, what was told on the way."""

from __future__ import annotations

import sys

import pytest
import torch
from safetensors import safe_open
from torch import nn

import slalom
from slalom.errors import InputError
from slalom.racing import events
from slalom.train import Task

X = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def task(**options):
    return Task(
        lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)),
        nn.CrossEntropyLoss(), (X, Y), (X, Y), target=0.9, max_steps=200, batch_size=16, **options,
    )  # fmt: skip


def race(out, made=None, **options):
    given = {"entrants": ["adam"], "points_each": 2, "seeds": 3, "baseline": None}
    return slalom.race(made or task(), out=out, **{**given, **options})


@pytest.mark.parametrize("options", [{}, {"ema": 0.5}])
def test_the_winners_weights_are_those_that_were_judged(tmp_path, options):
    made = task(**options)
    result = race(tmp_path / "it", made, keep_weights=True)
    assert result.weights == tmp_path / "it" / "weights.safetensors"
    with safe_open(result.weights, "pt") as file:
        told = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    (curve,) = [
        c for c in result.curves
        if c.stage == "final" and c.seed == int(told["seed"]) and c.label == told["entrant"]
    ]  # fmt: skip
    finals = [c for c in result.curves if c.stage == "final" and c.label == result.winner.label]
    assert told["entrant"] == result.winner.label
    assert float(told["accuracy"]) == max(m for c in finals for m in c.metric)
    assert float(told["accuracy"]) == curve.metric[curve.step.index(int(told["step"]))]
    model = made.make_model(0)
    model.load_state_dict(weights)
    assert made.judge(model.eval())[1] == float(told["accuracy"])


def test_callbacks_hear_of_named_points(tmp_path, capsys):
    class Heard(events.Callback):
        points = ()

        def started(self, event):
            self.points += ("started", event.metric)

        def moved(self, event):
            assert event.evaluations[-1].step == event.step

        def finished(self, event):
            self.points += ("finished", event.result.winner.label)

    one, two = Heard(), []
    result = race(tmp_path / "it", progress=False, watch=[one, two.append])
    assert one.points == ("started", "accuracy", "finished", result.winner.label)
    said = "torch goes through the model: layer 1 is a BatchNorm1d"
    assert two[0] == events.Told(said)
    assert isinstance(two[1], events.Started)
    assert isinstance(two[-1], events.Finished)
    assert result.weights is None
    assert capsys.readouterr().out == ""
    with pytest.raises(InputError, match="watch is a int; it must be a function of an event"):
        race(tmp_path / "other", watch=3)


def test_tensorboard_has_every_evaluation(tmp_path):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    from tensorboardX.event_file_writer import EventsWriter  # noqa: F401
    from tensorboardX.proto.event_pb2 import Event

    result = race(tmp_path / "it", progress=False, log="tensorboard")
    (file,) = (tmp_path / "it" / "tensorboard").iterdir()
    found: dict = {}
    for record in records(file.read_bytes()):
        event = Event.FromString(record)
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    for curve in result.curves:
        told = found[
            f"{curve.label}/{curve.seed}/accuracy".replace("(", "_")
            .replace(")", "_")
            .replace("=", "_")
        ]
        assert [step for step, _ in told] == curve.step
        assert [v for _, v in told] == pytest.approx(curve.metric)


def records(data: bytes):
    """The records of a TensorBoard file: length, its checksum, the bytes, their checksum."""
    while data:
        length = int.from_bytes(data[:8], "little")
        yield data[12 : 12 + length]
        data = data[16 + length :]


def test_what_is_not_there_is_said_before_anything(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    for log, message in (
        ("wandb", "log='wandb' needs wandb, which is not installed"),
        ("tensorbord", "it is one of tensorboard, mlflow, wandb; did you mean tensorboard?"),
    ):
        with pytest.raises(InputError, match=message):
            race(tmp_path / "it", log=log)
    assert not (tmp_path / "it").exists()
