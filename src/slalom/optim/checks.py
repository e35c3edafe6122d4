"""What each hyper-parameter must be, in torch's words, for every rule that has one of that name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

_MESSAGES = {
    "lr": "Invalid learning rate: {}",
    "eps": "Invalid epsilon value: {}",
    "weight_decay": "Invalid weight_decay value: {}",
    "momentum": "Invalid momentum value: {}",
    "alpha": "Invalid alpha value: {}",
    "lr_decay": "Invalid lr_decay value: {}",
    "initial_accumulator_value": "Invalid initial_accumulator_value value: {}",
}
"""Hyper-parameters that must not be negative, and what is said where one is."""


def check_hypers(hypers: Mapping[str, Any]) -> None:
    """Raise ValueError, as torch words it, if a hyper-parameter is out of its range."""
    lr = hypers.get("lr")
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    for name, message in _MESSAGES.items():
        if name in hypers and not hypers[name] >= 0.0:
            raise ValueError(message.format(hypers[name]))
    for i, beta in enumerate(hypers.get("betas", ())):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
    if hypers.get("nesterov") and (hypers["momentum"] <= 0 or hypers.get("dampening", 0) != 0):
        raise ValueError("Nesterov momentum requires a momentum and zero dampening")
