"""A task: a model, data, a loss, and the metric and target by which a race is decided."""

from __future__ import annotations

import copy
import difflib
import math
from collections.abc import Callable, Iterable
from functools import cached_property
from numbers import Integral
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from slalom.errors import InputError
from slalom.train.evaluation import judge
from slalom.train.metrics import METRICS, Metric
from slalom.train.reduction import Reduction, reduction_of
from slalom.train.rng import RandomStream
from slalom.train.samples import Samples, moved
from slalom.train.sanity import sanity_check

EPOCHS = 30
"""The cap of one run, in epochs, where the task names none."""


class Task:
    """What is to be trained, and when it counts as trained.

    Args:
        model: a callable without arguments that makes the untrained ``nn.Module``, called under
            the seed of a run; or a module, of which each run trains a copy with every layer's
            ``reset_parameters`` called under the seed. Trained weights are lost so; a function
            that loads them keeps them.
        loss: (output, target) -> one number, the mean over the batch (or an ``nn`` loss, also
            with ``reduction="sum"``).
        train: (inputs, targets) as tensors or NumPy arrays, a ``Dataset`` of such pairs, or a
            ``DataLoader``, whose batch size is taken.
        valid: the same, of what is evaluated.
        metric: the name of one of :data:`slalom.train.metrics.METRICS`, such as accuracy, or a
            function (outputs, targets) -> number of the whole validation set. One that is about
            classes reads them by :func:`slalom.train.metrics.predicted_classes`.
        target: the value of the metric to reach; None to let the race find one.
        batch_size: samples in an update.
        higher_is_better: whether a larger value of a metric that is a function is better.
        max_steps: updates after which a run ends; by default those of 30 epochs, at least 500.
        eval_every: updates between evaluations; by default a quarter of an epoch, 5 to 100.
        name: what the task is called.
        device: where to train.
        replacement: draw each batch from all samples, instead of every sample once an epoch.
        held_out: whether ``valid`` is data that is not trained on; by default found out, which
            can be told of tensors, arrays and of parts of one dataset.
        parameter_groups: model -> what its optimizer is given instead of ``model.parameters()``,
            as in torch: groups with options of their own, or some of the parameters alone.

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
        replacement: bool = False,
        held_out: bool | None = None,
        parameter_groups: Callable[[nn.Module], Iterable[Any]] | None = None,
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
        self.device = torch.device(device)
        if isinstance(loss, nn.Module) and self.device.type != "cpu":
            loss = copy.deepcopy(loss).to(self.device)  # its class weights
        self.model, self.loss, self.name = model, loss, name
        self.replacement, self.parameter_groups = replacement, parameter_groups
        self._held_out = held_out
        self.train, self.valid = Samples(train, "train"), Samples(valid, "valid")
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
        if max_steps is None:
            max_steps = max(500, EPOCHS * per_epoch)
        if eval_every is None:
            eval_every = min(100, max(5, per_epoch // 4))
        self.max_steps = _whole("max_steps", max_steps)
        self.eval_every = _whole("eval_every", eval_every)

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

    @cached_property
    def judged_on(self) -> Literal["held-out data", "the training data"]:
        """What the metric is measured on, as a report is to say it."""
        held_out = self._held_out
        if held_out is None:
            held_out = not self.valid.within(self.train)
        return "held-out data" if held_out else "the training data"

    def reached(self, value: float) -> bool:
        """Whether this value of the metric is at the target or past it; False without a target."""
        if self.target is None:
            return False
        return value >= self.target if self.higher_is_better else value <= self.target

    def make_model(self, seed: int) -> nn.Module:
        """The untrained model of a seed; the global random numbers stay as they are."""
        with RandomStream(seed, self.device):
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

    def parameters(self, model: nn.Module) -> Iterable[Any]:
        """What the optimizer of a model is given: its parameters, or groups of them."""
        if self.parameter_groups is not None:
            return self.parameter_groups(model)
        return [p for p in model.parameters() if p.requires_grad]

    @cached_property
    def reduction(self) -> Reduction:
        """How the loss sums up its batch."""

        def sample() -> tuple[Any, Any, int]:
            n = min(self.batch_size, self.n_train)
            inputs, targets = (moved(x, self.device) for x in self.train.span(0, n))
            with torch.no_grad():
                return self.make_model(0).eval()(inputs), targets, n

        with RandomStream(0, self.device):
            return reduction_of(self.loss, sample)

    def judge(self, model: nn.Module) -> tuple[float, float]:
        """(mean loss, metric) on the validation set, of a model in the mode it is in."""
        return judge(model, self.valid, self.loss, self.metric, self.reduction, self.device)

    def check(self) -> None:
        """Raise :class:`InputError` for what would go wrong in the first steps of a run."""
        sanity_check(
            lambda: self.make_model(0), self.loss, self.train, self.valid, self.batch_size,
            self.device, self.judge, self.metric.name,
        )  # fmt: skip


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
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise InputError(f"{name} is {value!r}; it must be a whole number from 1 on")
    return int(value)
