"""How a loss sums up its batch, so that batches can be put together again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from slalom.train.tree import joined, rows

Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class Reduction:
    """How the loss of a batch follows from those of its samples.

    Attributes:
        kind: ``mean`` or ``sum`` of the losses of the samples; ``other`` if neither, where batches
            cannot be put together exactly, and count as means.
        weight: (batch, samples) -> how much the mean of a batch counts.
    """

    kind: Literal["mean", "sum", "other"]
    weight: Callable[[Any, int], float]

    def shares(self, batch: Any, n: int) -> tuple[float, float]:
        """(factor, weight) of a batch of ``n`` samples.

        The mean over many batches is the sum of their losses, each times its factor, over the sum
        of their weights. Both are 0 for a batch that counts for nothing, whose loss may be NaN.
        """
        weight = self.weight(batch, n)
        return (1.0 if self.kind == "sum" else weight), weight


def reduction_of(
    loss: Any, measured: Callable[[], tuple[Callable[[Any], Tensor], Any, int]]
) -> Reduction:
    """How ``loss`` reduces.

    The losses of ``torch.nn`` say so themselves; a mean of CrossEntropyLoss and NLLLoss is one by
    the weights of the targets' classes, without the targets it ignores, the targets being the last
    part of a batch. Anything else is measured: ``measured()`` returns (a function of a batch, or of
    outputs with targets, to the loss; what to call it with; the samples in that).
    """
    if type(loss).__module__ != nn.modules.loss.__name__:
        return Reduction(_measured(*measured()), _count)
    if getattr(loss, "reduction", "mean") == "sum":
        return Reduction("sum", _count)
    return Reduction("mean", _by_class(loss) if isinstance(loss, CLASSIFYING) else _count)


CLASSIFYING = (nn.CrossEntropyLoss, nn.NLLLoss)
"""Losses whose targets are classes, with weights, and with some to ignore."""


AGAIN = 15
"""How often a loss is computed once more where it is another each time."""


def _count(batch: Any, n: int) -> float:
    return float(n)


def _by_class(loss: Any) -> Callable[[Any, int], float]:
    def weight(batch: Any, n: int) -> float:
        targets = batch[-1]
        if targets.is_floating_point():  # a share of each class, and every sample counts once
            return float(n)
        kept = targets[targets != loss.ignore_index]
        if loss.weight is None:
            return float(kept.numel())
        return float(loss.weight.to(kept.device)[kept.long()].sum())

    return weight


def _measured(loss: Callable[[Any], Tensor], whole: Any, n: int) -> Literal["mean", "sum", "other"]:
    """From the losses of a batch, of parts of it, and of the batch with each part after it.

    Of several parts, as one may by chance have just the mean weight of the batch. A loss that takes
    no part of a batch, or no two batches put together, is neither mean nor sum.
    """
    found = set()
    one = loss(whole)
    if not bool(torch.isfinite(one)):
        return "other"
    tolerance = min(0.02, 1e3 * torch.finfo(one.dtype).eps)
    drawn = [one.item(), loss(whole).item()]
    if drawn[0] != drawn[1]:  # the model draws random numbers, as a VAE does
        drawn += [loss(whole).item() for _ in range(AGAIN - 1)]
    noise = torch.tensor(drawn, dtype=torch.float64).std().item()

    def mean_of(batch: Any) -> float:
        times = 1 + AGAIN if noise else 1
        return sum(loss(batch).item() for _ in range(times)) / times

    a = sum(drawn) / len(drawn)
    for m in sorted({-(-n // 2), -(-n // 3), 1}, reverse=True):
        part = rows(whole, n, 0, m)
        try:
            b, ab = mean_of(part), mean_of(joined([whole, part]))
        except Exception:  # the code and the batches are the user's own, of any form
            return "other"
        near = tolerance * (abs(a) + abs(b)) + 8 * noise * math.sqrt(n / m / (1 + AGAIN))
        mean, total = (n * a + m * b) / (n + m), a + b
        if noise and abs(mean - total) <= 2 * near:  # nothing can be told
            continue
        if abs(ab - mean) > near:
            found.add("sum" if abs(ab - total) <= near else "other")
        elif a or b:  # losses of nothing are mean and sum alike
            found.add("mean")
        if noise:  # which took long
            break
    if noise and not found:
        return "other"
    if found == {"sum"}:
        return "sum"
    return "mean" if found <= {"mean"} else "other"
