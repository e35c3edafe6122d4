"""Clipping of a run's gradients: in the optimizer's own pass over them where it has one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from slalom.optim.rule_optimizer import RuleOptimizer
from slalom.train.task import Task


class Clipping:
    """Clips the gradients of these parameters before an update, as the task has it.

    Does nothing where there is no bound, or where one of our own optimizers, which is told of the
    bounds here, clips in its pass over them; it does where it has all of them.
    """

    def __init__(self, task: Task, optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor]):
        self._norm, self._value = task.clip_norm, task.clip_value
        self._optimizer, self._parameters = optimizer, parameters
        if (self._norm, self._value) != (None, None) and isinstance(optimizer, RuleOptimizer):
            its = {id(p) for group in optimizer.param_groups for p in group["params"]}
            its_all = its.issuperset(id(p) for p in parameters if p.requires_grad)
            if its_all and optimizer.clip(self._norm, self._value):
                self._norm = self._value = None

    @property
    def needed(self) -> bool:
        """Whether there is anything to be done here."""
        return self._norm is not None or self._value is not None

    def __call__(self, scaler: torch.amp.GradScaler | None) -> None:
        """Clip, of gradients that ``scaler`` has scaled once they are unscaled."""
        if not self.needed:
            return
        if scaler is not None:
            scaler.unscale_(self._optimizer)
        if self._value is not None:
            torch.nn.utils.clip_grad_value_(self._parameters, self._value)
        if self._norm is not None:
            torch.nn.utils.clip_grad_norm_(self._parameters, self._norm)
