"""Pieces that many rules share."""

from __future__ import annotations

from slalom.rules.functions import Value


def objective(param: Value, grad: Value, weight_decay: Value, maximize: bool) -> Value:
    """The gradient of what is minimised: turned for ``maximize``, with L2 decay added to it."""
    if maximize:
        grad = -grad
    if weight_decay != 0:
        grad = grad + weight_decay * param
    return grad
