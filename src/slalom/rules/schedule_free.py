"""Schedule-Free rules (Defazio et al. 2024): averaging in place of a learning-rate schedule.

Three points: ``z`` takes the steps, ``x`` is its weighted average and the result, and gradients
are taken between the two, at ``y = momentum * x + (1 - momentum) * z``. The parameter holds ``y``
while training, the state holds ``z``, and :func:`average` gives ``x`` from both.
"""

from __future__ import annotations

from slalom.rules.definition import rule
from slalom.rules.example import Example
from slalom.rules.functions import Value, minimum, sqrt
from slalom.rules.parts import regularized


@rule(
    class_name="ScheduleFreeSGD", numbers=("weight_sum",), search={"lr": (1e-2, 10.0)},
    bounds={"momentum": "(0, 1)", "warmup_steps": ">= 0"}, averaged=True,
    examples=[Example((0.5, 0.95), (-1.0, 1.005), (0.25, 1.01), lr=0.1)],
)  # fmt: skip
def schedule_free_sgd(
    param, grad, weight_sum, z, *, step, first, lr=1.0, momentum=0.9, weight_decay=0,
    warmup_steps=0, maximize=False,
):  # fmt: skip
    """Schedule-Free SGD (Defazio et al. 2024, eq. 2-4), the rate rising over ``warmup_steps``."""
    grad = regularized(param, grad, weight_decay, maximize)
    rate = lr * warmup(step, warmup_steps)
    return move(param, grad, weight_sum, param if first else z, rate, momentum)


@rule(
    class_name="ScheduleFreeAdamW", numbers=("weight_sum",), search={"lr": (1e-4, 1e-1)},
    bounds={"betas[0]": "(0, 1)", "warmup_steps": ">= 0"}, averaged=True,
    examples=[
        Example(
            (0.5, 0.9500000316), (-1.0, 1.063819291), (0.25, 1.047832915), lr=0.1, warmup_steps=2,
        ),
    ],
)  # fmt: skip
def schedule_free_adamw(
    param, grad, weight_sum, z, exp_avg_sq, *, step, first, lr=2.5e-3, betas=(0.9, 0.999),
    eps=1e-8, weight_decay=0, warmup_steps=0, maximize=False,
):  # fmt: skip
    """Schedule-Free AdamW (Defazio et al. 2024, algorithm 1); betas[0] is its interpolation."""
    beta1, beta2 = betas
    grad = -grad if maximize else grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    change = grad / (sqrt(exp_avg_sq) + eps)
    if weight_decay != 0:
        change = change + weight_decay * param
    rate = lr * sqrt(1 - beta2**step) * warmup(step, warmup_steps)
    moved = move(param, change, weight_sum, param if first else z, rate, beta1)
    return *moved, exp_avg_sq


def warmup(step: Value, steps: Value) -> Value:
    """The share of the rate in the step: ``step / steps``, at most 1."""
    return minimum(step / steps, 1) if steps > 0 else 1


def move(
    y: Value, change: Value, weight_sum: Value, z: Value, rate: Value, momentum: Value
) -> tuple[Value, Value, Value]:
    """``y`` and ``z`` after a step, for an average weighted by the squares of the rates.

    ``z' = z - rate * change`` and ``x' = (1 - share) * x + share * z'``, put into the definition
    of ``y'``, leave no ``x``.
    """
    weight_sum = weight_sum + rate * rate
    share = rate * rate / weight_sum if weight_sum > 0 else 0
    y = (1 - share) * y + share * z - (1 - momentum + momentum * share) * rate * change
    return y, weight_sum, z - rate * change


def average(y: Value, z: Value, momentum: Value) -> Value:
    """``x``, the point to evaluate and to keep, from ``y`` and ``z``."""
    return z + (y - z) / momentum


def between(x: Value, z: Value, momentum: Value) -> Value:
    """``y``, the point to train at, from ``x`` and ``z``: undoes :func:`average`."""
    return z + (x - z) * momentum
