"""What a task is judged by, on its whole validation set."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Metric:
    """A named measure of a model: (outputs, targets, mean loss) -> a number."""

    name: str
    higher_is_better: bool
    measure: Callable[[Any, Any, float], float]


def _classes(outputs: Tensor, targets: Tensor) -> Tensor:
    if outputs.shape == targets.shape:  # one logit a decision
        return (outputs > 0).to(targets.dtype)
    if outputs.dim() == targets.dim() + 1 and outputs.shape[2:] == targets.shape[1:]:
        return outputs.argmax(1)
    return outputs.argmax(-1)


def accuracy(outputs: Tensor, targets: Tensor) -> float:
    """The share of targets whose class has the largest output (the right side of 0, if one)."""
    if outputs.dim() == targets.dim() + 1 and outputs.shape[-1] == 1:
        outputs = outputs.squeeze(-1)
    return (_classes(outputs, targets) == targets).double().mean().item()


def mse(outputs: Tensor, targets: Tensor) -> float:
    """The mean squared error."""
    return (outputs.reshape(-1).double() - targets.reshape(-1).double()).square().mean().item()


def mae(outputs: Tensor, targets: Tensor) -> float:
    """The mean absolute error."""
    return (outputs.reshape(-1).double() - targets.reshape(-1).double()).abs().mean().item()


def r2(outputs: Tensor, targets: Tensor) -> float:
    """The share of the targets' variance that is explained; 1 is perfect."""
    variance = targets.reshape(-1).double().var(correction=0).item()
    return 1 - mse(outputs, targets) / variance if variance else float("nan")


def _perplexity(loss: float) -> float:
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("accuracy", True, lambda o, t, loss: accuracy(o, t)),
        Metric("error", False, lambda o, t, loss: 1 - accuracy(o, t)),
        Metric("loss", False, lambda o, t, loss: loss),
        Metric("mse", False, lambda o, t, loss: mse(o, t)),
        Metric("mae", False, lambda o, t, loss: mae(o, t)),
        Metric("r2", True, lambda o, t, loss: r2(o, t)),
        Metric("perplexity", False, lambda o, t, loss: _perplexity(loss)),
    )
}  # fmt: skip
"""The metrics known by name. Loss and perplexity are computed from the task's loss."""
