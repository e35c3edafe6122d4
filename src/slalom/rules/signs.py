"""Rules that look at signs."""

from __future__ import annotations

from slalom.rules.definition import rule
from slalom.rules.example import Example
from slalom.rules.functions import maximum, minimum, sign, where
from slalom.rules.parts import decay


@rule(
    init={"step_size": "lr"}, search={"lr": (1e-4, 1e-1)},
    bounds={"etas[0]": "(0, 1)", "etas[1]": "> 1"},
    examples=[Example((0.5, 0.9), (-1.0, 0.9), (0.25, 0.85), lr=0.1)],
)  # fmt: skip
def rprop(
    param, grad, prev, step_size, *, step, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50),
    maximize=False,
):  # fmt: skip
    """Rprop (Riedmiller & Braun 1993), without weight-backtracking: for full batches.

    ``lr`` is the first step size; each parameter's grows while its gradient keeps its sign.
    """
    shorter, longer = etas
    least, most = step_sizes
    grad = -grad if maximize else grad
    agreement = grad * prev
    factor = where(agreement > 0, longer, where(agreement < 0, shorter, 1))
    step_size = minimum(maximum(step_size * factor, least), most)
    grad = where(agreement < 0, 0, grad)
    return param - sign(grad) * step_size, grad, step_size


@rule(
    class_name="SignSGD", search={"lr": (1e-5, 1e-2)}, sparse="rows",
    examples=[Example((0.5, 0.85), (-1.0, 0.9075), (0.25, 0.762125), lr=0.1, weight_decay=0.5)],
)  # fmt: skip
def signsgd(param, grad, *, lr=1e-4, weight_decay=0, maximize=False):
    """SignSGD (Bernstein et al. 2018, algorithm 1); the decay is decoupled, as in Signum."""
    param, grad = decay(param, grad, lr, weight_decay, maximize, True)
    return param - lr * sign(grad)


@rule(
    search={"lr": (1e-5, 1e-2), "momentum": (0.7, 0.98)}, sparse="rows",
    examples=[Example((0.5, 0.9), (-1.0, 1.0), (0.25, 1.1), lr=0.1)],
)  # fmt: skip
def signum(param, grad, exp_avg, *, lr=1e-4, momentum=0.9, weight_decay=0, maximize=False):
    """Signum (Bernstein et al. 2018, algorithm 2): the sign of the momentum."""
    param, grad = decay(param, grad, lr, weight_decay, maximize, True)
    exp_avg = momentum * exp_avg + (1 - momentum) * grad
    return param - lr * sign(exp_avg), exp_avg


@rule(
    search={"lr": (1e-5, 1e-2), "betas[1]": (0.9, 0.999)},
    examples=[
        Example(
            (0.5, 0.85), (-1.0, 0.7075), (0.25, 0.772125), lr=0.1, betas=(0.9, 0.5),
            weight_decay=0.5,
        ),
    ],
)  # fmt: skip
def lion(param, grad, exp_avg, *, lr=1e-4, betas=(0.9, 0.99), weight_decay=0, maximize=False):
    """Lion (Chen et al. 2023, algorithm 2): the sign of one average, another one kept."""
    beta1, beta2 = betas
    param, grad = decay(param, grad, lr, weight_decay, maximize, True)
    change = sign(beta1 * exp_avg + (1 - beta1) * grad)
    return param - lr * change, beta2 * exp_avg + (1 - beta2) * grad
