"""Rules that give each parameter a rate of its own."""

from __future__ import annotations

from slalom.rules.functions import maximum, sqrt
from slalom.rules.parts import objective
from slalom.rules.rule import rule


@rule(init={"sum": "initial_accumulator_value"}, search={"lr": (1e-3, 1.0)}, dense_only=False)
def adagrad(
    param, grad, sum, *, step, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0,
    eps=1e-10, maximize=False,
):  # fmt: skip
    """AdaGrad (Duchi, Hazan & Singer 2011, fig. 1, diagonal).

    The rate shrinks with the sum of squared gradients of each parameter.
    """
    grad = objective(param, grad, weight_decay, maximize)
    sum = sum + grad * grad
    rate = lr / (1 + (step - 1) * lr_decay)
    return param - rate * grad / (sqrt(sum) + eps), sum


@rule(search={"lr": (1e-4, 1e-1)})
def rmsprop(
    param, grad, square_avg, momentum_buffer, grad_avg, *, step, lr=1e-2, alpha=0.99, eps=1e-8,
    weight_decay=0, momentum=0, centered=False, maximize=False, eps_inside_sqrt=False,
):  # fmt: skip
    """RMSProp (Tieleman & Hinton 2012, lecture 6e, slide 29); centered: Graves 2013, eq. 38-45.

    ``eps`` stands outside the root, as in torch. ``eps_inside_sqrt`` puts it inside, as in
    Hinton's course and the Deep Learning book (algorithm 8.5).
    """
    grad = objective(param, grad, weight_decay, maximize)
    square_avg = alpha * square_avg + (1 - alpha) * grad * grad
    variance = square_avg
    if centered:
        grad_avg = alpha * grad_avg + (1 - alpha) * grad
        variance = square_avg - grad_avg * grad_avg
    change = grad / (sqrt(variance + eps) if eps_inside_sqrt else sqrt(variance) + eps)
    if momentum > 0:
        change = momentum_buffer = momentum * momentum_buffer + change
    return param - lr * change, square_avg, momentum_buffer, grad_avg


@rule(search={"lr": (1e-4, 1e-1)})
def adam(
    param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, *, step, lr=1e-3, betas=(0.9, 0.999),
    eps=1e-8, weight_decay=0, amsgrad=False, maximize=False, decoupled_weight_decay=False,
):  # fmt: skip
    """Adam (Kingma & Ba 2015, algorithm 1); amsgrad: Reddi, Kale & Kumar 2018, algorithm 2."""
    beta1, beta2 = betas
    if decoupled_weight_decay:
        grad = objective(param, grad, 0, maximize)
        param = param - lr * weight_decay * param
    else:
        grad = objective(param, grad, weight_decay, maximize)
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    variance = exp_avg_sq
    if amsgrad:
        variance = max_exp_avg_sq = maximum(max_exp_avg_sq, exp_avg_sq)
    mean = exp_avg / (1 - beta1**step)
    root = sqrt(variance / (1 - beta2**step))
    return param - lr * mean / (root + eps), exp_avg, exp_avg_sq, max_exp_avg_sq


@rule(search={"lr": (1e-4, 1e-1)})
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
