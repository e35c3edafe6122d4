"""Losses that machine code computes too, and what of them may change from batch to batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from slalom.train.products import HOOKS, hooked

CLASSES = "cross_entropy"
"""The job of losses whose targets are classes."""

LOSSES: dict[Any, str] = {
    nn.CrossEntropyLoss: CLASSES, functional.cross_entropy: CLASSES,
    nn.NLLLoss: CLASSES, functional.nll_loss: CLASSES,
    nn.MSELoss: "squared_error", functional.mse_loss: "squared_error",
    nn.L1Loss: "absolute_error", functional.l1_loss: "absolute_error",
    nn.HuberLoss: "huber", functional.huber_loss: "huber",
    nn.SmoothL1Loss: "huber", functional.smooth_l1_loss: "huber",
    nn.BCEWithLogitsLoss: "binary_entropy",
    functional.binary_cross_entropy_with_logits: "binary_entropy",
}  # fmt: skip
"""By whom they are computed; others are torch's."""

OF_LOGARITHMS = (nn.NLLLoss, functional.nll_loss)

IGNORED = -100
"""The class that torch ignores unless it is told another one."""


class Criterion(NamedTuple):
    """A loss, as a job.

    Attributes:
        kind: the job.
        numbers: that go with it, where it is none of classes.
        summed: whether it is the sum of the losses, and not their mean.
        smoothing: the part of each sample that is of all classes.
        ignored: a class whose samples do not count.
        of_logarithms: whether outputs are logarithms of shares already.
    """

    kind: str
    numbers: tuple[float, ...] = ()
    summed: bool = False
    smoothing: float = 0.0
    ignored: int = IGNORED
    of_logarithms: bool = False


def criterion_of(loss: Any) -> Criterion | None:
    """The job that computes a loss, or None."""
    logs = loss in OF_LOGARITHMS if isinstance(loss, Callable) else False
    if not isinstance(loss, nn.Module):
        kind = LOSSES.get(loss) if isinstance(loss, type(functional.mse_loss)) else None
        return kind and Criterion(kind, (1.0, 1.0), of_logarithms=logs)  # type: ignore[return-value]
    made: Any = type(loss)
    kind, reduction = LOSSES.get(made), getattr(loss, "reduction", "")
    if kind is None or "forward" in vars(loss) or hooked(loss) or reduction not in ("mean", "sum"):
        return None
    summed = reduction == "sum"
    own: Any = loss
    if kind == CLASSES:
        weight = own.weight
        odd = weight is not None and (weight.dtype, weight.dim()) != (torch.float32, 1)
        if odd or (weight is not None and not weight.is_contiguous()):
            return None
        smoothing = getattr(own, "label_smoothing", 0.0)
        return Criterion(kind, (), summed, smoothing, own.ignore_index, made is nn.NLLLoss)
    if any(getattr(own, name, None) is not None for name in ("weight", "pos_weight")):
        return None
    if made is nn.HuberLoss:
        return Criterion(kind, (float(own.delta), 1.0), summed)
    if made is nn.SmoothL1Loss:
        if not own.beta:
            return Criterion("absolute_error", (), summed)
        return Criterion(kind, (float(own.beta), 1 / float(own.beta)), summed)
    return Criterion(kind, (), summed)


def look_at(loss: Any) -> Callable[[], Any]:
    """What tells, each time that it is called, all of a loss that may be set to something else."""
    if not isinstance(loss, nn.Module):
        return lambda: None
    names = [n for n in SET if hasattr(loss, n)]
    hooks, own, buffers = [getattr(loss, n) for n in HOOKS], vars(loss), loss._buffers

    def found() -> Any:
        weights = [b is not None and (b.data_ptr(), b._version) for b in buffers.values()]
        return any(hooks), "forward" in own, weights, [own.get(n) for n in names]

    return found


SET = ("reduction", "ignore_index", "label_smoothing", "delta", "beta")


def weights_of(loss: Any, classes: int) -> np.ndarray | None:
    """The weights of the classes, which go with the loss's own; None where there are others."""
    weight: Tensor | None = getattr(loss, "weight", None) if isinstance(loss, nn.Module) else None
    if weight is None:
        return np.ones(classes, np.float32)
    return weight.detach().numpy() if weight.shape == (classes,) else None
