"""The gradient of the mean loss over many samples, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from slalom.errors import InputError
from slalom.train.objective import Supervised
from slalom.train.reduction import Loss, Reduction, reduction_of
from slalom.train.samples import Samples
from slalom.train.tree import moved

CHUNK = 4096
"""Samples whose activations :func:`full_gradient` holds at a time unless told otherwise."""


def full_gradient(
    model: nn.Module,
    loss: Loss,
    data: Any,
    *,
    chunk: int = CHUNK,
    reduction: Reduction | None = None,
) -> float:
    """Set every parameter's ``grad`` to that of the mean loss over all samples; return that loss.

    Batch gradient descent (Cauchy 1847) is any rule fed with it. Chunks of ``chunk`` samples go
    through the model one after another, and their gradients are summed with the weights that make
    the sum equal to the gradient of one batch of all.

    Args:
        model: whose parameters receive the gradient; in the mode it is in.
        loss: (outputs, targets) -> one number, the mean or the sum over its batch.
        data: (inputs, targets), or any form of data that :class:`slalom.Task` takes.
        chunk: samples in memory at a time.
        reduction: how the loss sums up its batch; by default found out from the loss.

    Raises :class:`InputError` where chunks cannot be equal to the whole: more than one of them,
    and the model normalises by statistics of its batch, or the loss is no mean or sum.
    """
    if chunk < 1:
        raise InputError(f"chunk is {chunk}; it must be a whole number from 1 on")
    samples = data if isinstance(data, Samples) else Samples(data, "the data")
    device = next(model.parameters()).device
    objective = Supervised(loss)

    def measured() -> tuple[Any, Any, int]:
        n = min(chunk, len(samples))
        inputs, targets = objective.parts(moved(samples.span(0, n), device))
        with torch.no_grad():
            return (lambda pair: loss(*pair)), (model(*inputs), targets), n

    reduction = reduction or reduction_of(loss, measured)
    if len(samples) > chunk:
        refuse_what_chunks_change(model, reduction)
    model.zero_grad()
    return summed_gradient(
        lambda batch: objective.loss(model, batch), list(model.parameters()),
        samples.chunks(chunk), len(samples), reduction, device,
    )  # fmt: skip


def summed_gradient(
    loss: Callable[[Any], Tensor],
    parameters: Iterable[Tensor],
    batches: Iterable[tuple[Any, int]],
    samples: int,
    reduction: Reduction,
    device: torch.device,
    backward: Callable[[Tensor], Any] = torch.Tensor.backward,
    *,
    as_reduced: bool = False,
    together: Callable[[float, float], tuple[float, float]] | None = None,
) -> float:
    """Add to every ``grad``, which must be None before, that of the mean loss over all batches;
    that loss, NaN where nothing counts.

    ``samples`` are those of all batches, by which each is divided at once: so gradients are of the
    size of one batch's, which float16 has room for. ``as_reduced``: of a loss that sums, the
    gradient of the sum. ``together`` adds what others have, to the gradients and to the sums of
    losses and weights.
    """
    parameters = list(parameters)
    summed = as_reduced and reduction.kind == "sum"
    total, weights = 0.0, 0.0
    for given, n in batches:
        batch = moved(given, device)
        factor, weight = reduction.shares(batch, n)
        if factor == 0.0:  # all of its targets are ignored, and their mean is not a number
            continue
        value = loss(batch)
        backward(value if summed else value * (factor / samples))
        total += value.item() * factor
        weights += weight
        for parameter in parameters:
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = parameter.grad.coalesce()  # not the rows of every chunk
    if together is not None:
        total, weights = together(total, weights)
    if not weights:
        return float("nan")
    if not summed and weights != samples:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad *= samples / weights
    return total / weights


def refuse_what_chunks_change(model: nn.Module, reduction: Reduction) -> None:
    """Raise :class:`InputError` if the gradient of a batch is not made of those of its chunks."""
    if reduction.kind == "other":
        raise InputError(
            "the loss of a batch is neither the mean nor the sum of the losses of its samples, so "
            "that a full gradient in chunks would be another one. Use a loss that is, for weighted "
            "classes nn.CrossEntropyLoss(weight), or leave batch gradient descent out"
        )
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and (
            module.training or module.running_mean is None
        ):
            raise InputError(
                f"{name or 'the model'} is a {type(module).__name__}, whose output depends on the "
                "whole batch; a full gradient in chunks would be another one. Use GroupNorm or "
                "LayerNorm, or leave batch gradient descent out"
            )
