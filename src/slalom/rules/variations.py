"""What others made of Adam: another magnitude, another order, bounds, a look ahead."""

from __future__ import annotations

from slalom.rules.definition import rule
from slalom.rules.example import Example
from slalom.rules.functions import atan2, maximum, minimum, sqrt
from slalom.rules.parts import ADAPTIVE, decay, regularized


@rule(
    class_name="AdaBelief", search=ADAPTIVE,
    examples=[
        Example((0.5, 0.8888916347), (-1.0, 0.9279973751), (0.25, 0.942469096), lr=0.1, eps=1e-08),
    ],
)  # fmt: skip
def adabelief(
    param, grad, exp_avg, exp_avg_var, max_exp_avg_var, *, step, lr=1e-3, betas=(0.9, 0.999),
    eps=1e-16, weight_decay=0, amsgrad=False, maximize=False, decoupled_weight_decay=True,
):  # fmt: skip
    """AdaBelief (Zhuang et al. 2020, algorithm 2): short steps where a gradient surprises.

    ``eps`` is added to the variance in each step and once more under the fraction, as there.
    """
    beta1, beta2 = betas
    param, grad = decay(param, grad, lr, weight_decay, maximize, decoupled_weight_decay)
    surprise = beta1 * (grad - exp_avg)  # grad less the new average, without cancellation
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_var = beta2 * exp_avg_var + (1 - beta2) * surprise * surprise + eps
    variance = exp_avg_var
    if amsgrad:
        variance = max_exp_avg_var = maximum(max_exp_avg_var, exp_avg_var)
    mean = exp_avg / (1 - beta1**step)
    root = sqrt(variance / (1 - beta2**step))
    return param - lr * mean / (root + eps), exp_avg, exp_avg_var, max_exp_avg_var


@rule(
    class_name="AdaBound", search=ADAPTIVE,
    bounds={"final_lr": ">= 0", "gamma": ">= 0", "base_lr": ">= 0"},
    examples=[
        Example(
            (0.5, 0.925), (-1.0, 0.9616103423), (0.25, 0.9752794049), lr=0.1, final_lr=0.5,
            gamma=0.5,
        ),
    ],
)  # fmt: skip
def adabound(
    param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, *, step, lr=1e-3, betas=(0.9, 0.999),
    final_lr=0.1, gamma=1e-3, eps=1e-8, weight_decay=0, amsbound=False, base_lr=None,
    maximize=False,
):  # fmt: skip
    """AdaBound (Luo et al. 2019, algorithm 2): Adam whose rates are drawn towards SGD's.

    The bounds close on ``final_lr`` at the pace ``gamma``. Adam's correction of bias is part of
    it, and the root of the step is not, as in the authors' code. Under a schedule give the rate
    it starts from as ``base_lr``: the bounds then move with ``lr / base_lr``. At a rate of zero
    nothing moves.
    """
    beta1, beta2 = betas
    grad = regularized(param, grad, weight_decay, maximize)
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    variance = exp_avg_sq
    if amsbound:
        variance = max_exp_avg_sq = maximum(max_exp_avg_sq, exp_avg_sq)
    rate = lr * sqrt(1 - beta2**step) / (1 - beta1**step) / (sqrt(variance) + eps)
    end = final_lr * lr / base_lr if base_lr is not None else final_lr if lr != 0 else 0.0
    low, high = end * (1 - 1 / (gamma * step + 1)), end * (1 + 1 / (gamma * step))
    rate = minimum(maximum(rate, low), high)
    return param - rate * exp_avg, exp_avg, exp_avg_sq, max_exp_avg_sq


@rule(
    class_name="LaProp", search=ADAPTIVE,
    examples=[Example((0.5, 0.9), (-1.0, 0.9191958566), (0.25, 0.9173603444), lr=0.1)],
)  # fmt: skip
def laprop(
    param, grad, exp_avg, exp_avg_sq, *, step, lr=4e-4, betas=(0.9, 0.999), eps=1e-15,
    weight_decay=0, maximize=False, decoupled_weight_decay=True,
):  # fmt: skip
    """LaProp (Ziyin, Wang & Ueda 2020, algorithm 1): momentum of gradients scaled before."""
    beta1, beta2 = betas
    param, grad = decay(param, grad, lr, weight_decay, maximize, decoupled_weight_decay)
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    scaled = grad / (sqrt(exp_avg_sq / (1 - beta2**step)) + eps)
    exp_avg = beta1 * exp_avg + (1 - beta1) * scaled
    return param - lr * exp_avg / (1 - beta1**step), exp_avg, exp_avg_sq


@rule(
    search={"lr": (3e-4, 1e-1)},
    examples=[
        Example(
            (0.5, 0.857142859), (-1.0, 0.8702736747), (0.25, 0.8363593694), lr=0.1,
            weight_decay=0.5,
        ),
    ],
)  # fmt: skip
def adan(
    param, grad, exp_avg, exp_avg_diff, exp_avg_sq, previous_grad, *, step, lr=1e-3,
    betas=(0.98, 0.92, 0.99), eps=1e-8, weight_decay=0, no_prox=False, maximize=False,
):  # fmt: skip
    """Adan (Xie et al. 2022, algorithm 1): Nesterov's momentum from differences of gradients.

    ``betas`` are one minus the paper's, and the averages start at zero and are corrected for it,
    as in the authors' code. The decay is the paper's proximal one; ``no_prox`` makes it AdamW's.
    """
    beta1, beta2, beta3 = betas
    grad = -grad if maximize else grad
    difference = 0 if step == 1 else grad - previous_grad
    ahead = grad + beta2 * difference
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_diff = beta2 * exp_avg_diff + (1 - beta2) * difference
    exp_avg_sq = beta3 * exp_avg_sq + (1 - beta3) * ahead * ahead
    mean = exp_avg / (1 - beta1**step) + beta2 * exp_avg_diff / (1 - beta2**step)
    root = sqrt(exp_avg_sq / (1 - beta3**step))
    shrunk = (1 - lr * weight_decay) * param if no_prox else param
    param = shrunk - lr * mean / (root + eps)
    if not no_prox:
        param = param / (1 + lr * weight_decay)
    return param, exp_avg, exp_avg_diff, exp_avg_sq, grad


@rule(
    class_name="AdamAtan2", search=ADAPTIVE, bounds={"a": "> 0", "b": "> 0"},
    examples=[Example((0.5, 0.9002544332), (-1.0, 0.9447693327), (0.25, 0.9620333355), lr=0.1)],
)  # fmt: skip
def adam_atan2(
    param, grad, exp_avg, exp_avg_sq, *, step, lr=1e-4, betas=(0.9, 0.99), a=1.27, b=1.0,
    weight_decay=0, maximize=False, decoupled_weight_decay=True,
):  # fmt: skip
    """Adam-atan2 (Everett et al. 2024, sec. 4.4): Adam without eps, and so without a scale.

    ``a atan2(mean, b root)`` stands for ``mean / (root + eps)``; at the default of ``a``, about
    4 / pi, a mean as large as its root moves a parameter by ``lr``, as Adam does.
    """
    beta1, beta2 = betas
    param, grad = decay(param, grad, lr, weight_decay, maximize, decoupled_weight_decay)
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    mean = exp_avg / (1 - beta1**step)
    root = sqrt(exp_avg_sq / (1 - beta2**step))
    return param - lr * a * atan2(mean, b * root), exp_avg, exp_avg_sq
