"""``train()`` and ``eval()`` for the Schedule-Free optimizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from slalom.optim.rule_optimizer import RuleOptimizer
from slalom.rules.schedule_free import average, between


class ScheduleFree(RuleOptimizer):
    """Switches parameters between the point to train at and the average to evaluate and keep.

    A new optimizer is in training mode. Call ``eval()`` before the model is evaluated or saved
    and ``train()`` before training goes on; each does nothing where it is so already, and
    ``step()`` in evaluation raises RuntimeError. ``state_dict()`` keeps the mode.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As in torch; a new group is in the mode that the others are in."""
        training = self.param_groups[0]["train_mode"] if self.param_groups else True
        param_group.setdefault("train_mode", training)
        super().add_param_group(param_group)

    def train(self) -> None:
        """Put the parameters where gradients are to be taken."""
        self._switch(True, between)

    def eval(self) -> None:
        """Put the parameters at the average: the values to evaluate, to keep and to publish."""
        self._switch(False, average)

    def refuse_step(self) -> None:
        """Raise RuntimeError in evaluation mode."""
        if not self.param_groups[0]["train_mode"]:
            raise RuntimeError(
                "the parameters hold the average, where no step can be made; call the "
                "optimizer's train() before training and eval() before evaluation"
            )

    @torch.no_grad()
    def _switch(self, training: bool, point: Callable[[Any, Any, Any], Any]) -> None:
        for group in self.param_groups:
            if group["train_mode"] != training:
                momentum = _interpolation(group)
                for param in group["params"]:
                    if "z" in self.state.get(param, {}):
                        param.copy_(point(param, self.state[param]["z"], momentum))
                group["train_mode"] = training


def _interpolation(group: dict[str, Any]) -> float:
    momentum = group["betas"][0] if "betas" in group else group["momentum"]
    return float(momentum)
