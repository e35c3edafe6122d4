"""Adam and its kin: averages of the gradient and of its magnitude."""

from __future__ import annotations

from slalom.rules.definition import rule
from slalom.rules.example import Example
from slalom.rules.functions import absolute, maximum, sqrt
from slalom.rules.parts import ADAPTIVE, decay, regularized


@rule(
    search=ADAPTIVE, sparse="rows", field={"Adam": {}},
    examples=[
        Example((0.5, 0.900000002), (-1.0, 0.9366103542), (0.25, 0.9502794203), lr=0.1),
        Example(
            (1.0, 0.900000001), (-0.5, 0.900000001), (0.25, 0.8782758494), lr=0.1,
            betas=(0.5, 0.75), amsgrad=True,
        ),
    ],
)  # fmt: skip
def adam(
    param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, *, step, lr=1e-3, betas=(0.9, 0.999),
    eps=1e-8, weight_decay=0, amsgrad=False, maximize=False, decoupled_weight_decay=False,
):  # fmt: skip
    """Adam (Kingma & Ba 2015, algorithm 1); amsgrad: Reddi, Kale & Kumar 2018, algorithm 2."""
    beta1, beta2 = betas
    param, grad = decay(param, grad, lr, weight_decay, maximize, decoupled_weight_decay)
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    variance = exp_avg_sq
    if amsgrad:
        variance = max_exp_avg_sq = maximum(max_exp_avg_sq, exp_avg_sq)
    mean = exp_avg / (1 - beta1**step)
    root = sqrt(variance / (1 - beta2**step))
    return param - lr * mean / (root + eps), exp_avg, exp_avg_sq, max_exp_avg_sq


@rule(
    class_name="AdamW", search=ADAPTIVE,
    examples=[Example((0.5, 0.899000002), (-1.0, 0.9347113542), (0.25, 0.947445709), lr=0.1)],
)  # fmt: skip
def adamw(
    param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, *, step, lr=1e-3, betas=(0.9, 0.999),
    eps=1e-8, weight_decay=1e-2, amsgrad=False, maximize=False, decoupled_weight_decay=True,
):  # fmt: skip
    """AdamW (Loshchilov & Hutter 2019, algorithm 2): Adam, its decay apart from its moments."""
    return adam(
        param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, step=step, lr=lr, betas=betas, eps=eps,
        weight_decay=weight_decay, amsgrad=amsgrad, maximize=maximize,
        decoupled_weight_decay=decoupled_weight_decay,
    )  # fmt: skip


@rule(
    search=ADAPTIVE,
    examples=[Example((0.5, 0.900000002), (-1.0, 0.9289473701), (0.25, 0.9379970101), lr=0.1)],
)  # fmt: skip
def adamax(
    param, grad, exp_avg, exp_inf, *, step, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
    maximize=False,
):  # fmt: skip
    """AdaMax (Kingma & Ba 2015, algorithm 2): Adam with the maximum norm for its magnitude."""
    beta1, beta2 = betas
    grad = regularized(param, grad, weight_decay, maximize)
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_inf = maximum(beta2 * exp_inf, absolute(grad) + eps)
    return param - lr / (1 - beta1**step) * exp_avg / exp_inf, exp_avg, exp_inf


@rule(
    class_name="NAdam", numbers=("mu_product",), init={"mu_product": 1}, search=ADAPTIVE,
    examples=[Example((0.5, 0.8943548243), (-1.0, 0.9850105724), (0.25, 0.9638830489), lr=0.1)],
)  # fmt: skip
def nadam(
    param, grad, mu_product, exp_avg, exp_avg_sq, *, step, lr=2e-3, betas=(0.9, 0.999), eps=1e-8,
    weight_decay=0, momentum_decay=4e-3, decoupled_weight_decay=False, maximize=False,
):  # fmt: skip
    """NAdam (Dozat 2016, algorithm 2): Adam with Nesterov's momentum, under a schedule of it."""
    beta1, beta2 = betas
    param, grad = decay(param, grad, lr, weight_decay, maximize, decoupled_weight_decay)
    mu = beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))
    next_mu = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * momentum_decay))
    mu_product = mu_product * mu
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    mean = (1 - mu) / (1 - mu_product) * grad + next_mu / (1 - mu_product * next_mu) * exp_avg
    root = sqrt(exp_avg_sq / (1 - beta2**step))
    return param - lr * mean / (root + eps), mu_product, exp_avg, exp_avg_sq


@rule(
    class_name="RAdam", search=ADAPTIVE,
    examples=[
        Example(
            (0.5, 0.95), (-1.0, 0.9789473684), (0.25, 0.9879879588), (0.5, 0.9798605962),
            (-1.0, 0.9981373172), (0.25, 0.9984902676), (0.5, 0.9983739637), lr=0.1,
        ),
    ],
)  # fmt: skip
def radam(
    param, grad, exp_avg, exp_avg_sq, *, step, lr=1e-3, betas=(0.9, 0.999), eps=1e-8,
    weight_decay=0, decoupled_weight_decay=False, maximize=False,
):  # fmt: skip
    """RAdam (Liu et al. 2020, algorithm 2): Adam, adaptive once its variance can be trusted."""
    beta1, beta2 = betas
    param, grad = decay(param, grad, lr, weight_decay, maximize, decoupled_weight_decay)
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    change = exp_avg / (1 - beta1**step)
    bias2 = 1 - beta2**step
    most = 2 / (1 - beta2) - 1  # the length of the average, in the end and now
    length = most - 2 * step * beta2**step / bias2
    if length > 5:
        shrink = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
        change = sqrt(shrink * bias2) * change / (sqrt(exp_avg_sq) + eps)
    return param - lr * change, exp_avg, exp_avg_sq
