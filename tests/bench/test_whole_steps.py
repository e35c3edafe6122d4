"""What is timed as a training step is one, of the same model for every contender."""

from __future__ import annotations

import pytest
import torch

from slalom.bench import loop
from slalom.bench.loop import Timing, shortfalls
from slalom.bench.loop_models import MODELS


@pytest.mark.parametrize("name", ["net 10-16-2", "digits MLP", "RNN"])
def test_every_contender_trains_as_torch_does(name, monkeypatch):
    """The losses of five steps; without an update they stay, and so they do with the flat one."""
    losses: dict[str, list[float]] = {}

    def made():
        model, loss = MODELS[name]()
        own: list[float] = []
        losses[str(len(losses))] = own

        def told(m):
            value = loss(m)
            own.append(value.item())
            return value

        return model, told

    monkeypatch.setattr(loop, "installed", lambda library, name: None)
    steps = loop.contenders(made, compiled=False)
    for step in steps.values():
        for _ in range(5):
            whole, update = step()
            assert 0 < update < whole
    found = dict(zip(steps, losses.values(), strict=True))
    default = found.pop("torch default")
    for still in ("no update", "one flat tensor"):
        assert found.pop(still) == [default[0]] * 5
    assert default[-1] < default[0]
    for who, own in found.items():
        torch.testing.assert_close(own, default, rtol=1e-5, atol=1e-6, msg=who)


def test_what_falls_short_is_said():
    times = {
        "slalom": Timing(2e-3, 1e-3), "torch fused": Timing(3e-3, 2e-3),
        "no update": Timing(1e-3, 0.0), "one flat tensor": Timing(2e-3, 0.9e-3),
    }  # fmt: skip
    assert shortfalls("digits MLP", 4, times) == [
        "the update is 2.00 times as fast as fused, below 3.0",
        "the whole step is 2.00 times that without update, above 1.15",
    ]
    assert shortfalls("RNN", 62, times) == []
    slow = {**times, "slalom": Timing(2e-3, 1.2e-3)}
    (bound,) = shortfalls("RNN", 62, slow)
    assert bound.startswith("the update takes 1.20 ms, and the bar is 1.13 ms: 1.25 times one flat")
