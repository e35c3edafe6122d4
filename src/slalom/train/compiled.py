"""Runs whose models are gone through by machine code of our own."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
from torch import nn

from slalom.train.evaluation import Tally
from slalom.train.metrics import METRICS
from slalom.train.models import judging
from slalom.train.net import Net, layers_of
from slalom.train.objective import Supervised
from slalom.train.run import Run
from slalom.train.task import Task


class CompiledRun(Run):
    """A run whose way through the model, the loss and back is machine code, where batches are such
    as that takes, and torch's otherwise. It agrees with :class:`Run` to rounding, not to the bit.
    """

    def __init__(self, *given: Any, **options: Any):
        super().__init__(*given, **options)
        self._nets: dict[int, Net | None] = {}

    def _net(self, model: nn.Module) -> Net | None:
        if id(model) not in self._nets:
            objective: Any = self.objective
            layers = layers_of(model) if _served(self.task) else None
            self._nets[id(model)] = None if layers is None else Net(model, layers, objective.of)
        return self._nets[id(model)]

    def _gradient(self, batches: Any) -> float:
        net, kind, n = self._net(self.model), self.task.reduction.kind, self.task.n_train
        if net is None:
            return super()._gradient(batches)
        if self._whole:  # whose mean is asked for
            several = () if kind == "sum" or self._part < n else tuple(batches())
        else:
            several = batches
        if len(several) != 1:
            return super()._gradient(batches)
        batch, n = several[0]
        objective: Any = self.objective
        objective.updates = self.step
        inputs, targets = objective.parts(batch)
        if (given := net.inputs(inputs)) is None:
            return super()._gradient(batches)
        loss = net.learn(given, targets)
        return loss / n if kind == "sum" else loss

    def _judge(self) -> tuple[float, float]:
        task, objective, net = self.task, self.objective, self._net(self.judged)
        if net is None or task.metric.of == "model" or not isinstance(objective, Supervised):
            return super()._judge()
        own = METRICS.get(task.metric.name) is task.metric  # which draws no random numbers
        if own and task.metric.name in ("accuracy", "error") and task.reduction.kind == "mean":
            with self.at_their_best():
                if (right := self._right(net)) is not None:
                    return right
        tally = Tally(task.metric, task.reading, task.reduction)
        with contextlib.ExitStack() as left:
            left.enter_context(self.at_their_best())
            left.enter_context(judging(objective.modules()))
            left.enter_context(torch.no_grad())
            if not (net.known and own):
                self._judging.seed(self.seed)
                left.enter_context(self._judging)
            for batch, n in task.valid.chunks(task.chunk(task.valid)):
                inputs, targets = objective.parts(batch)
                if (given := net.inputs(inputs)) is None:
                    return super()._judge()
                loss, outputs = net.judged(given, targets)
                tally.add(batch, n, lambda value=loss: value, outputs, targets)
            found: Any = tally.end(self.judged)
        return found

    def _right(self, net: Net) -> tuple[float, float] | None:
        """(the mean loss, the share of classes told right or wrong), where that is all."""
        task, objective, total, right = self.task, self.objective, 0.0, 0.0
        assert isinstance(objective, Supervised)
        for batch, n in task.valid.chunks(task.chunk(task.valid)):
            inputs, targets = objective.parts(batch)
            given = net.inputs(inputs)
            found = None if given is None else net.right(given, targets)
            if found is None or not math.isfinite(found[0]):  # torch's way with what is no number
                return None
            total, right = total + n * found[0], right + found[1]
        share = right / task.n_valid
        return total / task.n_valid, share if task.metric.name == "accuracy" else 1 - share


def serves(task: Task, seed: int) -> bool:
    """Whether machine code goes through the models of a task."""
    return _served(task) and layers_of(task.make_model(seed)) is not None


def _served(task: Task) -> bool:
    return (
        isinstance(task.objective, Supervised) and not any(task.objective.modules_that_learn())
        and task.precision is None and task.device.type == "cpu"
    )  # fmt: skip
