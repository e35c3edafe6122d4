"""Pieces that many rules share."""

from __future__ import annotations

from slalom.rules.functions import Value

ADAPTIVE = {"lr": (3e-4, 1e-1), "betas[0]": (0.8, 0.95), "betas[1]": (0.95, 0.9999)}
"""Where a race looks for the hyper-parameters of Adam and its kin."""

NESTEROV = {
    "Nesterov momentum requires a momentum and zero dampening": lambda hypers: (
        not hypers["nesterov"] or (hypers["momentum"] > 0 and hypers.get("dampening", 0) == 0)
    )
}
"""What Nesterov's form asks of the other hyper-parameters, in torch's words."""


def regularized(param: Value, grad: Value, weight_decay: Value, maximize: bool) -> Value:
    """The gradient of what is minimised: turned for ``maximize``, with L2 decay added to it."""
    if maximize:
        grad = -grad
    if weight_decay != 0:
        grad = grad + weight_decay * param
    return grad


def decay(
    param: Value, grad: Value, lr: Value, weight_decay: Value, maximize: bool, decoupled: bool
) -> tuple[Value, Value]:
    """The parameter and the gradient with weight decay in the one or in the other.

    Decoupled (Loshchilov & Hutter 2019, eq. 1), the parameter shrinks by ``lr * weight_decay``
    and no moment sees it; otherwise it is the L2 term of :func:`regularized`.
    """
    grad = regularized(param, grad, 0 if decoupled else weight_decay, maximize)
    if decoupled and weight_decay != 0:
        param = param - lr * weight_decay * param
    return param, grad
