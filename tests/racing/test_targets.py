"""Targets that nobody can reach, or need not train for, are refused before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

import slalom
from slalom.errors import InputError
from slalom.train.metrics import METRICS, range_of
from small import small_task


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 97}, "the target is accuracy 97, which can be 0 to 1; 97% is 0.97"),
        ({"metric": "loss", "target": -1.0}, "the target is loss -1, which can be 0 to inf"),
        ({"metric": "perplexity", "target": 0.5}, "perplexity 0.5, which can be 1 to inf"),
        ({"metric": "matthews", "target": 1.5}, "matthews 1.5, which can be -1 to 1"),
        ({"target": 0.1}, "the untrained model has accuracy .*, and the target is 0.1"),
        ({"max_steps": 200, "eval_every": 100}, "is 2 evaluations, and a target is held over 3"),
        ({"max_steps": 50, "eval_every": 100}, "is 0 evaluations, and a target is held over 3"),
    ],
)
def test_a_target_that_makes_no_race(options: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        slalom.race(small_task(**options), out=tmp_path / "it", progress=False)
    assert not (tmp_path / "it").exists()


def test_a_loss_of_ones_own_may_have_any_value() -> None:
    assert range_of(METRICS["loss"], nn.NLLLoss())[0] < 0
    assert range_of(METRICS["loss"], lambda outputs, targets: outputs.sum())[0] < 0
    assert range_of(METRICS["loss"], nn.MSELoss())[0] == 0
