"""Rows of linear layers that machine code of our own goes through, and back.

Of a small network torch's operations take longer to be called than to be computed, and its products
are those of a library that is not made for all processors. Here an update's way through the model,
the loss and back is one call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from slalom.backends.llvm.dense import dense
from slalom.backends.refusals import Unavailable
from slalom.train.criterion import CLASSES, Criterion, criterion_of, look_at, weights_of
from slalom.train.row import DROPOUT, LOG_SOFTMAX, Row, UnservedError
from slalom.train.through import Through


class Net:
    """A model, the way through it, and back.

    Args:
        model: a :class:`Row`.
        loss: (outputs, targets) -> one number.

    Raises :class:`UnservedError`, with why, where torch has to go through it.
    """

    def __init__(self, model: nn.Module, loss: Callable[[Any, Any], Any]):
        self._row, self._loss = Row(model), loss
        try:
            dense()
        except Unavailable as error:
            raise UnservedError(f"there is no machine code here: {error}") from error
        self._inputs = self._row.linear[0].module.in_features
        self._outputs = self._row.linear[-1].module.out_features
        self._ends_in_logarithms = self._row.parts[-1].kind == LOG_SOFTMAX
        self._criterion, self._look = self._job_of_loss(), look_at(loss)
        self._was = self._look()
        if self._ends_in_logarithms and self._criterion is None:
            raise UnservedError("its last layer is a LogSoftmax, and the loss is no NLLLoss")
        self._dropouts = [p for p in self._row.parts if p.kind == DROPOUT]
        self._drops_inputs = self._row.parts[0].kind == DROPOUT  # in the order in which they lie
        self._gradients = {n: torch.zeros_like(p) for n, p in self._row.tensors.items()}
        self._lie: list[Any] = []
        self._ways: dict[Any, Through] = {}

    def _job_of_loss(self) -> Criterion | None:
        """The job that computes the loss, or None."""
        found = criterion_of(self._loss)
        if found is None or (found.of_logarithms and not self._ends_in_logarithms):
            return None
        if found.kind != CLASSES:
            return None if self._ends_in_logarithms else found
        return None if weights_of(self._loss, self._outputs) is None else found

    @property
    def known(self) -> bool:
        """Whether a job computes the loss."""
        return self._criterion is not None

    @property
    def draws(self) -> bool:
        """Whether the model draws random numbers."""
        return bool(self._dropouts)

    def holds(self) -> bool:
        """Whether model and loss still are what they were."""
        return self._row.holds() and self._look() == self._was

    def inputs(self, given: Sequence[Any]) -> Tensor | None:
        """The inputs (samples, features) of the first layer, side by side in memory; None where
        these are no such."""
        if len(given) != 1 or type(given[0]) is not Tensor or given[0].dtype != torch.float32:
            return None
        found = given[0]
        if self._row.flat and found.dim() > 2:
            found = found.flatten(1)
        if found.dim() != 2 or found.shape[1] != self._inputs or not found.shape[0]:
            return None
        if found.requires_grad or (self._drops_inputs and not found.is_contiguous()):
            return None
        return found.contiguous()

    def learn(self, inputs: Tensor, targets: Any) -> float | None:
        """Set the gradient of each parameter; the loss. None where torch is to do it."""
        samples, value = inputs.shape[0], None
        served = self._takes(targets, samples)
        if self._ends_in_logarithms and not served:
            return None
        way = self._way(samples, taught=True)
        way.draw()
        if served:
            way.learn(inputs, targets)
            value = way.value()
        if value is None:
            if self._ends_in_logarithms:
                return None
            outputs = self._empty(inputs)
            way.outputs(inputs, None, outputs)
            found = self._loss(outputs.requires_grad_(), targets)
            (gradient,) = torch.autograd.grad(found, outputs)
            way.back(inputs, None, None, gradient.contiguous())
            value = found.item()
        for name, parameter in self._row.tensors.items():
            parameter.grad = self._gradients[name] if parameter.requires_grad else None
        return value

    def judged(self, inputs: Tensor, targets: Any) -> tuple[float, Tensor]:
        """(the loss, the outputs) of the model in eval mode."""
        way, outputs, value = self._way(inputs.shape[0]), self._empty(inputs), None
        if self._takes(targets, inputs.shape[0]):
            way.judge(inputs, targets, outputs)
            value = way.value()
        if value is None:
            way.outputs(inputs, None, outputs)
            value = self._loss(outputs, targets).item()
        return value, outputs

    def right(self, inputs: Tensor, targets: Any) -> tuple[float, float, float] | None:
        """(the sum of the losses, that of their weights, the samples told right), where targets are
        classes that all count; else None. In eval mode, too."""
        criterion = self._criterion
        if criterion is None or criterion.kind != CLASSES:
            return None
        if not self._takes(targets, inputs.shape[0]):
            return None
        way = self._way(inputs.shape[0])
        way.tell(inputs, targets)
        return way.told()

    def _empty(self, inputs: Tensor) -> Tensor:
        return torch.empty(inputs.shape[0], self._outputs)

    def _takes(self, targets: Any, samples: int) -> bool:
        """Whether a job computes the loss of these targets."""
        criterion = self._criterion
        if criterion is None or type(targets) is not Tensor or not targets.is_contiguous():
            return False
        if criterion.kind == CLASSES:
            return targets.dtype == torch.int64 and targets.shape == (samples,)
        shape = (samples, self._outputs)
        return targets.dtype == torch.float32 and targets.shape == shape

    def _way(self, samples: int, *, taught: bool = False) -> Through:
        lie = self._row.lie()
        if lie != self._lie:
            self._lie, self._ways = lie, {}
        active = [p.module.training and p.numbers[0] > 0 for p in self._dropouts] if taught else ()
        key = samples, threading.get_ident(), taught, *active
        if key not in self._ways:
            idle = {p.name for p, a in zip(self._dropouts, active, strict=False) if not a}
            parts = [
                p for p in self._row.parts if p.kind != DROPOUT or (taught and p.name not in idle)
            ]
            self._ways[key] = Through(
                parts, self._row.tensors, self._gradients, self._criterion, self._loss, samples,
                taught=taught,
            )  # fmt: skip
        return self._ways[key]
