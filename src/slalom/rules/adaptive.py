"""Rules that give each parameter a rate of its own, from the squares of its gradients."""

from __future__ import annotations

from slalom.rules.definition import rule
from slalom.rules.example import Example
from slalom.rules.functions import sqrt
from slalom.rules.parts import regularized


@rule(
    init={"sum": "initial_accumulator_value"}, search={"lr": (1e-2, 3.0)}, sparse="rows",
    field={"AdaGrad": {}},
    examples=[
        Example(
            (0.5, 0.9422649731), (-1.0, 1.017857868), (0.25, 0.9992883339), lr=0.1,
            initial_accumulator_value=0.5,
        ),
    ],
)  # fmt: skip
def adagrad(
    param, grad, sum, *, step, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0,
    eps=1e-10, maximize=False,
):  # fmt: skip
    """AdaGrad (Duchi, Hazan & Singer 2011, fig. 1, diagonal).

    The rate shrinks with the sum of squared gradients of each parameter.
    """
    grad = regularized(param, grad, weight_decay, maximize)
    sum = sum + grad * grad
    rate = lr / (1 + (step - 1) * lr_decay)
    return param - rate * grad / (sqrt(sum) + eps), sum


@rule(
    search={"lr": (1e-2, 10.0), "rho": (0.8, 0.99)},
    examples=[
        Example((0.5, 0.999292896), (-1.0, 1.000235702), (0.25, 0.999830872), lr=0.5, rho=0.5),
    ],
)  # fmt: skip
def adadelta(
    param, grad, square_avg, acc_delta, *, step, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0,
    maximize=False,
):  # fmt: skip
    """Adadelta (Zeiler 2012, algorithm 1): steps in the units of the parameter."""
    grad = regularized(param, grad, weight_decay, maximize)
    square_avg = rho * square_avg + (1 - rho) * grad * grad
    delta = sqrt(acc_delta + eps) / sqrt(square_avg + eps) * grad
    acc_delta = rho * acc_delta + (1 - rho) * delta * delta
    return param - lr * delta, square_avg, acc_delta


@rule(
    class_name="RMSprop", search={"lr": (3e-4, 1e-1), "alpha": (0.9, 0.999)}, sparse="rows",
    field={"RMSProp": {}},
    examples=[
        Example(
            (0.5, 0.8585786478), (-1.0, 0.9919119793), (0.25, 0.9471906206), lr=0.1, alpha=0.5,
        ),
        Example(
            (0.5, -0.005037613239), (-1.0, -0.01333202864), (0.25, -0.2403233661), lr=0.1,
            momentum=0.9, centered=True,
        ),
    ],
)  # fmt: skip
def rmsprop(
    param, grad, square_avg, momentum_buffer, grad_avg, *, step, lr=1e-2, alpha=0.99, eps=1e-8,
    weight_decay=0, momentum=0, centered=False, maximize=False, eps_inside_sqrt=False,
):  # fmt: skip
    """RMSProp (Tieleman & Hinton 2012, lecture 6e, slide 29); centered: Graves 2013, eq. 38-45.

    ``eps`` stands outside the root, as in torch. ``eps_inside_sqrt`` puts it inside, as in
    Hinton's course and the Deep Learning book (algorithm 8.5).
    """
    grad = regularized(param, grad, weight_decay, maximize)
    square_avg = alpha * square_avg + (1 - alpha) * grad * grad
    variance = square_avg
    if centered:
        grad_avg = alpha * grad_avg + (1 - alpha) * grad
        variance = square_avg - grad_avg * grad_avg
    change = grad / (sqrt(variance + eps) if eps_inside_sqrt else sqrt(variance) + eps)
    if momentum > 0:
        change = momentum_buffer = momentum * momentum_buffer + change
    return param - lr * change, square_avg, momentum_buffer, grad_avg
