"""Rules that find their rate by how far they have come from where they began, over all tensors."""

from __future__ import annotations

from slalom.rules.definition import rule
from slalom.rules.example import Example
from slalom.rules.functions import Value, absolute, highest, maximum, minimum, sqrt, total, where


@rule(
    shapes={"d": "one", "d_max": "one", "d_numerator": "one"},
    init={"d": "d0", "d_max": "d0"}, search={"lr": (0.1, 10.0)},
    bounds={"beta3": "[0, 1)", "d0": "> 0", "d_coef": "> 0", "growth_rate": "> 1"},
    examples=[
        Example(
            (0.5, 0.633772434), (-1.0, 0.7576628188), (0.25, 0.7874447544), d0=0.1,
            weight_decay=0.5,
        ),
        Example(
            (0.5, 0.9900000017), (-1.0, 0.9930526537), (0.25, 0.992974539), lr=0.5, d0=0.02,
            betas=(0.8, 0.99), decouple=False, weight_decay=0.1, use_bias_correction=True,
            safeguard_warmup=True, d_coef=2.0, growth_rate=1.5,
        ),
    ],
)  # fmt: skip
def prodigy(
    param, grad, exp_avg, exp_avg_sq, s, p0, d, d_max, d_numerator, *, step, first, lr=1.0,
    betas=(0.9, 0.999), beta3=None, eps=1e-8, weight_decay=0, decouple=True,
    use_bias_correction=False, safeguard_warmup=False, d0=1e-6, d_coef=1.0,
    growth_rate=float("inf"), maximize=False,
):  # fmt: skip
    """Prodigy (Mishchenko & Defazio 2023, algorithm 4): Adam that estimates its rate as it goes.

    ``d`` is a lower bound on how far all parameters together are from the solution, and the rate is
    ``lr * d``; leave ``lr`` at 1, times a schedule. ``d_coef`` multiplies the estimate and
    ``growth_rate`` bounds how fast it grows; ``safeguard_warmup`` leaves ``lr`` out of the sums by
    which it is estimated. As in the authors' code, what is decayed is decayed by the rate, or added
    to the gradient (``decouple=False``), and no average is corrected unless asked for. A parameter
    that has no gradient in a step has no part in that step's estimate, and keeps its own.
    """
    beta1, beta2 = betas
    beta3 = sqrt(beta2) if beta3 is None else beta3
    grad = -grad if maximize else grad
    grad = grad if decouple or weight_decay == 0 else grad + weight_decay * param
    d, d_max = highest(d, "optimizer"), highest(d_max, "optimizer")
    rate = d * (lr * _corrected(step, betas) if use_bias_correction else lr)
    weight = d / d0 * rate
    p0 = param if first else p0
    exp_avg = beta1 * exp_avg + d * (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + d * d * (1 - beta2) * grad * grad
    s = beta3 * s + (d / d0 * d if safeguard_warmup else weight) * grad
    d_numerator = beta3 * d_numerator + weight * total(grad * (p0 - param))
    length, ahead = total(absolute(s), over="optimizer"), total(d_numerator, over="optimizer")
    moves = length > 0
    found = d_coef * ahead / where(moves, length, 1)
    begins = d <= d0 * (1 + 1e-6)  # as it is kept in float32
    longest = grown = maximum(d_max, found)
    if growth_rate < float("inf"):
        grown = minimum(longest, where(begins, maximum(d, found), d) * growth_rate)
    d, d_max = where(moves, grown, d), where(moves, longest, d_max)
    kept = (1 - rate * weight_decay) * param if decouple and weight_decay != 0 else param
    param = kept - rate * exp_avg / (sqrt(exp_avg_sq) + d * eps)
    return param, exp_avg, exp_avg_sq, s, p0, d, d_max, d_numerator


@rule(
    class_name="DAdaptAdam", shapes={"d": "one", "numerator": "one"}, init={"d": "d0"},
    search={"lr": (0.1, 10.0)}, bounds={"d0": "> 0", "growth_rate": "> 1"},
    examples=[
        Example((0.5, 0.683772434), (-1.0, 0.8393514405), (0.25, 0.907016517), d0=0.1),
        Example(
            (0.5, 0.989500002), (-1.0, 0.9925476842), (0.25, 0.9933418327), lr=0.5, d0=0.02,
            betas=(0.8, 0.99), decouple=True, weight_decay=0.1, use_bias_correction=True,
            growth_rate=1.5,
        ),
    ],
)  # fmt: skip
def dadapt_adam(
    param, grad, exp_avg, exp_avg_sq, s, d, numerator, *, step, lr=1.0, betas=(0.9, 0.999),
    eps=1e-8, weight_decay=0, decouple=False, use_bias_correction=False, d0=1e-6,
    growth_rate=float("inf"), maximize=False,
):  # fmt: skip
    """D-Adapted Adam (Defazio & Mishchenko 2023, algorithm 5): Adam that estimates its rate.

    ``d`` and ``lr`` are as in Prodigy, which grew out of it; here ``d`` never falls. As in the
    authors' code, whose ``layer_scale`` is left out.
    """
    beta1, beta2 = betas
    root = beta2**0.5
    grad = -grad if maximize else grad
    grad = grad if decouple or weight_decay == 0 else grad + weight_decay * param
    d = highest(d, "optimizer")
    rate = d * (lr * _corrected(step, betas) if use_bias_correction else lr)
    ahead = rate * total(grad * s / (sqrt(exp_avg_sq) + eps))
    exp_avg = beta1 * exp_avg + rate * (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    s = root * s + rate * (1 - root) * grad
    numerator = root * numerator + (1 - root) * ahead
    length, ahead = total(absolute(s), over="optimizer"), total(numerator, over="optimizer")
    moves = length > 0
    found = ahead / ((1 - root) * where(moves, length, 1))
    if growth_rate < float("inf"):
        found = minimum(found, d * growth_rate)
    d = where(moves, maximum(d, found), d)
    kept = (1 - rate * weight_decay) * param if decouple and weight_decay != 0 else param
    return kept - exp_avg / (sqrt(exp_avg_sq) + eps), exp_avg, exp_avg_sq, s, d, numerator


def _corrected(step: Value, betas: Value) -> Value:
    """What corrects both of Adam's averages at once."""
    beta1, beta2 = betas
    return sqrt(1 - beta2**step) / (1 - beta1**step)
