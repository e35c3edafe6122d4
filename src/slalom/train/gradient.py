"""The gradient over all training samples, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from slalom.errors import InputError
from slalom.train.samples import Samples, moved

CHUNK = 4096
"""Samples whose activations are held at a time."""


def full_gradient(
    model: nn.Module, loss: Callable[[Any, Any], Tensor], samples: Samples, *, chunk: int = CHUNK
) -> float:
    """Set every parameter's ``grad`` to that of the mean loss over all samples; return that loss.

    Batch gradient descent (Cauchy 1847) is any rule fed with it. Chunks of ``chunk`` samples go
    through the model one after another and their gradients are summed with the weights that make
    the sum equal to the gradient of one batch of all. How a chunk weighs depends on how the loss
    reduces: see :func:`weight_of`.

    Raises :class:`InputError` where chunks cannot be equal to the whole: more than one of them,
    and the model normalises by statistics of its batch.
    """
    n = len(samples)
    if n > chunk:
        refuse_batch_statistics(model)
    device = next(model.parameters()).device
    weigh = weight_of(loss)
    model.zero_grad()
    total, weights = 0.0, 0.0
    for begin in range(0, n, chunk):
        inputs, targets = (moved(x, device) for x in samples.span(begin, begin + chunk))
        weight = weigh(targets, min(chunk, n - begin))
        if weight == 0.0:  # all of its targets are ignored, and their mean is not a number
            continue
        value = loss(model(inputs), targets)
        summed = value if weight is None else value * weight
        summed.backward()
        total += summed.item()
        weights += min(chunk, n - begin) if weight is None else weight
    if weights != 0.0:
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad /= weights
    return total / weights if weights else float("nan")


def weight_of(loss: Any) -> Callable[[Any, int], float | None]:
    """How much a chunk's loss counts: (targets, samples) -> its weight, None if it is a sum.

    By ``loss.reduction`` for the losses of torch.nn: a mean counts by its number of samples, the
    mean of a cross entropy by the sum of the weights of its targets, without those it ignores.
    Any other function is taken for a mean, unless it has an attribute ``reduction = "sum"``.
    """
    if getattr(loss, "reduction", "mean") == "sum":
        return lambda targets, n: None
    if isinstance(loss, nn.CrossEntropyLoss | nn.NLLLoss):
        ignored, weight = loss.ignore_index, loss.weight

        def weigh(targets: Tensor, n: int) -> float:
            if targets.is_floating_point():  # probabilities: every sample counts once
                return float(n)
            kept = targets[targets != ignored]
            return float(len(kept) if weight is None else weight[kept].sum())

        return weigh
    return lambda targets, n: float(n)


def refuse_batch_statistics(model: nn.Module) -> None:
    """Raise :class:`InputError` if a layer computes statistics of its batch in training."""
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            raise InputError(
                f"{name or 'the model'} is a {type(module).__name__}, whose output depends on the "
                "whole batch; a full gradient in chunks would be another one. Use GroupNorm or "
                "LayerNorm, or leave batch gradient descent out"
            )


def check_reduction(value: Tensor) -> None:
    """Raise :class:`InputError` if a loss is not one finite number."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise InputError(
            f"the loss must be one number, and here it is {shape}; reduce it by its mean"
        )
    if not value.requires_grad:
        raise InputError(
            "the loss does not depend on the model's parameters; compute it from the model's "
            "output, with torch's functions"
        )
    if not bool(torch.isfinite(value)):
        raise InputError(f"the loss of the untrained model is {value.item()}; check data and model")
