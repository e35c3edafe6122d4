"""Rules that mix averages of different lengths."""

from __future__ import annotations

import math

from slalom.rules.definition import rule
from slalom.rules.example import Example
from slalom.rules.functions import log, minimum, sqrt
from slalom.rules.parts import decay


@rule(
    class_name="AdEMAMix",
    search={"lr": (3e-4, 1e-1), "alpha": (1.0, 10.0)},
    bounds={"alpha": ">= 0", "alpha_warmup": "> 0", "beta3_warmup": "> 0"},
    examples=[
        Example((0.5, 0.899950002), (-1.0, 0.9365919754), (0.25, 0.9502799411), lr=0.1),
        Example(
            (0.5, 0.800000003), (-1.0, 0.8313901897), (0.25, 0.8220113309),
            lr=0.1, betas=(0.9, 0.999, 0.9), weight_decay=0.5,
        ),
    ],
)  # fmt: skip
def ademamix(
    param, grad, exp_avg, exp_avg_slow, exp_avg_sq, *, step, lr=1e-3, betas=(0.9, 0.999, 0.9999),
    alpha=5.0, alpha_warmup=None, beta3_warmup=None, eps=1e-8, weight_decay=0, maximize=False,
):  # fmt: skip
    """AdEMAMix (Pagliardini, Ablin & Grangier 2024, algorithm 1): a second, slow average.

    ``alpha_warmup`` and ``beta3_warmup`` are the steps over which the weight of the slow average
    grows from 0 to ``alpha``, and its memory from the fast one's to its own (sec. 3), evenly in
    the time after which half is forgotten. Long runs diverge early without.
    """
    beta1, beta2, beta3 = betas
    if alpha_warmup is not None:
        alpha = alpha * minimum(step / alpha_warmup, 1.0)
    if beta3_warmup is not None and step < beta3_warmup:
        share = step / beta3_warmup
        fast, slow = log(beta1), log(beta3)
        beta3 = math.e ** (fast * slow / ((1 - share) * slow + share * fast))
    param, grad = decay(param, grad, lr, weight_decay, maximize, True)
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_slow = beta3 * exp_avg_slow + (1 - beta3) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    mean = exp_avg / (1 - beta1**step) + alpha * exp_avg_slow
    root = sqrt(exp_avg_sq / (1 - beta2**step))
    return param - lr * mean / (root + eps), exp_avg, exp_avg_slow, exp_avg_sq
