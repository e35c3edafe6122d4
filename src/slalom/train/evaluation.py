"""How good a model is: its loss and its metric on the whole validation set."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from slalom.train.metrics import Metric
from slalom.train.reduction import Loss, Reduction
from slalom.train.samples import Samples, joined, moved

CHUNK = 1024
"""Samples that go through the model at a time."""


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
    data: Samples,
    loss: Loss,
    metric: Metric,
    reduction: Reduction,
    device: torch.device,
) -> tuple[float, float]:
    """(mean loss, metric) on all samples, of a model in the mode it is in.

    Of a loss that is neither the mean nor the sum of those of its samples, the mean over chunks of
    :data:`CHUNK` samples.
    """
    outputs, truths, total, weights = [], [], 0.0, 0.0
    n = len(data)
    with torch.no_grad():
        for begin in range(0, n, CHUNK):
            batch = data.span(begin, begin + CHUNK)
            inputs, targets = (moved(x, device) for x in batch)
            output = model(inputs)
            factor, weight = reduction.shares(targets, min(CHUNK, n - begin))
            if factor:
                total += factor * loss(output, targets).item()
                weights += weight
            outputs.append(output)
            truths.append(targets)
        mean = total / weights if weights else math.nan
        return mean, float(metric.measure(joined(outputs), joined(truths), mean))
