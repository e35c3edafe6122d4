"""Gradient descent, momentum and averaging: one rate for all parameters."""

from __future__ import annotations

from slalom.rules.definition import REQUIRED, rule
from slalom.rules.example import Example
from slalom.rules.functions import maximum
from slalom.rules.parts import NESTEROV, regularized


@rule(
    class_name="SGD", search={"lr": (1e-2, 3.0)}, requires=NESTEROV, sparse="dense",
    field={"BGD": {"batch_size": "all"}, "SGD": {}},
    examples=[
        Example((0.5, 0.95), (-1.0, 1.05), (0.25, 1.025), lr=0.1),
        Example((0.5, 0.95), (-1.0, 0.955), (0.25, 0.947), lr=0.1, momentum=0.9, dampening=0.5),
        Example(
            (0.5, 0.905), (-1.0, 1.0545), (0.25, 1.05155), lr=0.1, momentum=0.9, nesterov=True,
        ),
    ],
)  # fmt: skip
def sgd(
    param, grad, momentum_buffer, *, first, lr=1e-3, momentum=0, dampening=0, weight_decay=0,
    nesterov=False, maximize=False,
):  # fmt: skip
    """Gradient descent (Robbins & Monro 1951, eq. 5), with momentum as in Sutskever et al. 2013.

    ``momentum`` here is torch's form: the buffer is a sum of gradients and the learning rate
    multiplies all of it, so that a schedule rescales past gradients too. Batch gradient descent
    (Cauchy 1847) is this rule fed with the gradient over all samples.
    """
    grad = regularized(param, grad, weight_decay, maximize)
    if momentum != 0:
        momentum_buffer = grad if first else momentum * momentum_buffer + (1 - dampening) * grad
        grad = grad + momentum * momentum_buffer if nesterov else momentum_buffer
    return param - lr * grad, momentum_buffer


@rule(
    search={"lr": (3e-3, 1.0), "momentum": (0.7, 0.98)}, requires=NESTEROV, sparse="rows",
    field={"Momentum": {}, "Nesterov": {"nesterov": True}},
    examples=[
        Example((0.5, 0.95), (-1.0, 1.005), (0.25, 1.0295), lr=0.1),
        Example((0.5, 0.905), (-1.0, 1.0545), (0.25, 1.05155), lr=0.1, nesterov=True),
    ],
)  # fmt: skip
def momentum(
    param, grad, velocity, *, lr=REQUIRED, momentum=0.9, nesterov=False, weight_decay=0,
    maximize=False,
):  # fmt: skip
    """Classic momentum (Polyak 1964, eq. 9): v = beta*v - lr*g; x = x + v.

    The learning rate stands inside the velocity, so a schedule acts on new gradients only.
    ``nesterov`` takes the gradient at the point ahead (Nesterov 1983), rewritten for the
    parameters at that point: x = x + beta*v - lr*g (Bengio et al. 2013, eq. 7).
    """
    grad = regularized(param, grad, weight_decay, maximize)
    velocity = momentum * velocity - lr * grad
    if nesterov:
        return param + momentum * velocity - lr * grad, velocity
    return param + velocity, velocity


@rule(
    class_name="ASGD", numbers=("eta", "mu"), init={"eta": "lr", "mu": 1},
    search={"lr": (1e-3, 1.0)},
    examples=[
        Example((0.5, 0.94), (-1.0, 1.029926392), (0.25, 0.9951475174), lr=0.1, lambd=0.1, t0=1),
    ],
)  # fmt: skip
def asgd(
    param, grad, eta, mu, ax, *, step, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0,
    maximize=False,
):  # fmt: skip
    """Averaged SGD (Polyak & Juditsky 1992, eq. 7), its rate as in Bottou 2012, sec. 5.

    ``ax`` is the average, to be read from the state: the last value until step ``t0``, the mean
    of all values since then.
    """
    grad = regularized(param, grad, weight_decay, maximize)
    param = (1 - lambd * eta) * param - eta * grad
    ax = param if mu == 1 else ax + mu * (param - ax)
    eta = lr / (1 + lambd * lr * step) ** alpha
    mu = 1 / maximum(step - t0, 1)
    return param, eta, mu, ax
