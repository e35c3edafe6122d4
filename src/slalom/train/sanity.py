"""What would go wrong in the first steps of a run, found before it and told in one sentence."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from slalom.errors import InputError
from slalom.train.reduction import CLASSIFYING, Loss
from slalom.train.rng import RandomStream
from slalom.train.samples import Samples, moved


def sanity_check(
    make_model: Callable[[], nn.Module],
    loss: Loss,
    train: Samples,
    valid: Samples,
    batch_size: int,
    device: torch.device,
    judge: Callable[[nn.Module], tuple[float, float]],
    metric: str,
) -> None:
    """Raise :class:`InputError` for what would go wrong in the first steps and evaluations.

    Tries a batch of the training set, the smaller one at the end of an epoch, and an evaluation of
    the untrained model: ``judge`` returns its loss and its metric, of this name.
    """
    model = make_model()
    _check_parameters(model, make_model())
    n, m = len(train), batch_size

    def tried(data: Samples, begin: int, end: int) -> tuple[Any, Any]:
        return _loss(model, loss, device, data, begin, end)

    with RandomStream(0, device):
        outputs, value = tried(train, 0, m)
        _check_classes(loss, (train, valid), outputs)
        _check_value(value)
        value.backward()
        if n % m:
            tried(train, n - n % m, n)
        model.eval()
        outputs, value = tried(valid, 0, min(m, len(valid)))
        _check_shape(value)
        _check_metric(metric, judge, model, valid, outputs)


def _check_parameters(model: nn.Module, again: nn.Module) -> None:
    if not any(p.requires_grad for p in model.parameters()):
        raise InputError("the model has no parameter that requires a gradient")
    if {id(p) for p in model.parameters()} & {id(p) for p in again.parameters()}:
        raise InputError(
            "model() returns the same parameters each time, so that runs would go on from one "
            "another; it must make a new module"
        )


def _loss(
    model: nn.Module, loss: Loss, device: torch.device, data: Samples, begin: int, end: int
) -> tuple[Any, Any]:
    """(outputs, loss) of some samples."""
    inputs, targets = (moved(x, device) for x in data.span(begin, end))
    what = f"{end - begin} sample{'s' * (end - begin > 1)} of {data.name}"
    with _told(f"the model fails on inputs of shape {_shape(inputs)}, {what}"):
        outputs = model(inputs)
    _check_rows(outputs, targets, what)
    about = f"outputs of shape {_shape(outputs)} and targets of shape {_shape(targets)}"
    with _told(f"the loss fails on {about}, {what}"):
        return outputs, loss(outputs, targets)


def _check_rows(outputs: Any, targets: Any, what: str) -> None:
    if not (isinstance(outputs, Tensor) and isinstance(targets, Tensor)):
        return
    if outputs.dim() and targets.dim() and len(outputs) != len(targets):
        raise InputError(
            f"the model returns {len(outputs)} rows for {what}, and the targets have "
            f"{len(targets)}; it must return one a sample"
        )
    if (
        outputs.is_floating_point() and targets.is_floating_point()
        and outputs.numel() == targets.numel() and outputs.shape != targets.shape
    ):  # fmt: skip
        raise InputError(  # torch would broadcast them against each other, with a warning
            f"the model returns shape {_shape(outputs)} where the targets have "
            f"{_shape(targets)}; make the two equal"
        )


def _check_classes(loss: Loss, sets: tuple[Samples, ...], outputs: Any) -> None:
    """Of all samples, not of those tried alone: a rare class may come late."""
    if not isinstance(loss, CLASSIFYING) or not isinstance(outputs, Tensor):
        return
    classes = outputs.shape[1] if outputs.dim() > 1 else len(outputs)
    for data in sets:
        if data.arrays is None or data.arrays[1].is_floating_point():
            continue
        targets = data.arrays[1]
        wrong = ((targets < 0) | (targets >= classes)) & (targets != loss.ignore_index)
        if wrong.any():
            sample = int(wrong.reshape(len(targets), -1).any(1).nonzero()[0])
            raise InputError(
                f"the target of sample {sample} of {data.name} is {int(targets[wrong][0])}; the "
                f"model tells {classes} classes apart, which are 0 to {classes - 1}"
            )


def _check_shape(value: Any) -> None:
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise InputError(
            f"the loss must be one number, and here it is {_shape(value)}; reduce it by its mean"
        )


def _check_value(value: Any) -> None:
    _check_shape(value)
    if not value.requires_grad:
        raise InputError(
            "the loss does not depend on the model's parameters; compute it from the model's "
            "output, with torch's functions"
        )
    if not bool(torch.isfinite(value)):
        raise InputError(f"the loss of the untrained model is {value.item()}; check data and model")


def _check_metric(
    metric: str,
    judge: Callable[[nn.Module], tuple[float, float]],
    model: nn.Module,
    valid: Samples,
    outputs: Any,
) -> None:
    targets = valid.span(0, 1)[1]
    about = f"outputs like {_shape(outputs)} and targets like {_shape(targets)}"
    with _told(f"the metric {metric} cannot be computed from {about}"):
        _, value = judge(model)
    if math.isnan(value):
        raise InputError(
            f"the metric {metric} of the untrained model is not a number on the "
            f"{len(valid)} samples of valid; give more of them, or another metric"
        )


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """The first line of what goes wrong in the user's code, after what was being done."""
    try:
        yield
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{what}: {first}") from error


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
