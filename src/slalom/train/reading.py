"""How outputs and targets are to be read as classes: as the loss reads them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slalom.errors import InputError

Manner = Literal["classes", "logits", "probabilities", "signs", "values", "unknown"]


@dataclass(frozen=True)
class Reading:
    """What a loss takes outputs and targets for.

    Attributes:
        manner: ``classes``: scores of several classes, the largest of which decides; ``logits``,
            ``probabilities``: one of each decision, for it above 0 or above 1/2; ``signs``: one of
            each decision between the targets -1 and 1; ``values``: no classes at all.
        ignored: the target that is left out.
        loss: how messages call the loss.
    """

    manner: Manner
    ignored: int | None = None
    loss: str = "the loss"

    def classes(self, outputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
        """(predicted, true) classes: int64, flat, without those that are left out; of several
        labels a sample, (n, labels) of 0 and 1.

        Raises :class:`InputError` where the outputs cannot be read so.
        """
        scores, true = self._sorted_out(outputs, targets)
        if scores.dim() > true.dim():
            return scores.argmax(1), true
        return (scores > self._threshold).long(), true

    def scores(self, outputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
        """(float64 probabilities, true classes): (n, classes) with (n,); (n,) of two; of several
        labels a sample, (n, labels) of both. Raises as above."""
        scores, true = self._sorted_out(outputs, targets)
        scores = scores.double()
        if scores.dim() > true.dim():
            sums = scores.sum(1)
            given = bool((scores >= 0).all()) and bool((sums - 1).abs().lt(1e-4).all())
            return (scores if given else scores.softmax(1)), true
        return (scores if self.manner == "probabilities" else scores.sigmoid()), true

    @property
    def _threshold(self) -> float:
        return 0.5 if self.manner == "probabilities" else 0.0

    def _sorted_out(self, outputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
        """(scores, true classes): (n, classes) with (n,), or one score a decision: (n,) or, of
        several labels a sample, (n, labels)."""
        for what, value in (("outputs", outputs), ("targets", targets)):
            if not isinstance(value, Tensor):
                raise InputError(
                    f"classes are read from a tensor of {what}, not a {type(value).__name__}; give "
                    "step= and predict=, a function (model, batch) -> (outputs, targets), or a "
                    "metric that is a function (outputs, targets) -> number"
                )
        if not outputs.is_floating_point():
            raise InputError(f"classes are read from scores, and the outputs are {outputs.dtype}")
        if self.manner == "values":
            raise InputError(
                f"{self.loss} does not say how outputs are read as classes; take a metric of "
                "values (mse, mae, r2, loss), or a function (outputs, targets) -> number"
            )
        if self.manner in ("classes", "unknown") and not bare_equal(outputs, targets):
            return self._of_classes(outputs, targets)
        if self.manner == "classes":
            if outputs.dim() < 2 or not targets.is_floating_point():
                return self._of_classes(outputs, targets)
            shares = _last(targets, 1)  # a share of each class
            return _last(outputs, 1), shares.argmax(1)
        return self._of_decisions(outputs, targets)

    def _of_classes(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        bare = targets.squeeze(-1) if targets.dim() == outputs.dim() else targets
        for axis in (1, -1) if outputs.dim() > 1 else ():
            axes = list(outputs.shape)
            classes = axes.pop(axis)
            if axes == list(bare.shape):
                break
        else:
            if outputs.dim() == 1 and targets.dim() == 0:
                return outputs[None], _whole(targets[None], len(outputs))
            raise InputError(
                f"outputs of shape {tuple(outputs.shape)} are no scores for targets of shape "
                f"{tuple(targets.shape)}; they must be (n, classes) for (n,)"
            )
        scores, true = _last(outputs, axis), bare.reshape(-1)
        if self.ignored is not None and not true.is_floating_point():
            kept = true != self.ignored
            scores, true = scores[kept], true[kept]
        if classes == 1:
            raise InputError(
                f"outputs of shape {tuple(outputs.shape)} tell one class; two classes with one "
                "output take nn.BCEWithLogitsLoss"
            )
        return scores, _whole(true, classes)

    def _of_decisions(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if self.manner == "unknown":
            raise InputError(
                f"outputs of shape {tuple(outputs.shape)} for targets of shape "
                f"{tuple(targets.shape)} may be logits, probabilities or signs, and {self.loss} "
                "does not say which; use a loss of torch.nn (BCEWithLogitsLoss, BCELoss, ...), or "
                "a metric that is a function (outputs, targets) -> number"
            )
        if outputs.numel() != targets.numel():
            raise InputError(
                f"outputs of shape {tuple(outputs.shape)} are no scores for targets of shape "
                f"{tuple(targets.shape)}; make the two equal"
            )
        labels = outputs.dim() == 2 and outputs.shape[1] > 1
        scores, true = (v.reshape(outputs.shape if labels else -1) for v in (outputs, targets))
        true = true.double()
        if self.manner == "signs":
            if bool((true.abs() != 1).any()):
                wrong = true[true.abs() != 1][0].item()
                raise InputError(f"a target is {wrong:g}, and {self.loss} takes -1 and 1")
            return scores, (true > 0).long()
        if self.manner == "probabilities" and bool(((scores < 0) | (scores > 1)).any()):
            raise InputError(f"{self.loss} takes probabilities, and an output is outside of 0 to 1")
        if bool(((true < 0) | (true > 1)).any()):
            wrong = true[(true < 0) | (true > 1)][0].item()
            raise InputError(
                f"a target is {wrong:g}, and one output a decision tells 2 classes apart, which "
                "are 0 to 1"
            )
        return scores, (true > 0.5).long()


def bare_equal(one: Tensor, other: Tensor) -> bool:
    """Whether two shapes are equal but for axes of length 1 at their ends; samples stay."""

    def bare(shape: list[int]) -> list[int]:
        while len(shape) > 1 and shape[-1] == 1:
            shape.pop()
        return shape

    return bare(list(one.shape)) == bare(list(other.shape))


def _last(scores: Tensor, axis: int) -> Tensor:
    """(n, classes) of scores with the classes at ``axis``."""
    return scores.movedim(axis, -1).reshape(-1, scores.shape[axis])


def _whole(targets: Tensor, classes: int) -> Tensor:
    values = targets.double()
    wrong = (values < 0) | (values > classes - 1) | (values != values.round())
    if bool(wrong.any()):
        raise InputError(
            f"a target is {targets[wrong][0].item():g}, and the outputs tell {classes} classes "
            f"apart, which are 0 to {classes - 1}; where these are values, name a metric of them "
            "(mse, mae, loss)"
        )
    return targets.long()


_MODULES: tuple[tuple[tuple[type, ...], Manner], ...] = (
    ((nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss), "classes"),
    ((nn.BCEWithLogitsLoss, nn.MultiLabelSoftMarginLoss), "logits"),
    ((nn.BCELoss,), "probabilities"),
    ((nn.SoftMarginLoss,), "signs"),
    (
        (
            nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.PoissonNLLLoss, nn.KLDivLoss,
            nn.GaussianNLLLoss, nn.MultiLabelMarginLoss, nn.HingeEmbeddingLoss, nn.CTCLoss,
        ),
        "values",
    ),
)  # fmt: skip

_FUNCTIONS: dict[Callable[..., Any], Manner] = {
    F.cross_entropy: "classes", F.nll_loss: "classes", F.multi_margin_loss: "classes",
    F.binary_cross_entropy_with_logits: "logits", F.multilabel_soft_margin_loss: "logits",
    F.binary_cross_entropy: "probabilities", F.soft_margin_loss: "signs",
    F.mse_loss: "values", F.l1_loss: "values", F.smooth_l1_loss: "values", F.huber_loss: "values",
    F.poisson_nll_loss: "values", F.kl_div: "values", F.gaussian_nll_loss: "values",
}  # fmt: skip


def reading_of(loss: Any) -> Reading:
    """How a loss reads outputs and targets; one of the user's own says nothing of it."""
    options = {}
    function = loss
    while isinstance(function, functools.partial):
        options = {**function.keywords, **options}
        function = function.func
    name = getattr(function, "__name__", None) or f"nn.{type(loss).__name__}"
    for kinds, manner in _MODULES:
        if isinstance(loss, kinds):
            return Reading(manner, getattr(loss, "ignore_index", None), name)
    try:
        manner = _FUNCTIONS.get(function, "unknown")
    except TypeError:  # an object that cannot be a key
        manner = "unknown"
    ignored = options.get("ignore_index", -100) if manner == "classes" else None
    if manner == "unknown":  # torch's own mark of what counts for nothing
        ignored, name = -100, "the loss"
    return Reading(manner, ignored, name)


def columns(outputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
    """Values and their truth as float64 (n, columns)."""
    for what, value in (("outputs", outputs), ("targets", targets)):
        if not isinstance(value, Tensor):
            raise InputError(
                f"values are read from a tensor of {what}, not a {type(value).__name__}"
            )
    if not bare_equal(outputs, targets):
        raise InputError(
            f"outputs of shape {tuple(outputs.shape)} are no values for targets of shape "
            f"{tuple(targets.shape)}; make the two equal"
        )
    n = len(targets)
    return outputs.reshape(n, -1).to(torch.float64), targets.reshape(n, -1).to(torch.float64)
