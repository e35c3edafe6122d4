"""How good a model is: its loss and its metric on the whole validation set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from slalom.errors import InputError
from slalom.train.metrics import Metric
from slalom.train.objective import Objective
from slalom.train.reading import Reading, columns
from slalom.train.reduction import Reduction
from slalom.train.tree import joined, leaves, mapped, moved

ROOM = 1 << 22
"""Numbers that a model may compute on the way through a chunk of samples, about: 16 MiB of float32;
a chunk is never smaller than a batch of the task."""


@dataclass(frozen=True)
class Evaluation:
    """Where a run stands.

    Attributes:
        step: updates made.
        samples: training samples seen.
        seconds: spent in updates, without evaluations.
        train_loss: mean over the updates since the last evaluation; NaN before the first.
        valid_loss: mean over the validation set.
        metric: the task's, on the validation set.
    """

    step: int
    samples: int
    seconds: float
    train_loss: float
    valid_loss: float
    metric: float


def judge(
    model: nn.Module,
    objective: Objective,
    batches: Iterable[tuple[Any, int]],
    metric: Metric,
    reading: Reading,
    reduction: Reduction,
    device: torch.device,
) -> tuple[float | None, float]:
    """(mean loss, metric) over batches, of a model in the mode it is in; None where a batch has no
    loss.

    Of a loss that is neither the mean nor the sum of those of its samples, the mean over batches
    by their samples. Batches are judged one by one, and need not be of one shape.
    """
    tally = Tally(metric, reading, reduction)
    objective.begin(model)
    for given, n in batches:
        batch = moved(given, device)
        loss, outputs, targets = objective.judged(model, batch)
        tally.add(batch, n, loss if loss is None else loss.item, outputs, targets)
    objective.end()
    return tally.end(model)


class Tally:
    """What is known of one model on the way through the batches of a validation set."""

    def __init__(self, metric: Metric, reading: Reading, reduction: Reduction):
        self._metric, self._reading, self._reduction = metric, reading, reduction
        self._parts: list[Any] = []
        self._total, self._weights, self._lost = 0.0, 0.0, False
        measure = metric.measure
        self._updated = measure.start() if hasattr(measure, "start") else None

    def add(
        self, batch: Any, n: int, loss: Callable[[], float] | None, outputs: Any, targets: Any
    ) -> None:
        """A batch of ``n`` samples, with what the model made of it; ``loss`` is called if it
        counts, and None where there is none."""
        self.weigh(self._reduction.shares(batch, n), loss)
        metric = self._metric
        if metric.of == "model":
            self.keep(batch)
        elif self._updated is not None:
            self._updated.update(detached(outputs), targets)
        elif metric.of != "loss":
            self.keep(read(metric, self._reading, detached(outputs), targets))

    def weigh(self, shares: tuple[float, float], loss: Callable[[], float] | None) -> None:
        """Take the loss of a batch, by its shares of the mean."""
        factor, weight = shares
        if loss is None:
            self._lost = True
        elif factor:
            self._total += factor * loss()
            self._weights += weight

    def keep(self, part: Any) -> None:
        """Take what the metric is computed from, of a batch."""
        self._parts.append(part)

    def end(self, model: nn.Module) -> tuple[float | None, float]:
        """(mean loss or None where there is none, metric) over what was added."""
        metric = self._metric
        known = self._total / self._weights if self._weights else math.nan
        mean = None if self._lost else known
        if metric.of == "loss":
            if mean is None:
                raise InputError("the step returns no loss, and the metric is made of it")
            return mean, float(metric.measure(mean))
        if metric.of == "model":
            return mean, float(metric.measure(model, self._parts))
        if self._updated is not None:
            return mean, self._updated.compute()
        try:
            together = joined(self._parts)
        except ValueError as error:
            raise InputError(
                f"the metric {metric.name} is a function of all outputs, and {error}; take one by "
                "name, a torchmetrics object, or a function (model, loader) -> number"
            ) from error
        return mean, float(metric.measure(*together))


def read(metric: Metric, reading: Reading, outputs: Any, targets: Any) -> tuple[Any, Any]:
    """What a metric of outputs and targets is computed from, of one batch."""
    if metric.of == "classes":
        return reading.classes(outputs, targets)
    if metric.of == "scores":
        return reading.scores(outputs, targets)
    return columns(outputs, targets) if metric.of == "values" else (outputs, targets)


def detached(outputs: Any) -> Any:
    """Outputs without what led to them, where the model computes gradients of its own."""
    return mapped(lambda o: o.detach() if isinstance(o, torch.Tensor) else o, outputs)


def numbers_on_the_way(call: Callable[[], Any]) -> int:
    """How many numbers a call computes, views apart; 0 where that cannot be seen."""
    counting = _Counting()
    try:
        with counting:
            call()
    except Exception:  # a compiled model, which allows nobody to look on
        return 0
    return counting.numbers


class _Counting(TorchDispatchMode):
    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not getattr(func, "is_view", False):
            self.numbers += sum(x.numel() for x in leaves(out) if isinstance(x, torch.Tensor))
        return out
