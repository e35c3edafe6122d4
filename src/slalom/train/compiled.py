"""Runs whose models are gone through by machine code of our own."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import (
    _global_optimizer_post_hooks,
    _global_optimizer_pre_hooks,
)

from slalom.train.criterion import criterion_of
from slalom.train.evaluation import Tally
from slalom.train.guarded import GuardedRun
from slalom.train.metrics import METRICS
from slalom.train.models import judging
from slalom.train.net import Net
from slalom.train.objective import Supervised
from slalom.train.row import UnservedError
from slalom.train.run import Run
from slalom.train.task import Task

STEP_HOOKS = _global_optimizer_pre_hooks, _global_optimizer_post_hooks


class CompiledRun(Run):
    """A run whose way through the model, the loss and back is machine code, where batches are such
    as that takes, and torch's otherwise. It agrees with :class:`Run` to rounding, not to the bit,
    and draws the same random numbers.

    Attributes:
        served: updates whose gradients machine code has computed.
    """

    def __init__(self, *given: Any, **options: Any):
        super().__init__(*given, **options)
        self.served, self._alone = 0, False
        self._seen: set[int] = set()
        self._nets: dict[int, Net] = {}

    def advance(self, steps: int) -> float:
        """As of a :class:`Run`."""
        self._alone, self._seen = self._is_alone(), set()
        try:
            return super().advance(steps)
        finally:
            self._alone = False

    def _drawing(self) -> contextlib.AbstractContextManager[None]:
        net = self._net(self.model) if self._alone else None
        return super()._drawing() if net is None or net.draws else contextlib.nullcontext()

    def _is_alone(self) -> bool:
        """Whether an update runs no code but ours and torch's, so that model and loss are looked at
        once for many of them."""
        given: Any = self.optimizer
        if not f"{type(given).__module__}.".startswith(("torch.optim.", "slalom.optim.")):
            return False
        hooks = given._optimizer_step_pre_hooks, given._optimizer_step_post_hooks, *STEP_HOOKS
        return (
            not any(hooks) and self._pace.scheduler is None
            and self.task.train.arrays is not None and criterion_of(self.task.loss) is not None
        )  # fmt: skip

    def _net(self, model: nn.Module) -> Net | None:
        """What goes through a model as it is now."""
        net = self._nets.get(id(model))
        if net is not None and ((self._alone and id(model) in self._seen) or net.holds()):
            self._seen.add(id(model))
            return net
        try:
            if _refusal(self.task) is not None:
                return None
            objective: Any = self.objective
            net = self._nets[id(model)] = Net(model, objective.of)
        except UnservedError:
            return None
        return net if net.holds() else None  # somebody looks on

    def _learn(self, batch: Any) -> float:
        if (net := self._net(self.model)) is None:
            return super()._learn(batch)
        objective: Any = self.objective
        objective.updates = self.step
        inputs, targets = objective.parts(batch)
        given = net.inputs(inputs)
        loss = None if given is None else net.learn(given, targets)
        if loss is None:
            return super()._learn(batch)
        self.served += 1
        return loss

    def _summed(self, drawn: Iterable[tuple[Any, int]], batches: Any, **more: Any) -> float:
        """As of a :class:`Run`, of the gradients of batches one by one."""
        reduction, whole = self._reduction, self._whole
        samples = self.task.n_train if whole else sum(n for _, n in batches)
        summed = reduction.kind == "sum" and not whole
        found: list[Tensor | None] = [None] * len(self._parameters)
        total, weights = 0.0, 0.0
        for batch, n in drawn:
            factor, weight = reduction.shares(batch, n)
            if factor == 0.0:  # all of its targets are ignored
                continue
            self.clear()
            total += factor * self._learn(batch)
            weights += weight
            share = 1.0 if summed else factor
            for place, parameter in enumerate(self._parameters):
                if (own := parameter.grad) is not None:
                    before = found[place]
                    found[place] = own * share if before is None else before.add_(own, alpha=share)
        self.clear()
        if not weights:
            return math.nan
        for parameter, gradient in zip(self._parameters, found, strict=True):
            if gradient is not None:
                parameter.grad = gradient if summed else gradient / (
                    samples if reduction.kind == "sum" else weights
                )  # fmt: skip
        return total / weights

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
        task, objective, total, weights, right = self.task, self.objective, 0.0, 0.0, 0.0
        assert isinstance(objective, Supervised)
        for batch, _ in task.valid.chunks(task.chunk(task.valid)):
            inputs, targets = objective.parts(batch)
            given = net.inputs(inputs)
            found = None if given is None else net.right(given, targets)
            if found is None or not math.isfinite(found[0]):  # torch's way with what is no number
                return None
            total, weights, right = total + found[0], weights + found[1], right + found[2]
        share = right / task.n_valid
        return total / weights, share if task.metric.name == "accuracy" else 1 - share


class CompiledGuardedRun(CompiledRun, GuardedRun):
    """Both."""


def refusal(task: Task, seed: int) -> str | None:
    """Why machine code does not go through the models of a task; None where it does."""
    if (why := _refusal(task)) is not None:
        return why
    objective: Any = task.make_objective()
    try:
        Net(task.make_model(seed), objective.of)
    except UnservedError as error:
        return str(error)
    return None


def _refusal(task: Task) -> str | None:
    if not isinstance(task.objective, Supervised):
        return "its loss is no function of outputs and targets alone"
    if any(task.objective.modules_that_learn()):
        return "its loss learns"
    if task.precision is not None:
        return "it has a precision of its own"
    return None if task.device.type == "cpu" else f"it trains on {task.device}"
