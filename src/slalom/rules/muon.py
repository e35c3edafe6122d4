"""Rules that look at a matrix as one, and make all of its singular directions equally long."""

from __future__ import annotations

from slalom.rules.definition import rule
from slalom.rules.example import Example
from slalom.rules.functions import Value, columns, maximum, mean, norm, rows, sqrt
from slalom.rules.matrices import POLAR_EXPRESS, orthogonal, polynomials

WHOLE_STEPS = {
    "ns_steps must be a whole number": lambda hypers: float(hypers["ns_steps"]).is_integer()
}


@rule(
    search={"lr": (1e-3, 3e-1), "momentum": (0.8, 0.98)},
    bounds={
        "ns_steps": "[0, 99]", "adjust_lr_fn": ("original", "match_rms_adamw"),
        "ns_dtype": ("bfloat16", "float32"),
    },
    requires=WHOLE_STEPS,
    examples=[
        Example((0.5, 0.9203563591), (-1.0, 0.9807964364), (0.25, 0.9013448311), lr=0.1),
        Example(
            (0.5, 0.9303776477), (-1.0, 0.9038571504), (0.25, 0.8670553092), lr=0.1,
            weight_decay=0.5, momentum=0.5, nesterov=False, ns_coefficients=(1.875, -1.25, 0.375),
            eps=0.5, ns_steps=2, adjust_lr_fn="match_rms_adamw",
        ),
        Example(
            (0.5, 0.888298276), (-1.0, 0.981110089), (0.25, 0.8681938925), lr=0.1, ns_steps=3,
            polar_express=True,
        ),
    ],
)  # fmt: skip
def muon(
    param, grad, momentum_buffer, *, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True,
    ns_coefficients=(3.4445, -4.7750, 2.0315), eps=1e-7, ns_steps=5, adjust_lr_fn=None,
    polar_express=False, ns_dtype=None, maximize=False,
):  # fmt: skip
    """Muon (Jordan et al. 2024; Liu et al. 2025, equation 4): momentum, made orthogonal.

    For the hidden matrices of a network; see :func:`slalom.optim.split` for all the others.
    ``ns_coefficients`` are those of Newton and Schulz' polynomial, applied ``ns_steps`` times;
    ``polar_express`` takes those of Amsel et al. 2025 (algorithm 1) instead. The rate is that of
    Jordan (``"original"``, also None), times the root of rows over columns where that is above 1,
    or that of Liu (``"match_rms_adamw"``), times 0.2 roots of the longer side. Convolutions, which
    torch.optim.Muon refuses, are matrices of one row for each output channel, and a vector is one
    column.
    """
    grad = -grad if maximize else grad
    momentum_buffer = momentum * momentum_buffer + (1 - momentum) * grad
    change = momentum * momentum_buffer + (1 - momentum) * grad if nesterov else momentum_buffer
    each = POLAR_EXPRESS if polar_express else [ns_coefficients]
    length = 1.01 * norm(change) + eps if polar_express else maximum(norm(change), eps)
    change = orthogonal(change / length, polynomials(each, ns_steps), ns_dtype)
    kept = (1 - lr * weight_decay) * param
    return kept - lr * _scale(param, adjust_lr_fn) * change, momentum_buffer


@rule(
    class_name="NorMuon", shapes={"second_momentum_buffer": "row"},
    search={"lr": (1e-3, 3e-1), "momentum": (0.8, 0.98)},
    bounds={
        "beta2": "[0, 1)", "ns_steps": "[0, 99]", "ns_dtype": ("bfloat16", "float32"),
        "adjust_lr_fn": ("original", "match_rms_adamw"),
    },
    requires=WHOLE_STEPS,
    examples=[
        Example((0.5, 0.9203563591), (-1.0, 0.9807964364), (0.25, 0.9013448311), lr=0.1,
                weight_decay=0.1),
        Example((0.5, 0.98), (-1.0, 1.0), (0.25, 0.98), lr=0.1, adjust_lr_fn="match_rms_adamw"),
    ],
)  # fmt: skip
def normuon(
    param, grad, momentum_buffer, second_momentum_buffer, *, lr=0.02, weight_decay=0, momentum=0.95,
    beta2=0.95, nesterov=True, ns_coefficients=(3.4445, -4.7750, 2.0315), eps=1e-7, ns_steps=5,
    adjust_lr_fn=None, polar_express=False, ns_dtype=None, maximize=False,
):  # fmt: skip
    """NorMuon (Li et al. 2025, algorithm 1): Muon whose rows, the neurons, move alike.

    Rows are divided by the root of an average of their mean squares. The rate is that of the
    authors' code (``"original"``, also None), which leaves the norm of the matrix as it was and
    scales as Muon does, or that of the paper (``"match_rms_adamw"``): steps whose root mean square
    is 0.2. All else is as in Muon.
    """
    grad = -grad if maximize else grad
    momentum_buffer = momentum * momentum_buffer + (1 - momentum) * grad
    change = momentum * momentum_buffer + (1 - momentum) * grad if nesterov else momentum_buffer
    each = POLAR_EXPRESS if polar_express else [ns_coefficients]
    length = 1.01 * norm(change) + eps if polar_express else maximum(norm(change), eps)
    change = orthogonal(change / length, polynomials(each, ns_steps), ns_dtype)
    before = norm(change)
    square = mean(change * change, axis=1)
    second_momentum_buffer = beta2 * second_momentum_buffer + (1 - beta2) * square
    change = change / (sqrt(second_momentum_buffer) + 1e-10)
    if adjust_lr_fn == "match_rms_adamw":
        before = 0.2 * sqrt(rows(param) * columns(param))
    else:
        before = before * _scale(param, None)
    kept = (1 - lr * weight_decay) * param
    change = before / (norm(change) + 1e-10) * change
    return kept - lr * change, momentum_buffer, second_momentum_buffer


def _scale(param: Value, adjust_lr_fn: str | None) -> Value:
    """By what the rate of a matrix is multiplied, so that one rate suits all shapes."""
    if adjust_lr_fn == "match_rms_adamw":
        return 0.2 * sqrt(maximum(rows(param), columns(param)))
    return sqrt(maximum(rows(param) / columns(param), 1))
