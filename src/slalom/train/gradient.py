"""The gradient over all training samples, in bounded memory."""

from __future__ import annotations

from typing import Any

from torch import nn

from slalom.errors import InputError
from slalom.train.reduction import Loss, Reduction, reduction_of
from slalom.train.samples import Samples, moved

CHUNK = 4096
"""Samples whose activations are held at a time."""


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
    n = len(samples)
    device = next(model.parameters()).device

    def sample() -> tuple[Any, Any, int]:
        inputs, targets = (moved(x, device) for x in samples.span(0, min(chunk, n)))
        return model(inputs), targets, min(chunk, n)

    reduction = reduction or reduction_of(loss, sample)
    if n > chunk:
        refuse_what_chunks_change(model, reduction)
    model.zero_grad()
    total, weights = 0.0, 0.0
    for begin in range(0, n, chunk):
        inputs, targets = (moved(x, device) for x in samples.span(begin, begin + chunk))
        factor, weight = reduction.shares(targets, min(chunk, n - begin))
        if factor == 0.0:  # all of its targets are ignored, and their mean is not a number
            continue
        scaled = loss(model(inputs), targets) * factor
        scaled.backward()
        total += scaled.item()
        weights += weight
        for parameter in model.parameters():
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = parameter.grad.coalesce()  # not the rows of every chunk
    if not weights:
        return float("nan")
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad /= weights
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
