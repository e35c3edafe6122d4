"""Rules that look at a whole tensor, a layer's weight say, and scale its step by what they see.

"The tensor" is each parameter by itself, whatever group it is in.
"""

from __future__ import annotations

from slalom.rules.definition import rule
from slalom.rules.example import Example
from slalom.rules.functions import maximum, mean, norm, sqrt, total, where
from slalom.rules.parts import ADAPTIVE, regularized


@rule(
    class_name="LARS", search={"lr": (1e-1, 30.0), "momentum": (0.7, 0.98)},
    bounds={"trust_coefficient": "> 0"},
    examples=[
        Example((0.5, 0.998), (-1.0, 0.998196), (0.25, 0.996376008), lr=2.0),
        Example(
            (0.5, 0.98), (-1.0, 0.986101275), (0.25, 0.9694298871), lr=2.0, momentum=0.5,
            weight_decay=0.1, trust_coefficient=0.01,
        ),
    ],
)  # fmt: skip
def lars(
    param, grad, momentum_buffer, *, lr=1.0, momentum=0.9, weight_decay=0, trust_coefficient=1e-3,
    maximize=False,
):  # fmt: skip
    """LARS (You, Gitman & Ginsburg 2017, algorithm 1): steps in proportion to the weights.

    Where the parameter or its gradient is zero, the step is that of momentum, as in the authors'
    code; the paper's would leave a parameter that begins at zero there.
    """
    grad = -grad if maximize else grad
    size, slope = norm(param), norm(grad)
    trust = trust_coefficient * size / (slope + weight_decay * size)
    trust = where((size > 0) & (slope > 0), trust, 1)
    change = lr * trust * (grad + weight_decay * param if weight_decay != 0 else grad)
    if momentum > 0:
        change = momentum_buffer = momentum * momentum_buffer + change
    return param - change, momentum_buffer


@rule(
    class_name="LAMB", search=ADAPTIVE,
    examples=[
        Example((0.5, 0.9), (-1.0, 0.99), (0.25, 1.089), lr=0.1),
        Example(
            (0.5, 0.95), (-1.0, 0.9025), (0.25, 0.857375), lr=0.05, betas=(0.8, 0.9), eps=1e-3,
            weight_decay=0.5,
        ),
    ],
)  # fmt: skip
def lamb(
    param, grad, exp_avg, exp_avg_sq, *, step, lr=1e-3, betas=(0.9, 0.999), eps=1e-6,
    weight_decay=0, maximize=False,
):  # fmt: skip
    """LAMB (You et al. 2020, algorithm 2): Adam's steps in proportion to the weights.

    Where the parameter or its step is zero, the step is Adam's, as in the authors' code.
    """
    beta1, beta2 = betas
    grad = -grad if maximize else grad
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    root = sqrt(exp_avg_sq / (1 - beta2**step))
    change = exp_avg / (1 - beta1**step) / (root + eps)
    if weight_decay != 0:
        change = change + weight_decay * param
    size, length = norm(param), norm(change)
    trust = where((size > 0) & (length > 0), size / length, 1)
    return param - lr * trust * change, exp_avg, exp_avg_sq


@rule(
    class_name="StableAdamW", search=ADAPTIVE,
    examples=[Example((0.5, 0.899000002), (-1.0, 0.9272355775), (0.25, 0.9399864004), lr=0.1)],
)  # fmt: skip
def stable_adamw(
    param, grad, exp_avg, exp_avg_sq, *, step, lr=1e-3, betas=(0.9, 0.99), eps=1e-8,
    weight_decay=1e-2, maximize=False,
):  # fmt: skip
    """StableAdamW (Wortsman et al. 2023, algorithm 2): AdamW with Adafactor's update clipping.

    The rate is divided by the root of the mean of ``grad² / exp_avg_sq``, where that is above 1.
    Averages are corrected as they are kept, so that no step divides by ``1 - beta**step``.
    """
    beta1, beta2 = betas
    grad = -grad if maximize else grad
    new1, new2 = (1 - beta1) / (1 - beta1**step), (1 - beta2) / (1 - beta2**step)
    exp_avg = (1 - new1) * exp_avg + new1 * grad
    exp_avg_sq = (1 - new2) * exp_avg_sq + new2 * grad * grad
    surprise = sqrt(mean(grad * grad / maximum(exp_avg_sq, eps * eps)))
    rate = lr / maximum(surprise, 1)
    change = exp_avg / (sqrt(exp_avg_sq) + eps)
    if weight_decay != 0:
        change = change + weight_decay * param
    return param - rate * change, exp_avg, exp_avg_sq


@rule(
    class_name="AdaGradNorm", shapes={"sum": "one"}, init={"sum": "initial_accumulator_value"},
    search={"lr": (1e-2, 30.0)}, sparse="dense",
    examples=[Example((0.5, 0.0194193245), (-1.0, 0.9102901308), (0.25, 0.6928988265))],
)  # fmt: skip
def adagrad_norm(
    param, grad, sum, *, lr=1.0, weight_decay=0, initial_accumulator_value=1e-2, eps=1e-10,
    maximize=False,
):  # fmt: skip
    """AdaGrad-Norm (Ward, Wu & Bottou 2019, algorithm 1): one rate for all of a tensor.

    It shrinks with the sum of the squared norms of the gradients; ``initial_accumulator_value`` is
    the paper's b0 squared.
    """
    grad = regularized(param, grad, weight_decay, maximize)
    sum = sum + total(grad * grad)
    return param - lr / (sqrt(sum) + eps) * grad, sum
