"""Tasks out of skorch's nets: what ``net.fit(X, y)`` would train, without its optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from sklearn.base import clone
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, callbacks
from skorch.dataset import unpack_data
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from slalom.errors import InputError
from slalom.train.followed import METRIC, TRAIN_LOSS, VALID_LOSS, Followed, without_parameters
from slalom.train.models import made_anew
from slalom.train.objective import Objective
from slalom.train.reading import Reading, reading_of
from slalom.train.rng import RandomStream

FOLLOWED = (
    "train_step", "train_step_single", "validation_step", "fit_loop", "run_single_epoch",
    "get_all_learnable_params",
)  # fmt: skip
"""Methods of a net that a task does not call; one that has its own is refused."""

WATCHING = (
    callbacks.EpochTimer, callbacks.PrintLog, callbacks.ProgressBar, callbacks.EpochScoring,
    callbacks.BatchScoring, callbacks.PassthroughScoring, callbacks.Checkpoint,
    callbacks.TrainEndCheckpoint, callbacks.EarlyStopping, callbacks.TensorBoard,
    callbacks.WandbLogger, callbacks.MlflowLogger, callbacks.NeptuneLogger, callbacks.SacredLogger,
)  # fmt: skip
"""Callbacks that change no update."""


class NetObjective(Objective):
    """A net's own ``infer`` and ``get_loss``."""

    def __init__(self, net: Any, criterion: Any):
        self._net, self._criterion = net, criterion

    @property
    def decisive(self) -> Any:
        return type(self._net), self._criterion

    @property
    def reading(self) -> Reading:
        return reading_of(self._criterion)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        return self._judged(model, batch, True)[0]

    def judged(self, model: nn.Module, batch: Any) -> tuple[Any, Any, Any]:
        return self._judged(model, batch, False)

    def modules(self) -> Any:
        if isinstance(self._criterion, nn.Module):
            yield self._criterion

    def _judged(self, model: nn.Module, batch: Any, training: bool) -> tuple[Any, Any, Any]:
        net = self._net
        inputs, targets = unpack_data(batch)
        vars(net).update(module_=model, criterion_=self._criterion)
        try:
            outputs = net.infer(inputs)
            loss = net.get_loss(outputs, targets, X=inputs, training=training)
        finally:  # which is the run's, and no part of what the net is
            del vars(net)["module_"], vars(net)["criterion_"]
        first = outputs[0] if isinstance(outputs, tuple) else outputs  # as skorch predicts
        return loss, first, torch.as_tensor(targets, device=first.device)


class _Made:
    """Makes the untrained module of a net."""

    def __init__(self, net: Any):
        self._net = net

    @property
    def decisive(self) -> Any:
        """Not the weights that runs do not begin with."""
        given = self._net.module
        return type(given) if isinstance(given, nn.Module) else given

    def __call__(self) -> nn.Module:
        return _initialized(self._net).module_


def _cloned(net: Any) -> Any:
    return clone(net)  # whose stubs say that it may be a list of them


def _initialized(net: Any) -> Any:
    fresh = _cloned(net)
    if isinstance(fresh.module, nn.Module) and not fresh.get_params_for("module"):
        vars(fresh)["module"] = made_anew(fresh.module)
    return fresh.initialize()


def arguments(net: Any, inputs: Any, targets: Any, options: dict[str, Any]) -> dict[str, Any]:
    """What a task is made of that trains as the net would. :class:`InputError` if none does."""
    if not isinstance(net, NeuralNet):
        raise InputError(f"from_skorch takes a skorch.NeuralNet, not a {type(net).__name__}")
    for name in FOLLOWED:
        if getattr(type(net), name) is not getattr(NeuralNet, name):
            raise InputError(
                f"{type(net).__name__} has a {name} of its own, which a race would not call; "
                "give a slalom.Task with step="
            )
    net = _cloned(net)
    if "device" in options:
        net.set_params(device=str(options["device"]))
    net.check_data(inputs, targets)
    with RandomStream(0):
        made = _initialized(net)
    for kind, names in (("modules", made._modules), ("optimizers", made._optimizers)):
        if len(names) != 1:
            raise InputError(
                f"{type(net).__name__} has {len(names)} {kind} ({', '.join(names)}), and a race "
                "takes nets with one; give a slalom.Task with step="
            )
    if isinstance(net, NeuralNetBinaryClassifier) and net.threshold != 0.5:
        raise InputError(
            f"the net decides at a threshold of {net.threshold:g}, and metrics of classes at 0.5; "
            "give it 0.5, and a metric that is a function (outputs, targets) -> number"
        )
    train, valid = made.get_split_datasets(inputs, targets)
    loader = made.get_iterator(train, training=True)
    if valid is None and options.get("valid") is None:
        raise InputError("the net has train_split=None; give the data to judge by as valid=")
    found: dict[str, Any] = {
        "model": _Made(net), "loss": NetObjective(net, made.criterion_),
        "train": loader, "max_steps": made.max_epochs * len(loader), "device": net.device,
        "parameter_groups": _groups(net),
        "metric": "accuracy" if isinstance(net, NeuralNetClassifier | NeuralNetBinaryClassifier)
        else "loss",
    }  # fmt: skip
    if valid is not None:
        found["valid"] = made.get_iterator(valid, training=False)
    for _, callback in made.callbacks_:
        found |= _of_callback(callback, made.optimizer_, {**found, **options}["metric"])
    return found | options


def _of_callback(callback: Any, optimizer: Any, metric: Any) -> dict[str, Any]:
    """The options of a task that do what a callback does."""
    name = type(callback).__name__
    if type(callback) is callbacks.GradientNormClipping:
        if callback.gradient_clip_norm_type == 2:
            return {"clip_norm": callback.gradient_clip_value}
        raise InputError("GradientNormClipping clips by a norm that is not 2; a task's is")
    if type(callback) is callbacks.LRScheduler:
        policy = callback._get_policy_cls()
        every = {"epoch": "epoch", "batch": "step"}[callback.step_every]
        monitor = None
        if policy is ReduceLROnPlateau:
            known = {"train_loss": TRAIN_LOSS, "valid_loss": VALID_LOSS}
            known |= {"valid_acc": METRIC} if metric == "accuracy" else {}
            monitor = known.get(callback.monitor)
            if monitor is None or every == "step":
                raise InputError(
                    f"the ReduceLROnPlateau follows {callback.monitor} every {callback.step_every};"
                    f" a race can tell it {', '.join(known)} every epoch"
                )
        pair = without_parameters(optimizer, policy(optimizer, **callback.kwargs))
        followed = Followed(lambda total: pair, False, policy.__name__, monitor=monitor)
        return {"schedule": followed, "schedule_every": every}
    if not isinstance(callback, WATCHING):
        raise InputError(
            f"the callback {name} may change the training, and a race would not call it; leave it "
            "out, and say what it does by the options of slalom.Task"
        )
    return {}


def _groups(net: Any) -> Any:
    """model -> parameter groups, where the net has some; a task's rates are factors."""
    if not net.get_params_for("optimizer").get("param_groups"):
        return None
    return _Groups(net)


class _Groups:
    def __init__(self, net: Any):
        self._net = net

    def __call__(self, model: nn.Module) -> list[Mapping[str, Any]]:
        (groups,), base = self._net.get_params_for_optimizer("optimizer", model.named_parameters())
        return [
            {n: v / base["lr"] if n == "lr" else v for n, v in group.items()} for group in groups
        ]
