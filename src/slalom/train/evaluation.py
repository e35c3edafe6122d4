"""How good a model is: its loss and its metric on the whole validation set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from slalom.train.samples import joined, moved

if TYPE_CHECKING:
    from slalom.train.task import Task

CHUNK = 1024
"""Samples of the validation set that go through the model at a time."""


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


def judge(model: nn.Module, task: Task) -> tuple[float, float]:
    """(mean loss, metric) on the validation set, of a model in the mode it is in.

    Of a loss that is neither the mean nor the sum of those of its samples, the mean over chunks of
    :data:`CHUNK` samples.
    """
    outputs, truths, total, weights = [], [], 0.0, 0.0
    n = task.n_valid
    with torch.no_grad():
        for begin in range(0, n, CHUNK):
            batch = task.valid.span(begin, begin + CHUNK)
            inputs, targets = (moved(x, task.device) for x in batch)
            output = model(inputs)
            factor, weight = task.reduction.shares(targets, min(CHUNK, n - begin))
            if factor:
                total += factor * task.loss(output, targets).item()
                weights += weight
            outputs.append(output)
            truths.append(targets)
        loss = total / weights if weights else math.nan
        return loss, float(task.metric.measure(joined(outputs), joined(truths), loss))
