"""A task: a model, data, what is done with a batch, and the metric and target that decide."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn

from slalom.errors import InputError
from slalom.train import evaluation
from slalom.train.adapters import FromElsewhere
from slalom.train.budget import Budget, Lasting
from slalom.train.evaluation import numbers_on_the_way
from slalom.train.given import above_zero, dtype_of, finite, usable_device, whole_number
from slalom.train.gradient import refuse_what_chunks_change
from slalom.train.groups import Parameters, scaled
from slalom.train.models import judging, made_anew, refuse_lazy, to_train
from slalom.train.objective import Objective, Supervised, objective_of
from slalom.train.own_metric import metric_of
from slalom.train.reduction import Reduction, reduction_of
from slalom.train.rng import RandomStream
from slalom.train.samples import Samples
from slalom.train.sanity import sanity_check
from slalom.train.schedule import Schedule
from slalom.train.tree import moved
from slalom.train.turns import InTurn

EPOCHS = 30
"""The cap of one run, in epochs, where the task names none."""

WHOLE = 1 << 27
"""Numbers on the way up to which all samples go through a model at once if they must."""


class Task(FromElsewhere, Lasting):
    """What is to be trained, how, and when it counts as trained.

    Args:
        model: a callable without arguments that makes the untrained ``nn.Module``, called under
            the seed of a run; or a module, of which each run trains a copy whose trainable
            parameters start anew by the ``reset_parameters`` of its layers; frozen ones keep their
            values. Parts in eval mode stay there.
        loss: (outputs, targets) -> one number, the mean over the batch (or an ``nn`` loss, also
            with ``reduction="sum"``). Its own parameters are trained with the model's. None for a
            model that takes a batch as keywords and returns its loss, or where ``step`` is given.
        train: (inputs, targets) as tensors or NumPy arrays; any other structure of them, a frame,
            a dataset, an iterable one, or a ``DataLoader``, whose way of drawing, cutting and
            loading is kept: see :class:`slalom.train.samples.Samples`. For a ``loss``, the last
            part of a batch is its targets, and those before are the model's arguments.
        valid: the same, of what is evaluated.
        metric: the name of one of :data:`slalom.train.metrics.METRICS`, such as accuracy; a
            function (outputs, targets) -> number of the whole validation set, or (model, loader)
            -> number; a function of sklearn.metrics; or a torchmetrics object. Classes are read
            from outputs as the loss reads them. By default accuracy, or the loss where there are no
            outputs.
        target: the value of the metric to reach; None to let the race find one.
        batch_size: samples that go through the model at a time; by default the DataLoader's, or 64.
        step: (model, batch) -> the loss of a batch, in place of ``loss``; or such a function for
            each part of the model that is trained in turn, ``{"critic": ..., "generator": ...}``.
        predict: (model, batch) -> (outputs, targets) for the metric, where ``step`` is given.
        accumulate: batches whose gradients make one update, weighted so that it is that of the
            large batch.
        clip_norm: bound of the gradients' norm.
        clip_value: bound of each of their numbers.
        precision: ``"bfloat16"`` or ``"float16"`` to run the model under autocast, the latter with
            a gradient scaler.
        ema: the decay of an exponential average of the weights, which is what is evaluated.
        schedule: how the learning rates change: ``"cosine"``, ``"linear"``, ``"wsd"``,
            ``"one_cycle"``, a function (step, total) -> factor, or what makes a torch scheduler of
            an optimizer; ``total`` is what ``max_steps`` is for the run.
        warmup: updates in which the rate rises; below 1 a share of the run.
        schedule_every: what a torch scheduler counts, ``"step"`` or ``"epoch"``.
        higher_is_better: whether a larger value of a metric that is a function is better.
        max_steps: updates after which a run ends; by default those of 30 epochs, at least 500.
        budget: the other question, in place of ``target``: who is best after ``"10 epochs"``,
            ``"2000 steps"``, ``"1e6 samples"`` or ``"90 seconds"``, which is then what
            ``max_steps`` is.
        eval_every: updates between evaluations; by default a quarter of an epoch, 5 to 100.
        name: what the task is called.
        device: where to train.
        replacement: draw each batch from all samples, instead of every sample once an epoch.
        held_out: whether ``valid`` is data that is not trained on; by default found out, which
            can be told of tensors, arrays and of parts of one dataset.
        parameter_groups: model -> what its optimizer is given instead of ``model.parameters()``,
            as in torch: groups with options of their own, or some of the parameters alone. A
            group's ``lr`` is a factor on the optimizer's; see :func:`slalom.train.groups.scaled`.

    Attributes:
        batch_size: samples in an update, all accumulated batches together.
        compiled: whether runs go through the model by machine code of ours; see :mod:`.compiled`.

    Raises :class:`InputError` for what cannot be used. :meth:`check` finds the rest.
    """

    def __init__(
        self,
        model: Callable[[], nn.Module] | nn.Module,
        loss: Callable[[Any, Any], Tensor] | Objective | None = None,
        train: Any = None,
        valid: Any = None,
        metric: Any = None,
        target: float | None = None,
        batch_size: int | None = None,
        *,
        step: Callable[[nn.Module, Any], Tensor | None] | Mapping[str, Any] | None = None,
        predict: Callable[[nn.Module, Any], tuple[Any, Any]] | None = None,
        accumulate: int = 1,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        precision: str | None = None,
        ema: float | None = None,
        schedule: Any = None,
        warmup: float = 0,
        schedule_every: Literal["step", "epoch"] = "step",
        higher_is_better: bool | None = None,
        max_steps: int | None = None,
        eval_every: int | None = None,
        name: str = "task",
        device: str | torch.device = "cpu",
        replacement: bool = False,
        held_out: bool | None = None,
        parameter_groups: Callable[[nn.Module], Iterable[Any]] | None = None,
        budget: str | Budget | None = None,
    ):
        if not callable(model):
            raise InputError(
                f"model is a {type(model).__name__}; it must be an nn.Module or a function that "
                "makes one"
            )
        for what, data in (("train", train), ("valid", valid)):
            if data is None:
                raise InputError(f"{what} is missing; give the data as {what}=")
        self.device = usable_device(device)
        self.model, self.name = model, name
        in_turn = isinstance(step, Mapping)
        self.objective = InTurn(step, predict) if in_turn else objective_of(loss, step, predict)
        self.reading = self.objective.reading
        self.metric = metric_of(
            ("accuracy" if self.objective.judges else "loss") if metric is None else metric,
            higher_is_better, self.reading,
        )  # fmt: skip
        if not self.objective.judges and self.metric.of not in ("loss", "model"):
            raise InputError(
                f"the metric {self.metric.name} needs outputs; give predict=, a function (model, "
                "batch) -> (outputs, targets)"
            )
        if in_turn and (loss is not None or self.metric.of == "loss"):
            raise InputError(
                "a model in parts has no one loss that says how good it is; give metric=, such as "
                "a function (model, loader) -> number, and no loss="
            )
        self.replacement, self.parameter_groups = replacement, parameter_groups
        self._held_out = held_out
        self.train, self.valid = Samples(train, "train"), Samples(valid, "valid")
        self.accumulate = whole_number("accumulate", accumulate)
        self.clip_norm = above_zero("clip_norm", clip_norm)
        self.clip_value = above_zero("clip_value", clip_value)
        self.precision = dtype_of(precision)
        if ema is not None and not (isinstance(ema, int | float) and 0 < ema < 1):
            raise InputError(f"ema is {ema!r}; it must be a decay between 0 and 1, such as 0.999")
        self.ema = ema
        self.schedule = Schedule(schedule, warmup, schedule_every)
        size = self.train.batch_size if batch_size is None else batch_size
        size = whole_number("batch_size", 64 if size is None else size)
        if batch_size is None:
            size = min(size, self.n_train)
        self.batch_size = size * self.accumulate
        if self.batch_size > self.n_train:
            raise InputError(
                f"batch_size is {self.batch_size} and train has {self.n_train} samples; it can be "
                f"{self.n_train} at most"
            )
        if batch_size is not None and self.train.cut:
            raise InputError("train makes its own batches; leave batch_size out")
        self.target = finite("target", target)
        per_epoch = -(-self.n_train // self.batch_size)
        if budget is not None and max_steps is not None:
            raise InputError("budget says how long a run is; leave max_steps out")
        if max_steps is None:
            max_steps = max(500, EPOCHS * per_epoch)
        if eval_every is None:
            eval_every = min(100, max(5, per_epoch // 4))
        self.max_steps = whole_number("max_steps", max_steps)
        self.eval_every = whole_number("eval_every", eval_every)
        self._graded = False  # whether evaluating needs autograd
        self._followed = self.compiled = False
        if budget is not None and target is not None:
            raise InputError(
                "target asks who is there soonest, and budget who is best at its end; give one"
            )
        if budget is not None:
            self._last(budget)

    @property
    def training(self) -> dict[str, Any]:
        """How it is trained beside its loss: two tasks that differ here train otherwise."""
        drawn = [samples.first_epoch() for samples in (self.train, self.valid)]
        return {
            "accumulate": self.accumulate, "clip_norm": self.clip_norm, "ema": self.ema,
            "clip_value": self.clip_value, "precision": str(self.precision),
            "schedule": self.schedule, "drawn": drawn,
        }  # fmt: skip

    @property
    def plainly_trained(self) -> bool:
        """Whether an update is the gradient of a loss of outputs and targets, and nothing more."""
        return (
            isinstance(self.objective, Supervised) and not any(self.objective.modules_that_learn())
            and self.accumulate == 1 and self.clip_norm is None and self.clip_value is None
            and self.precision is None and self.ema is None and not self.schedule.acts
        )  # fmt: skip

    @property
    def loss(self) -> Any:
        """The loss of outputs and targets that was given; None if there is none."""
        return self.objective.of if isinstance(self.objective, Supervised) else None

    def __repr__(self) -> str:
        goal = "no target" if self.target is None else f"target {self.target:.4g}"
        goal = goal if self.budget is None else f"after {self.budget}"
        return (
            f"Task {self.name}: {self.metric.name}, {goal}; {self.n_train:,} samples to train on, "
            f"{self.n_valid:,} to validate on; batches of {self.batch_size:,}, at most "
            f"{self.max_steps:,} steps"
        )

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
            made = made_anew(self.model) if isinstance(self.model, nn.Module) else self.model()
        if not isinstance(made, nn.Module):
            raise InputError(f"model() made a {type(made).__name__}; it must make an nn.Module")
        refuse_lazy(made)
        if not self._followed:
            dtype = next((p.dtype for p in made.parameters() if p.is_floating_point()), None)
            for samples in (self.train, self.valid):
                samples.follow(dtype or torch.get_default_dtype())
            self._followed = True
        return to_train(made.to(self.device))

    def make_objective(self) -> Objective:
        """What is done with batches, for one run."""
        made = self.objective.fresh(self.device)
        made.length = self.max_steps
        return made

    def parameters(
        self, model: nn.Module, objective: Objective | None = None, **base: float
    ) -> Iterable[Any]:
        """What the optimizer of a model is given: its parameters, or groups of them; and those of
        the loss that is trained with it (``objective``, by default the task's own). ``base`` are
        options of the optimizer that those of groups are relative to."""
        if self.parameter_groups is not None:
            return scaled(self.parameter_groups(model), base)
        modules = (model, *(objective or self.objective).modules_that_learn())
        found = [
            [p for p in m.parameters() if p.is_floating_point() or p.is_complex()] for m in modules
        ]  # frozen ones too: the model may thaw them
        return Parameters(chain.from_iterable(found), None if found[1:] else model)

    @cached_property
    def reduction(self) -> Reduction:
        """How the loss sums up its batch."""
        if self.objective.reduction is not None:
            return self.objective.reduction

        def measured() -> tuple[Callable[[Any], Tensor], Any, int]:
            n = min(self.batch_size, self.n_train)
            batch = moved(self.train.span(0, n), self.device)
            model, objective = self.make_model(0).eval(), self.make_objective()
            if isinstance(objective, Supervised):
                inputs, targets = objective.parts(batch)
                loss = objective.of
                return self._apart(lambda pair: loss(*pair)), (model(*inputs), targets), n
            return self._apart(lambda batch: objective.loss(model, batch)), batch, n

        with RandomStream(0, self.device), self.numbers():
            return reduction_of(self.loss, measured)

    def _apart(self, loss: Callable[[Any], Tensor]) -> Callable[[Any], Tensor]:
        def measured(batch: Any) -> Tensor:
            with torch.set_grad_enabled(not isinstance(self.objective, Supervised)):
                found = loss(batch)
                return found.detach() if isinstance(found, Tensor) else torch.tensor(math.nan)

        return measured

    def numbers(self) -> torch.autocast:
        """The context in which the model is run: that of the task's precision."""
        kind, dtype = self.device.type, self.precision
        return torch.autocast(kind, dtype or torch.bfloat16, enabled=dtype is not None)

    @cached_property
    def _each(self) -> int:
        """Numbers that the model computes on the way of one sample; 0 where that is not known."""
        samples = self.valid if self.valid.arrays is not None else self.train
        if samples.arrays is None:
            return 0
        model, objective = self.make_model(0), self.make_objective()
        with RandomStream(0, self.device), judging((model, *objective.modules())), self.numbers():
            batch = moved(samples.span(0, 1), self.device)
            return numbers_on_the_way(lambda: objective.judged(model, batch))

    def chunk(self, samples: Samples, models: int = 1) -> int:
        """Samples that go through the model at a time where all of them are to, or through so many
        models: as many as a batch has, or more where they are small, so that memory stays that of
        training."""
        size = samples.batch_size or self.batch_size // self.accumulate
        if samples.arrays is not None and samples.batch_size is None and self._each:
            size = max(size, evaluation.ROOM // (self._each * models))
        return min(size, len(samples))

    def whole(self, model: nn.Module) -> int:
        """Samples that go through the model at a time for the gradient of all.

        Raises :class:`InputError` where that cannot be had from parts, and all are too many.
        """
        size, n = self.chunk(self.train), self.n_train
        if size < n:
            try:
                refuse_what_chunks_change(model, self.reduction)
            except InputError:
                if not 0 < n * self._each <= WHOLE:
                    raise
                return n
        return size

    def judge(self, model: nn.Module, objective: Objective | None = None) -> tuple[float, float]:
        """(mean loss, metric) on the validation set, of a model in the mode it is in."""
        objective = objective or self.make_objective()

        def judged() -> tuple[float | None, float]:
            return evaluation.judge(
                model, objective, self.valid.chunks(self.chunk(self.valid)), self.metric,
                self.reading, self.reduction, self.device,
            )  # fmt: skip

        with self.numbers():
            found = self._judged(judged)
        loss, metric = found
        if loss is None or not objective.comparable:  # the metric stands for it
            loss = -metric if self.higher_is_better else metric
        return loss, metric

    def _judged(self, judged: Callable[[], Any]) -> tuple[float | None, float]:
        if not self._graded:
            try:
                with torch.no_grad():
                    return judged()
            except RuntimeError as error:  # a model that computes gradients of its own
                if "does not require grad" not in str(error):
                    raise
        with torch.enable_grad():
            found = judged()
        self._graded = True
        return found

    def on(self, device: str | torch.device) -> Task:
        """This task, to be trained on a device. Raises :class:`InputError` if it is not there."""
        self.device = usable_device(device)
        return self

    def check(self) -> None:
        """Raise :class:`InputError` for what would go wrong in the first steps of a run."""
        sanity_check(self)
