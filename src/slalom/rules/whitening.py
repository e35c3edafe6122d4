"""Rules that fit what makes gradients white, without decomposing anything."""

from __future__ import annotations

from slalom.rules.definition import rule
from slalom.rules.example import Example
from slalom.rules.functions import Value, columns, maximum, mean, minimum, rows, sqrt, where
from slalom.rules.matrices import balanced, between, gram, identity, squared, whitened
from slalom.rules.parts import decay
from slalom.rules.preconditioned import WHOLE_INTERVALS

BALANCED_EVERY = 100
"""Updates of the factors after which they are made equally large."""


@rule(
    class_name="PSGD",
    shapes={
        "row_factor": "rows x rows up to max_precond_dim",
        "col_factor": "columns x columns up to max_precond_dim",
        "row_scale": "row", "col_scale": "column",
    },
    init={"row_scale": 1.0, "col_scale": 1.0},
    search={"lr": (1e-5, 1e-2), "momentum": (0.8, 0.98)},
    bounds={
        "momentum": "[0, 1]", "whiten": ("momentum", "gradient"), "precondition_lr": "(0, 1)",
        "damping": "> 0", "precondition_frequency": ">= 1", "init_scale": "> 0",
        "clip[0]": "> 0", "clip[1]": "> 0", "max_precond_dim": ">= 0",
    },
    requires=WHOLE_INTERVALS,
    examples=[
        Example((0.5, 0.94382), (-1.0, 0.9769110006), (0.25, 0.9901994279), lr=0.1),
        Example(
            (0.5, 0.9), (-1.0, 0.9031356289), (0.25, 0.8579788474), (2.0, 0.7650799051), lr=0.1,
            momentum=0.5, whiten="gradient", precondition_lr=0.5, precondition_frequency=2,
            damping=0.1, init_scale=2, clip=(0.75, 0.5), weight_decay=0.5,
        ),
    ],
)  # fmt: skip
def psgd(
    param, grad, exp_avg, row_factor, col_factor, row_scale, col_scale, *, step, lr=2e-4,
    momentum=0.9, whiten="momentum", precondition_lr=0.1, precondition_frequency=1, damping=1e-9,
    init_scale=1.0, clip=(2.0, 10.0), weight_decay=0, max_precond_dim=10000, maximize=False,
):  # fmt: skip
    """PSGD (Li 2015; 2024, Kronecker whitening): steps between factors that make them white.

    The momentum, or the gradient with ``whiten="gradient"``, is multiplied from both sides by
    matrices that are moved by ``precondition_lr`` towards making its rows and its columns
    uncorrelated and of size 1, in the first step and every ``precondition_frequency`` steps, by
    products alone. This is the form that the author's code has by default, dQ = Q^0.5 · E · Q^1.5,
    but that nothing is drawn by chance: steps that move the factors come at equal distances, the
    damping, by which no gain is beyond 1 / ``damping``, is added as what its noise is in the mean,
    factors are balanced every 100th time, and the length of a step hangs on the present gradient
    alone. The result is no longer than ``clip[0]`` in the root mean square, nor an element than
    ``clip[1]``. A side longer than ``max_precond_dim``, and a vector, has one number a row or
    column, each moved by itself.
    """
    param, grad = decay(param, grad, lr, weight_decay, maximize, True)
    keep = minimum(1 - 1 / step, momentum)
    exp_avg = keep * exp_avg + (1 - keep) * grad
    height, width = rows(param), columns(param)
    vector = (height == 1) | (width == 1)
    by_row = (width == 1) | ((height > 1) & (height > max_precond_dim))
    by_col = (width > 1) & ((height == 1) | (width > max_precond_dim))
    if step == 1:
        half = sqrt(init_scale)
        row_factor, col_factor = identity(row_factor, half), identity(col_factor, half)
        start = where(vector, init_scale, half)
        row_scale, col_scale = where(by_row, start, row_scale), where(by_col, start, col_scale)

    def preconditioned(x: Value) -> Value:
        x = row_scale * row_scale * (col_scale * col_scale) * x
        return between(squared(row_factor), x, squared(col_factor))

    if (step - 1) % precondition_frequency == 0:
        seen = preconditioned(exp_avg if whiten == "momentum" else grad)
        per_row = gram(seen / sqrt(width), 1, onto=row_factor, keep=0)
        per_col = gram(seen / sqrt(height), 0, onto=col_factor, keep=0)
        row_factor = whitened(row_factor, per_row, precondition_lr, damping)
        col_factor = whitened(col_factor, per_col, precondition_lr, damping)
        row_scale = where(
            by_row, _moved(row_scale, mean(seen * seen, 1), precondition_lr, damping, vector), 1.0
        )
        col_scale = where(
            by_col, _moved(col_scale, mean(seen * seen, 0), precondition_lr, damping, vector), 1.0
        )
        if step % (BALANCED_EVERY * precondition_frequency) == 1:
            row_factor, col_factor = (
                balanced(row_factor, col_factor), balanced(col_factor, row_factor)
            )  # fmt: skip
    change = preconditioned(exp_avg)
    change = minimum(1.0, clip[0] / sqrt(mean(change * change))) * change
    change = maximum(minimum(change, clip[1]), -clip[1])
    param = param - lr * change
    return param, exp_avg, row_factor, col_factor, row_scale, col_scale


def _moved(scale: Value, seen: Value, rate: Value, damping: Value, vector: Value) -> Value:
    """:func:`whitened` of factors that are numbers; those of a vector are all of its gain."""
    gain = scale * scale
    seen = seen + where(vector, damping * gain * damping * gain, damping * gain * gain)
    return scale - rate * (seen - 1) / (seen + 1) * scale
