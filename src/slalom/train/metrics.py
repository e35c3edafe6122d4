"""What a task is judged by, on its whole validation set.

To add a metric, write its function here under :func:`metric`: its name is then known to every task.
The definitions are those of sklearn.metrics where it has them, and the tests hold them to it. The
common ones are computed by torch, since a race evaluates thousands of times, and sklearn's checks
of its input take longer than a step of a small model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from slalom.errors import InputError

Of = Literal["classes", "scores", "values", "outputs", "loss", "model"]
"""What a metric is computed from: (predicted, true) classes; (probabilities, true classes);
(values, true values) as float64 columns; (outputs, targets) as they are; the mean loss; the model
itself with the batches of the validation set."""


@dataclass(frozen=True)
class Metric:
    """A named measure of a model: what it is ``of`` -> a number."""

    name: str
    higher_is_better: bool
    of: Of
    measure: Callable[..., Any]


METRICS: dict[str, Metric] = {}
"""The metrics known by name."""


def metric(*, higher_is_better: bool, of: Of) -> Callable[..., Any]:
    """Enter a function into :data:`METRICS` under its own name; see :data:`Of`."""

    def enter(function: Any) -> Any:
        name = function.__name__
        METRICS[name] = Metric(name, higher_is_better, of, function)
        return function

    return enter


@metric(higher_is_better=True, of="classes")
def accuracy(predicted: Tensor, true: Tensor) -> float:
    """The share of decisions that are right; of several labels a sample, each is a decision."""
    return (predicted == true).double().mean().item()


@metric(higher_is_better=False, of="classes")
def error(predicted: Tensor, true: Tensor) -> float:
    """The share of decisions that are wrong."""
    return 1 - accuracy(predicted, true)


@metric(higher_is_better=True, of="classes")
def balanced_accuracy(predicted: Tensor, true: Tensor) -> float:
    """The mean over the classes of the share of each that is found."""
    if true.dim() == 2:
        raise InputError("balanced_accuracy is of one label a sample; take recall, f1 or auroc")
    return _sklearn("balanced_accuracy_score")(true.cpu(), predicted.cpu())


@metric(higher_is_better=True, of="classes")
def f1(predicted: Tensor, true: Tensor) -> float:
    """The F1 score of class 1 of two, or the mean over more classes or labels; 0 where it is
    undefined."""
    return _by_class("f1_score", predicted, true)


@metric(higher_is_better=True, of="classes")
def precision(predicted: Tensor, true: Tensor) -> float:
    """The share of what is called a class that is it: of class 1 of two, or the mean over more
    classes or labels."""
    return _by_class("precision_score", predicted, true)


@metric(higher_is_better=True, of="classes")
def recall(predicted: Tensor, true: Tensor) -> float:
    """The share of a class that is found: of class 1 of two, or the mean over more classes or
    labels."""
    return _by_class("recall_score", predicted, true)


@metric(higher_is_better=True, of="classes")
def matthews(predicted: Tensor, true: Tensor) -> float:
    """Matthews' correlation coefficient; of several labels a sample, of all decisions together, as
    torchmetrics has it."""
    return _sklearn("matthews_corrcoef")(true.reshape(-1).cpu(), predicted.reshape(-1).cpu())


@metric(higher_is_better=True, of="scores")
def auroc(scores: Tensor, true: Tensor) -> float:
    """The area under the receiver's curve; of more than two classes the mean of each against the
    rest, of several labels a sample the mean over them. NaN where a class is missing."""
    if true.dim() == 2:
        found = [auroc(s, t) for s, t in zip(scores.T, true.T, strict=True)]
        return sum(found) / len(found)
    if scores.dim() == 1 or scores.shape[1] == 2:
        positive = scores if scores.dim() == 1 else scores[:, 1]
        if len(true.unique()) < 2:
            return math.nan
        return float(_sklearn("roc_auc_score")(true.cpu(), positive.cpu()))
    if len(true.unique()) < scores.shape[1]:
        return math.nan
    labels = list(range(scores.shape[1]))
    return float(
        _sklearn("roc_auc_score")(true.cpu(), scores.cpu(), multi_class="ovr", labels=labels)
    )


@metric(higher_is_better=True, of="scores")
def average_precision(scores: Tensor, true: Tensor) -> float:
    """The area under precision over recall; of more than two classes, or of several labels a
    sample, the mean over them."""
    if true.dim() == 2:
        return float(_sklearn("average_precision_score")(true.cpu(), scores.cpu()))
    if scores.dim() == 2 and scores.shape[1] > 2:
        truth = torch.nn.functional.one_hot(true, scores.shape[1])
        return float(_sklearn("average_precision_score")(truth.cpu(), scores.cpu()))
    positive = scores if scores.dim() == 1 else scores[:, 1]
    return float(_sklearn("average_precision_score")(true.cpu(), positive.cpu()))


@metric(higher_is_better=True, of="scores")
def top5(scores: Tensor, true: Tensor) -> float:
    """The share of targets among the five classes with the largest scores."""
    if scores.dim() == true.dim() or scores.shape[1] <= 5:
        raise InputError("top5 needs more than 5 classes; take accuracy")
    return (scores.topk(5).indices == true[:, None]).any(1).double().mean().item()


@metric(higher_is_better=False, of="loss")
def loss(mean: float) -> float:
    """The task's own loss."""
    return mean


@metric(higher_is_better=False, of="values")
def mse(predicted: Tensor, true: Tensor) -> float:
    """The mean squared error."""
    return (predicted - true).square().mean().item()


@metric(higher_is_better=False, of="values")
def rmse(predicted: Tensor, true: Tensor) -> float:
    """The root of the mean squared error."""
    return (predicted - true).square().mean().sqrt().item()


@metric(higher_is_better=False, of="values")
def mae(predicted: Tensor, true: Tensor) -> float:
    """The mean absolute error."""
    return (predicted - true).abs().mean().item()


@metric(higher_is_better=True, of="values")
def r2(predicted: Tensor, true: Tensor) -> float:
    """The share of the targets' variance that is explained, at most 1; the mean over columns.

    NaN where a column of the targets does not vary.
    """
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


RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(
        ("accuracy", "error", "balanced_accuracy", "f1", "precision", "recall", "auroc",
         "average_precision", "top5"), (0.0, 1.0),
    ),
    "matthews": (-1.0, 1.0), "r2": (-math.inf, 1.0), "perplexity": (0.0, math.inf),
    **dict.fromkeys(("mse", "rmse", "mae"), (0.0, math.inf)),
}  # fmt: skip
"""What values a metric can have, where that is less than all."""

NEVER_NEGATIVE = (
    nn.CrossEntropyLoss, nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.MultiMarginLoss,
    nn.SoftMarginLoss,
)  # fmt: skip
"""Losses that are 0 at the least, whatever outputs and targets are."""


def range_of(metric: Metric, loss: Any) -> tuple[float, float]:
    """The values that a metric can have, of a task with this loss."""
    if METRICS.get(metric.name) is not metric:
        return -math.inf, math.inf
    if metric.of == "loss" and isinstance(loss, NEVER_NEGATIVE):
        return (1.0 if metric.name == "perplexity" else 0.0), math.inf
    return RANGES.get(metric.name, (-math.inf, math.inf))


def _sklearn(name: str) -> Any:
    """A function of sklearn.metrics, which takes long to import."""
    import sklearn.metrics

    return getattr(sklearn.metrics, name)


def _by_class(name: str, predicted: Tensor, true: Tensor) -> float:
    two = true.dim() == 1 and max(int(true.max()), int(predicted.max())) < 2
    average = "binary" if two else "macro"
    score = _sklearn(name)
    return float(score(true.cpu(), predicted.cpu(), average=average, zero_division=0))
