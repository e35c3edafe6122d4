"""Batches that are taken to a device ahead of time, by stand-ins: none was seen by a GPU here."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from torch import nn

import slalom
from slalom.train import Run, Task
from slalom.train.ahead import Ahead, Carrier

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 0).long()


def run(**options) -> Run:
    task = Task(
        lambda: nn.Linear(3, 2), nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=8, **options
    )
    return Run(task, lambda p: slalom.optim.Adam(p, lr=0.01), 3, updates=20)


class StandIn:
    """Copies at once, and writes down what it is asked."""

    def __init__(self):
        self.asked = []

    def send(self, batch):
        self.asked.append("send")
        return [part.clone() for part in batch]

    def take(self, sent):
        self.asked.append("take")
        taken, sent[:] = list(sent), []  # it is there once
        return tuple(taken)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_next_is_fetched_while_this_one_is_used(accumulate, monkeypatch):
    plain, ahead = run(accumulate=accumulate), run(accumulate=accumulate)
    carrier = StandIn()
    ahead._updates = Ahead(ahead._updates, carrier, 20)
    read = torch.Tensor.item

    def item(tensor):
        if tensor.requires_grad:  # the loss
            carrier.asked.append("read")
        return read(tensor)

    monkeypatch.setattr(torch.Tensor, "item", item)
    ahead.advance(3)
    if accumulate == 1:
        step = ["take", "send", "read"]
        assert carrier.asked == ["send", *step, *step, *step]
    state = copy.deepcopy(ahead.state_dict())
    ahead.advance(4)
    ahead.load_state_dict(state)  # back to where another batch was under way
    ahead.advance(17)
    assert carrier.asked[-3:] != ["take", "send", "read"]  # nothing is behind the last
    monkeypatch.undo()
    plain.advance(20)
    for a, b in zip(plain.model.parameters(), ahead.model.parameters(), strict=True):
        assert torch.equal(a, b)


class Stream:
    def __init__(self, log, name):
        self.log, self.name = log, name

    def record_event(self):
        self.log.append(f"{self.name} records")
        return "event"

    def wait_event(self, event):
        self.log.append(f"{self.name} waits for {event}")


def test_what_is_asked_of_cuda(monkeypatch):
    log = []
    side, current = Stream(log, "side"), Stream(log, "current")

    @contextlib.contextmanager
    def on(stream):
        log.append(f"on {stream.name}")
        yield
        log.append(f"off {stream.name}")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: side)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda t: False)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda t: log.append("pin") or t)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda t, s: log.append(f"in use, {s.name}"))
    moved = torch.Tensor.to
    monkeypatch.setattr(
        torch.Tensor, "to", lambda t, *a, **k: log.append(f"to {k}") or moved(t, *a, **k)
    )
    carrier = Carrier(torch.device("cpu"))
    batch = {"x": X, "name": "it"}
    found = carrier.take(carrier.send(batch))
    assert found["name"] == "it"
    assert torch.equal(found["x"], X)
    assert log == [
        "pin", "on side", "to {'non_blocking': True}", "side records", "off side",
        "current waits for event", "in use, current",
    ]  # fmt: skip
