"""What a task is judged by, on its whole validation set.

To add a metric, write its function here under :func:`metric`: its name is then known to every task.
The definitions are those of sklearn.metrics where it has them, and the tests hold them to it. They
are computed by torch, since a race evaluates thousands of times, and sklearn's checks of its input
take longer than a step of a small model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from slalom.errors import InputError


@dataclass(frozen=True)
class Metric:
    """A named measure of a model: (outputs, targets, mean loss) -> a number."""

    name: str
    higher_is_better: bool
    measure: Callable[[Any, Any, float], float]


METRICS: dict[str, Metric] = {}
"""The metrics known by name."""


def metric(
    *, higher_is_better: bool, of: Literal["outputs", "loss"] = "outputs"
) -> Callable[..., Any]:
    """Enter a function into :data:`METRICS` under its own name.

    It takes (outputs, targets) of the whole validation set, or, ``of="loss"``, its mean loss.
    """

    def enter(function: Any) -> Any:
        def measure(outputs: Any, targets: Any, mean: float) -> float:
            return function(mean) if of == "loss" else function(outputs, targets)

        METRICS[function.__name__] = Metric(function.__name__, higher_is_better, measure)
        return function

    return enter


@metric(higher_is_better=True)
def accuracy(outputs: Tensor, targets: Tensor) -> float:
    """The share of targets whose class is the one that the logits are largest for."""
    return (predicted_classes(outputs, targets) == targets).double().mean().item()


@metric(higher_is_better=False)
def error(outputs: Tensor, targets: Tensor) -> float:
    """The share of targets whose class is another than the one predicted."""
    return 1 - accuracy(outputs, targets)


@metric(higher_is_better=False, of="loss")
def loss(mean: float) -> float:
    """The task's own loss."""
    return mean


@metric(higher_is_better=False)
def mse(outputs: Tensor, targets: Tensor) -> float:
    """The mean squared error."""
    predicted, true = _columns(outputs, targets)
    return (predicted - true).square().mean().item()


@metric(higher_is_better=False)
def mae(outputs: Tensor, targets: Tensor) -> float:
    """The mean absolute error."""
    predicted, true = _columns(outputs, targets)
    return (predicted - true).abs().mean().item()


@metric(higher_is_better=True)
def r2(outputs: Tensor, targets: Tensor) -> float:
    """The share of the targets' variance that is explained, at most 1; the mean over columns.

    NaN where a column of the targets does not vary.
    """
    predicted, true = _columns(outputs, targets)
    variance = true.var(0, correction=0)
    share = 1 - (predicted - true).square().mean(0) / variance
    return share.mean().item() if bool(variance.all()) else math.nan


@metric(higher_is_better=False, of="loss")
def perplexity(mean: float) -> float:
    """e to the power of the loss, which is in nats."""
    try:
        return math.exp(mean)
    except OverflowError:
        return math.inf


def predicted_classes(outputs: Tensor, targets: Tensor) -> Tensor:
    """The classes that logits decide for: int64, in the shape of the targets.

    Args:
        outputs: logits. Of C classes, (n, C) or, as torch's losses have them, (n, C, ...) with the
            classes second, or else last; of two classes also one a decision, which is for class 1
            above 0: in the shape of the targets, or with one more axis of length 1.
        targets: classes as bool, whole or floating-point numbers: (n,), (n, 1) or (n, ...).

    Raises :class:`InputError` where the shapes do not fit, where a target is no class that the
    outputs tell apart, and where targets of several columns may be shares of classes or labels.
    """
    for what, value in (("outputs", outputs), ("targets", targets)):
        if not isinstance(value, Tensor):
            raise InputError(
                f"classes are read from a tensor of {what}, not a {type(value).__name__}"
            )
    if not outputs.is_floating_point():
        raise InputError(f"classes are read from logits, and the outputs are {outputs.dtype}")
    if _is_one_a_decision(outputs, targets):
        _check_classes(targets, 2, "one output a decision tells 2")
        columns = targets.reshape(len(targets), -1)
        if columns.shape[1] > 1 and bool((columns.double().sum(1) == 1).all()):
            raise InputError(
                f"targets of shape {tuple(targets.shape)} with one 1 in each row may be classes or "
                "labels; give the classes as whole numbers, one a sample"
            )
        return (outputs > 0).long().reshape(targets.shape)
    bare = targets.squeeze(-1) if targets.dim() == outputs.dim() else targets
    for axis in (1, -1) if outputs.dim() > 1 else ():
        axes = list(outputs.shape)
        classes = axes.pop(axis)
        if axes == list(bare.shape):
            _check_classes(targets, classes, f"the outputs tell {classes}")
            return outputs.argmax(axis).reshape(targets.shape)
    raise InputError(
        f"outputs of shape {tuple(outputs.shape)} are no logits for targets of shape "
        f"{tuple(targets.shape)}; they must be (n, classes) for (n,)"
    )


def _is_one_a_decision(outputs: Tensor, targets: Tensor) -> bool:
    one_class = outputs.dim() > 1 and outputs.shape[1] == 1
    return _bare(outputs) == _bare(targets) or (
        one_class and outputs.squeeze(1).shape == targets.shape
    )


def _bare(tensor: Tensor) -> list[int]:
    """The shape without the axes of length 1 at its end; samples stay."""
    shape = list(tensor.shape)
    while len(shape) > 1 and shape[-1] == 1:
        shape.pop()
    return shape


def _check_classes(targets: Tensor, classes: int, who: str) -> None:
    values = targets.double()
    wrong = (values < 0) | (values > classes - 1) | (values != values.round())
    if bool(wrong.any()):
        raise InputError(
            f"a target is {targets[wrong][0].item()}, and {who} classes apart, which are 0 to "
            f"{classes - 1}"
        )


def _columns(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float64 (n, columns)."""
    if _bare(outputs) != _bare(targets):
        raise InputError(
            f"outputs of shape {tuple(outputs.shape)} are no values for targets of shape "
            f"{tuple(targets.shape)}; make the two equal"
        )
    n = len(targets)
    return outputs.reshape(n, -1).to(torch.float64), targets.reshape(n, -1).to(torch.float64)
