"""A task: a model, data, a loss, and the metric and target by which a race is decided."""

from __future__ import annotations

import copy
import difflib
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from slalom.errors import InputError
from slalom.train.gradient import check_reduction
from slalom.train.metrics import METRICS, Metric
from slalom.train.samples import Samples, moved

EPOCHS = 30
"""The cap of one run, in epochs, where the task names none."""


class Task:
    """What is to be trained, and when it counts as trained.

    Args:
        model: a callable without arguments that makes the untrained ``nn.Module``, called under
            the seed of a run; or a module, of which each run trains a copy with every layer's
            ``reset_parameters`` called under the seed.
        loss: (output, target) -> one number, the mean over the batch (or an ``nn`` loss, also
            with ``reduction="sum"``).
        train, valid: (inputs, targets) as tensors or NumPy arrays, a ``Dataset`` of such pairs, or
            a ``DataLoader``, whose batch size is taken.
        metric: a name (accuracy, error, loss, mse, mae, r2, perplexity) or a function
            (outputs, targets) -> number of the whole validation set.
        target: the value of the metric to reach; None to let the race find one.
        batch_size: samples in an update.
        higher_is_better: whether a larger value of a metric that is a function is better.
        max_steps: updates after which a run ends; by default those of 30 epochs, at least 500.
        eval_every: updates between evaluations; by default a quarter of an epoch, 5 to 100.
        name: what the task is called.
        device: where to train.

    Raises :class:`InputError` for what cannot be used. :meth:`check` finds the rest.
    """

    def __init__(
        self,
        model: Callable[[], nn.Module] | nn.Module,
        loss: Callable[[Any, Any], Tensor],
        train: Any,
        valid: Any,
        metric: str | Callable[[Tensor, Tensor], float] = "accuracy",
        target: float | None = None,
        batch_size: int | None = None,
        *,
        higher_is_better: bool | None = None,
        max_steps: int | None = None,
        eval_every: int | None = None,
        name: str = "task",
        device: str | torch.device = "cpu",
    ):
        if not callable(model):
            raise InputError(
                f"model is a {type(model).__name__}; it must be an nn.Module or a function that "
                "makes one"
            )
        if not callable(loss):
            raise InputError(f"loss is a {type(loss).__name__}; it must be callable")
        if batch_size is None and isinstance(train, DataLoader):
            batch_size = train.batch_size
        self.model, self.loss, self.name = model, loss, name
        self.train, self.valid = Samples(train, "train"), Samples(valid, "valid")
        self.device = torch.device(device)
        self.metric = _metric(metric, higher_is_better)
        self.batch_size = _whole("batch_size", 64 if batch_size is None else batch_size)
        if batch_size is None:
            self.batch_size = min(self.batch_size, self.n_train)
        if self.batch_size > self.n_train:
            raise InputError(
                f"batch_size is {self.batch_size} and train has {self.n_train} samples; it can be "
                f"{self.n_train} at most"
            )
        if target is not None and not (isinstance(target, int | float) and math.isfinite(target)):
            raise InputError(f"target is {target!r}; it must be a finite number, or None")
        self.target = target
        per_epoch = -(-self.n_train // self.batch_size)
        self.max_steps = _whole("max_steps", max_steps or max(500, EPOCHS * per_epoch))
        self.eval_every = _whole("eval_every", eval_every or min(100, max(5, per_epoch // 4)))

    @property
    def n_train(self) -> int:
        """Samples in the training set."""
        return len(self.train)

    @property
    def n_valid(self) -> int:
        """Samples in the validation set."""
        return len(self.valid)

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value of the metric is a better one."""
        return self.metric.higher_is_better

    def reached(self, value: float) -> bool:
        """Whether this value of the metric is at the target or past it; False without a target."""
        if self.target is None:
            return False
        return value >= self.target if self.higher_is_better else value <= self.target

    def make_model(self, seed: int) -> nn.Module:
        """The untrained model of a seed; the global random numbers stay as they are."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if isinstance(self.model, nn.Module):
                made = copy.deepcopy(self.model)
                for module in made.modules():
                    if callable(reset := getattr(module, "reset_parameters", None)):
                        reset()
            else:
                made = self.model()
        if not isinstance(made, nn.Module):
            raise InputError(f"model() made a {type(made).__name__}; it must make an nn.Module")
        return made.to(self.device).train()

    def check(self) -> None:
        """Raise :class:`InputError` for what would go wrong in the first step or evaluation."""
        model = self.make_model(0)
        if not any(p.requires_grad for p in model.parameters()):
            raise InputError("the model has no parameter that requires a gradient")
        k = min(self.batch_size, self.n_train)
        with torch.random.fork_rng(devices=[]):
            value = self._tried(model, self.train.span(0, k), f"a batch of {k} samples of train")
            check_reduction(value)
            value.backward()
        model.eval()
        inputs, targets = self.valid.span(0, min(256, self.n_valid))
        with torch.no_grad():
            output = self._forward(model, moved(inputs, self.device))
        try:
            self.metric.measure(output, moved(targets, self.device), 0.0)
        except Exception as error:
            raise InputError(
                f"the metric {self.metric.name} cannot be computed from outputs of shape "
                f"{_shape(output)} and targets of shape {_shape(targets)}: {_first_line(error)}"
            ) from error

    def _forward(self, model: nn.Module, inputs: Any) -> Any:
        try:
            return model(inputs)
        except Exception as error:
            raise InputError(
                f"the model fails on inputs of shape {_shape(inputs)}: {_first_line(error)}"
            ) from error

    def _tried(self, model: nn.Module, batch: tuple[Any, Any], what: str) -> Tensor:
        inputs, targets = (moved(x, self.device) for x in batch)
        output = self._forward(model, inputs)
        rows, due = (
            len(x) if isinstance(x, Tensor) and x.dim() else None for x in (output, targets)
        )
        if rows is not None and due is not None and rows != due:
            raise InputError(
                f"the model returns {rows} rows for {what}, and the targets have {due}; it must "
                "return one a sample"
            )
        if (
            isinstance(output, Tensor) and isinstance(targets, Tensor)
            and output.is_floating_point() and targets.is_floating_point()
            and output.numel() == targets.numel() and output.shape != targets.shape
        ):  # fmt: skip
            raise InputError(  # torch would broadcast them against each other, with a warning
                f"the model returns shape {_shape(output)} where the targets have "
                f"{_shape(targets)}; make the two equal"
            )
        try:
            return self.loss(output, targets)
        except Exception as error:
            raise InputError(
                f"the loss fails on outputs of shape {_shape(output)} and targets of shape "
                f"{_shape(targets)}: {_first_line(error)}"
            ) from error


def _metric(metric: Any, higher_is_better: bool | None) -> Metric:
    if isinstance(metric, str):
        if metric not in METRICS:
            near = difflib.get_close_matches(metric, METRICS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(
                f"metric {metric!r} is unknown; it is one of {', '.join(METRICS)}, or a "
                f"function{hint}"
            )
        return METRICS[metric]
    if not callable(metric):
        raise InputError(f"metric is a {type(metric).__name__}; it must be a name or a function")
    if higher_is_better is None:
        raise InputError("a metric that is a function needs higher_is_better=True or False")
    function: Any = metric
    name = getattr(function, "__name__", "metric")
    return Metric(name, higher_is_better, lambda o, t, loss: float(function(o, t)))


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} is {value!r}; it must be a whole number from 1 on")
    return value


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
