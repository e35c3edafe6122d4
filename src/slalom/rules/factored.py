"""Rules whose magnitudes or gradients are those of rows, columns or the whole tensor."""

from __future__ import annotations

from slalom.rules.definition import rule
from slalom.rules.example import Example
from slalom.rules.functions import maximum, mean, minimum, norm, sqrt
from slalom.rules.parts import ADAPTIVE, decay


@rule(
    class_name="FactoredAdafactor", shapes={"row_var": "row", "col_var": "column"},
    bounds={"decay_rate": ">= 0", "eps_param": ">= 0", "d": "> 0"}, search={"lr": (1e-3, 1.0)},
    examples=[Example((0.5, 0.9), (-1.0, 0.99), (0.25, 0.9519919492), lr=0.1)],
)  # fmt: skip
def factored_adafactor(
    param, grad, row_var, col_var, *, step, lr=1e-2, decay_rate=0.8, eps=1e-30, eps_param=1e-3,
    d=1.0, weight_decay=0, maximize=False,
):  # fmt: skip
    """Adafactor (Shazeer & Stern 2018, algorithms 4 and 5): squares known by rows and columns.

    The step is ``lr``, at most ``1 / sqrt(step)``, times the root mean square of the parameter,
    which counts as ``eps_param`` at least. As in the paper ``eps`` is added to the squares;
    torch.optim.Adafactor bounds their means by it instead, takes the last two axes of a tensor and
    keeps other states of vectors, and so it stays torch's own. Here a tensor is a matrix of its
    first axis by all others.
    """
    param, grad = decay(param, grad, lr, weight_decay, maximize, True)
    old = 1 - step**-decay_rate
    square = grad * grad + eps
    row_var = old * row_var + (1 - old) * mean(square, axis=1)
    col_var = old * col_var + (1 - old) * mean(square, axis=0)
    change = grad / sqrt(row_var / mean(row_var) * col_var)
    change = change / maximum(sqrt(mean(change * change)) / d, 1)
    rate = minimum(lr, 1 / sqrt(step)) * maximum(sqrt(mean(param * param)), eps_param)
    return param - rate * change, row_var, col_var


@rule(
    class_name="AdamMini", shapes={"exp_avg_sq": "row"}, search=ADAPTIVE,
    examples=[Example((0.5, 0.899000002), (-1.0, 0.9347113542), (0.25, 0.947445709), lr=0.1)],
)  # fmt: skip
def adam_mini(
    param, grad, exp_avg, exp_avg_sq, *, step, lr=1e-3, betas=(0.9, 0.999), eps=1e-8,
    weight_decay=1e-2, maximize=False,
):  # fmt: skip
    """Adam-mini (Zhang et al. 2024, algorithm 1): AdamW with one magnitude for each row.

    A row is what an output neuron or an embedded token has; the authors also take the rows of
    a head of attention together. A vector has a magnitude for each element, as in AdamW.
    """
    beta1, beta2 = betas
    param, grad = decay(param, grad, lr, weight_decay, maximize, True)
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * mean(grad * grad, axis=1)
    root = sqrt(exp_avg_sq / (1 - beta2**step))
    return param - lr / (1 - beta1**step) * exp_avg / (root + eps), exp_avg, exp_avg_sq


@rule(
    class_name="MARS", search=ADAPTIVE, bounds={"gamma": ">= 0"},
    examples=[
        Example((0.5, 0.9000000014), (-1.0, 0.917460769), (0.25, 0.8948559915), lr=0.1),
        Example(
            (0.5, 0.8800999001), (-1.0, 0.8735979132), (0.25, 0.8217341173), lr=0.1,
            betas=(0.8, 0.9), gamma=0.3, eps=1e-3, weight_decay=0.2,
        ),
    ],
)  # fmt: skip
def mars(
    param, grad, exp_avg, exp_avg_sq, last_grad, *, step, lr=3e-3, betas=(0.95, 0.99), gamma=0.025,
    eps=1e-8, weight_decay=0, maximize=False,
):  # fmt: skip
    """MARS (Yuan et al. 2024, algorithms 2 and 3, approximate): AdamW of less noisy gradients.

    A gradient is corrected by its change since the last step, and then no longer than 1 as the
    tensor's vector. Before the first step the gradient counts as 0, as in the authors' code.
    """
    beta1, beta2 = betas
    param, grad = decay(param, grad, lr, weight_decay, maximize, True)
    corrected = grad + gamma * beta1 / (1 - beta1) * (grad - last_grad)
    corrected = corrected / maximum(norm(corrected), 1)
    exp_avg = beta1 * exp_avg + (1 - beta1) * corrected
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * corrected * corrected
    root = sqrt(exp_avg_sq / (1 - beta2**step))
    return param - lr / (1 - beta1**step) * exp_avg / (root + eps), exp_avg, exp_avg_sq, grad
