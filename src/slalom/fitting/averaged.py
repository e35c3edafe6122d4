"""What several models say together: the mean of their probabilities, or of their values."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slalom.errors import InputError

Kind = Literal["logits", "logs", "decisions", "probabilities", "values"]
"""What outputs are to a loss: scores, or logarithms, of several classes; a score, or a probability,
of each decision; values."""

KINDS: tuple[tuple[Kind, tuple[Any, ...]], ...] = (
    ("logits", (nn.CrossEntropyLoss, F.cross_entropy)),
    ("logs", (nn.NLLLoss, F.nll_loss)),
    ("decisions", (nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits)),
    ("probabilities", (nn.BCELoss, F.binary_cross_entropy)),
    (
        "values",
        (
            nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss,
            F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss,
        ),
    ),
)  # fmt: skip
"""The losses of torch under which a mean has a meaning."""


def kind_of(loss: Any) -> Kind | None:
    """What outputs are to a loss; None where it does not say."""
    while isinstance(loss, functools.partial):
        loss = loss.func
    for kind, losses in KINDS:
        if any(isinstance(loss, known) if isinstance(known, type) else loss is known
               for known in losses):  # fmt: skip
            return kind
    return None


class Averaged(nn.Module):
    """Models as one, whose outputs are to the loss what theirs are.

    Of probabilities these are the logarithms, or log-odds, of the mean of all models', so that loss
    and metric of a task apply to them as they are.

    Args:
        models: of one task.
        loss: of that task.
    """

    def __init__(self, models: Sequence[nn.Module], loss: Any):
        super().__init__()
        self.models = nn.ModuleList(models)
        self._kind = kind_of(loss)

    def forward(self, *inputs: Any) -> Tensor:
        """The outputs for what one of the models is called with."""
        return self._as_outputs(self.means(*inputs))

    def means(self, *inputs: Any) -> tuple[Tensor, Tensor | None]:
        """(values, or logarithms of probabilities; of decisions those of the contrary)."""
        kind = self._kind
        if kind is None:
            raise InputError(
                "the loss does not say what a mean of outputs is (the mean of probabilities is "
                "taken under torch's cross-entropies, of values under MSELoss, L1Loss and their "
                "like); put the outputs of .models together yourself"
            )
        found = [model(*inputs) for model in self.models]
        for one in found:
            if not isinstance(one, Tensor):
                raise InputError(
                    f"the model returns a {type(one).__name__}, and a mean is of tensors; put the "
                    "outputs of .models together yourself"
                )
        outputs = torch.stack(found)
        if kind == "values":
            return outputs.mean(0), None
        if kind in ("logits", "logs"):
            axis = 2 if outputs.dim() > 2 else 1  # behind that of models, and of samples
            return _log_mean(outputs.log_softmax(axis)), None
        if kind == "decisions":
            return _log_mean(F.logsigmoid(outputs)), _log_mean(F.logsigmoid(-outputs))
        return outputs.mean(0).log(), (1 - outputs).mean(0).log()

    def _as_outputs(self, means: tuple[Tensor, Tensor | None]) -> Tensor:
        first, contrary = means
        if contrary is None:
            return first
        return first.exp() if self._kind == "probabilities" else first - contrary

    def predict(self, *inputs: Any) -> Tensor:
        """Probabilities, or values."""
        first, _ = self.means(*inputs)
        return first if self._kind == "values" else first.exp()


def _log_mean(logs: Tensor) -> Tensor:
    return logs.logsumexp(0) - math.log(len(logs))
