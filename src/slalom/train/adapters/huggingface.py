"""Tasks out of a ``transformers.Trainer``: what ``trainer.train()`` would train."""

from __future__ import annotations

import copy
import functools
import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from slalom.errors import InputError
from slalom.train.followed import METRIC, VALID_LOSS, Followed
from slalom.train.metrics import Metric
from slalom.train.objective import Objective
from slalom.train.own_metric import direction
from slalom.train.reduction import Reduction
from slalom.train.rng import RandomStream

FOLLOWED = ("training_step", "evaluation_loop", "create_optimizer", "create_scheduler")
"""Methods of a Trainer that a task does not call, each of which does what an option says."""

PLATEAUS = ("reduce_lr_on_plateau", "greedy")
"""Schedules that a Trainer tells of its evaluations."""

HELD = (
    "model", "model_wrapped", "train_dataset", "eval_dataset", "optimizer", "lr_scheduler",
    "callback_handler", "data_collator", "processing_class", "model_init",
)  # fmt: skip
"""What a Trainer has and its loss does not need."""


class TrainerObjective(Objective):
    """A Trainer's own ``compute_loss`` and ``prediction_step``."""

    def __init__(self, trainer: Any):
        self._trainer = copy.copy(trainer)
        for name in HELD:
            vars(self._trainer)[name] = None
        self.reduction = Reduction("mean", self._weight)

    @property
    def decisive(self) -> Any:
        own = self._trainer
        names = ("compute_loss_func", "label_smoother", "preprocess_logits_for_metrics")
        return type(own), [getattr(own, name) for name in names], own.label_names

    def fresh(self, device: torch.device) -> Objective:
        """A copy with the user's own state; what is the library's is shared."""
        made = TrainerObjective(self._trainer)
        for name, value in vars(made._trainer).items():
            if isinstance(value, list | dict | set | nn.Module | Tensor):
                vars(made._trainer)[name] = copy.deepcopy(value)
        return made

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        return self._of(model, self._loss, batch)

    def judged(self, model: nn.Module, batch: Any) -> tuple[Any, Any, Any]:
        return self._of(model, self._judged, batch)

    def _of(self, model: nn.Module, call: Callable[..., Any], batch: Any) -> Any:
        """A call of the Trainer's, to whom this is its model as long as it takes."""
        self._trainer.model = model
        try:
            return call(self._trainer, model, self._trainer._prepare_inputs(batch))
        finally:
            self._trainer.model = None

    def _loss(self, trainer: Any, model: nn.Module, batch: Any) -> Tensor:
        items = trainer._get_num_items_in_batch([batch], trainer.args.device)
        return trainer.compute_loss(model, batch, num_items_in_batch=items)

    def _judged(self, trainer: Any, model: nn.Module, batch: Any) -> tuple[Any, Any, Any]:
        alone = trainer.compute_metrics is None
        loss, outputs, labels = trainer.prediction_step(model, batch, prediction_loss_only=alone)
        if loss is None:
            raise InputError(
                f"a batch has no {' or '.join(trainer.label_names) or 'labels'}, and is judged by "
                "its loss; name its targets by label_names of TrainingArguments"
            )
        if trainer.preprocess_logits_for_metrics is not None and outputs is not None:
            outputs = trainer.preprocess_logits_for_metrics(outputs, labels)
        return loss, outputs, labels

    def _weight(self, batch: Any, n: int) -> float:
        """By tokens where the Trainer counts these; else batches count alike, as it adds them."""
        items = self._trainer._get_num_items_in_batch([batch], torch.device("cpu"))
        return float(n) if items is None else float(items)


class _Pristine:
    """Makes the model that the Trainer begins with: a copy of its weights, or by ``model_init``."""

    def __init__(self, trainer: Any):
        self._init = trainer.model_init
        self._model = None if trainer.model_init else copy.deepcopy(trainer.model)
        self._checkpointing = trainer.args.gradient_checkpointing

    def __call__(self) -> nn.Module:
        if self._init is None:
            made: Any = copy.deepcopy(self._model)
        else:
            count = self._init.__code__.co_argcount if hasattr(self._init, "__code__") else 0
            made = self._init(None) if count == 1 else self._init()
        if self._checkpointing:
            made.gradient_checkpointing_enable()
        return made


class _Groups:
    """The Trainer's groups: one that weights decay in, and one that they do not."""

    def __init__(self, decaying: Iterable[str]):
        self._decaying = frozenset(decaying)

    def __call__(self, model: nn.Module) -> list[dict[str, Any]]:
        both: tuple[list[Any], list[Any]] = ([], [])
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                both[name not in self._decaying].append(parameter)
        groups = [{"params": both[0]}, {"params": both[1], "weight_decay": 0.0}]
        return [group for group in groups if group["params"]]


class _Schedule:
    """(step, total) -> the factor that ``transformers.get_scheduler`` gives."""

    def __init__(self, args: Any):
        self.__name__ = str(args.lr_scheduler_type.value)
        self._options = args.lr_scheduler_kwargs
        self._warmup, self._ratio = args.warmup_steps, getattr(args, "warmup_ratio", None) or 0.0
        self._rate = args.learning_rate

    def __call__(self, step: int, total: int) -> float:
        return _factor(self, total)(step)

    def made(self, total: int) -> Callable[[int], float]:
        """The factor by step, of a run of this length."""
        from transformers import get_scheduler

        share = self._warmup if 0 < self._warmup < 1 else self._ratio
        warmup = self._warmup if self._warmup >= 1 else math.ceil(total * share)
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=self._rate)
        made: Any = get_scheduler(
            self.__name__, optimizer, int(warmup), total, scheduler_specific_kwargs=self._options
        )
        return made.lr_lambdas[0]


@functools.lru_cache(maxsize=256)
def _factor(schedule: _Schedule, total: int) -> Callable[[int], float]:
    return schedule.made(total)


class _Computed:
    """The Trainer's ``compute_metrics`` over all that was predicted; one value of what it says."""

    def __init__(self, function: Callable[..., Any], name: str, concatenated: bool):
        self._function, self._name, self._concatenated = function, name, concatenated

    def start(self) -> _Computing:
        """One that was told nothing yet."""
        return _Computing(self._function, self._name, self._concatenated)


class _Computing:
    def __init__(self, function: Callable[..., Any], name: str, concatenated: bool):
        from transformers.trainer_pt_utils import EvalLoopContainer

        self._function, self._name = function, name
        self._outputs, self._labels = (
            EvalLoopContainer(concatenated, padding_index=-100) for _ in range(2)
        )

    def update(self, outputs: Any, targets: Any) -> None:
        self._outputs.add(outputs)
        self._labels.add(targets)

    def compute(self) -> float:
        from transformers import EvalPrediction

        both: Any = self._outputs.get_arrays(), self._labels.get_arrays()
        told = self._function(EvalPrediction(*both))
        known = {str(n).removeprefix("eval_"): value for n, value in told.items()}
        if self._name not in known:
            raise InputError(
                f"compute_metrics gives {', '.join(known)}, and the metric is {self._name}; name "
                "one of these as metric="
            )
        return float(known[self._name])


def arguments(trainer: Any, options: dict[str, Any]) -> dict[str, Any]:
    """What a task is made of that trains as the trainer would. :class:`InputError` if none does."""
    from transformers import Trainer

    kind: Any = Trainer
    if not isinstance(trainer, kind):
        raise InputError(f"from_trainer takes a transformers.Trainer, not a {_kind(trainer)}")
    args: Any = trainer.args
    _refuse(trainer, args, options)
    plain = copy.copy(trainer)
    plain.accelerator = _Unprepared(trainer.accelerator)
    train = options.get("train") or plain.get_train_dataloader()
    valid = options.get("valid")
    if valid is None:
        if trainer.eval_dataset is None or isinstance(trainer.eval_dataset, dict):
            raise InputError("the Trainer has no single eval_dataset; give one as valid=")
        valid = plain.get_eval_dataloader()
    accumulate = args.gradient_accumulation_steps
    steps = args.max_steps
    if steps <= 0:
        steps = math.ceil(args.num_train_epochs * max(1, -(-len(train) // accumulate)))
    found: dict[str, Any] = {
        "model": _Pristine(trainer), "loss": TrainerObjective(trainer), "train": train,
        "valid": valid, "accumulate": accumulate, "clip_norm": args.max_grad_norm or None,
        "precision": "bfloat16" if args.bf16 else "float16" if args.fp16 else None,
        "max_steps": steps, "device": args.device,
        "parameter_groups": _Groups(trainer.get_decay_parameter_names(trainer.model)),
    }  # fmt: skip
    if accumulate > 1:
        with RandomStream(0):
            model = found["model"]().to(args.device).eval()
            _warn_of_sums(trainer, model, next(iter(train)))
    found["metric"] = _metric(trainer, options)
    if args.lr_scheduler_type.value in PLATEAUS:
        found |= _plateau(args, steps, found["metric"])
    elif args.lr_scheduler_type.value != "constant":
        found["schedule"] = _Schedule(args)
    return {**found, **options, "metric": found["metric"]}


def _plateau(args: Any, steps: int, metric: Any) -> dict[str, Any]:
    """The schedule that is told of each evaluation of the Trainer's, and when these are."""
    from transformers import get_scheduler

    name = str(args.metric_for_best_model).removeprefix("eval_")
    judged = metric if isinstance(metric, str) else metric.name
    if name not in ("loss", judged):
        raise InputError(
            f"the {args.lr_scheduler_type.value} follows {name}, and the metric is {judged}; give "
            f"metric='{name}', or schedule="
        )
    if args.eval_delay:
        raise InputError("the schedule begins after eval_delay; leave it out, or give schedule=")
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=args.learning_rate)
    scheduler = get_scheduler(
        args.lr_scheduler_type, optimizer, scheduler_specific_kwargs=args.lr_scheduler_kwargs
    )
    by_steps = args.eval_strategy.value == "steps"
    every = args.eval_steps if by_steps else 1
    followed = Followed(
        lambda total: (optimizer, scheduler), False, type(scheduler).__name__,
        monitor=VALID_LOSS if name == "loss" else METRIC,
        frequency=int(every if every >= 1 else math.ceil(steps * every)),
    )  # fmt: skip
    return {"schedule": followed, "schedule_every": "step" if by_steps else "epoch"}


def _metric(trainer: Any, options: dict[str, Any]) -> Any:
    """That of ``metric=``, of ``metric_for_best_model``, or the loss."""
    name = options.get("metric") or trainer.args.metric_for_best_model or "loss"
    if not isinstance(name, str):
        raise InputError(
            "metric is no name; a Trainer is judged by its loss, or by one of the values that its "
            "compute_metrics gives"
        )
    name = name.removeprefix("eval_")
    if name == "loss":
        return "loss"
    if trainer.compute_metrics is None:
        raise InputError(f"the Trainer has no compute_metrics that would give {name}")
    better = options.get("higher_is_better")
    if better is None:
        better = trainer.args.greater_is_better
    if better is None:
        better = direction(name)
    computed = _Computed(trainer.compute_metrics, name, trainer.args.eval_do_concat_batches)
    return Metric(name, better, "outputs", computed)  # type: ignore[arg-type]


def _refuse(trainer: Any, args: Any, options: dict[str, Any]) -> None:
    """Raise :class:`InputError` for what the trainer does that a task would not."""
    from transformers import Trainer, TrainerCallback

    said = {"create_optimizer": "parameter_groups", "create_scheduler": "schedule"}
    for name in FOLLOWED:
        own = getattr(type(trainer), name) is not getattr(Trainer, name)
        if own and said.get(name) not in options:
            what = f"say what it does by {said[name]}=" if name in said else "put it elsewhere"
            raise InputError(
                f"{_kind(trainer)} has a {name} of its own, which a race would not call; {what}"
            )
    if trainer.lr_scheduler is not None and "schedule" not in options:
        raise InputError("the Trainer was given a scheduler of one optimizer; give schedule=")
    for name in ("deepspeed", "fsdp", "neftune_noise_alpha", "batch_eval_metrics"):
        if getattr(args, name, None):
            raise InputError(f"the arguments ask for {name}, which a race would pass over")
    if set(getattr(args, "include_for_metrics", None) or ()):
        raise InputError("compute_metrics asks for inputs or losses, which a race does not keep")
    if trainer.state.global_step:
        raise InputError(
            f"the Trainer has trained for {trainer.state.global_step} steps; give one that begins"
        )
    for callback in trainer.callback_handler.callbacks:
        kind = type(callback)
        if not kind.__module__.startswith("transformers.") and any(
            name.startswith("on_") and name in vars(k)
            for k in kind.__mro__ if k is not TrainerCallback for name in vars(k)
            if name not in ("on_log", "on_save", "on_init_end", "on_evaluate", "on_train_end")
        ):  # fmt: skip
            raise InputError(
                f"the callback {kind.__name__} may change the training, and a race would not call "
                "it; remove it"
            )


def _warn_of_sums(trainer: Any, model: nn.Module, batch: Any) -> None:
    """Say so where the Trainer adds accumulated batches up, since the loss forgets to share."""
    objective = TrainerObjective(trainer)

    def loss(own: Any, model: nn.Module, batch: Any, times: int) -> float:
        items = own._get_num_items_in_batch([batch], own.args.device)
        if items is None:
            return float(times)
        return own.compute_loss(model, batch, num_items_in_batch=times * items).item()

    with torch.no_grad():
        one, two = (objective._of(model, functools.partial(loss, times=k), batch) for k in (1, 2))
    if one == two:
        warnings.warn(
            "the loss takes no account of num_items_in_batch, so that the Trainer adds up the "
            "losses of accumulated batches; the race takes their mean, which is that of the large "
            "batch",
            stacklevel=4,
        )


class _Unprepared:
    """An accelerator that leaves DataLoaders as they are."""

    def __init__(self, accelerator: Any):
        self._accelerator = accelerator

    def prepare(self, loader: Any) -> Any:
        return loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._accelerator, name)


def _kind(value: Any) -> str:
    return type(value).__name__
