"""The functions a rule may use, on tensors, on numbers and on the symbols of a trace alike.

:func:`total`, :func:`mean`, :func:`norm`, :func:`rows` and :func:`columns` look at a whole tensor,
or at all of them, as :func:`highest` does; all others look at one element.

A tensor and a symbol answer to the same methods, so only plain numbers need a case of their own.
"""

from __future__ import annotations

import math
from typing import Any

import torch

Value = Any
"""A tensor, a Python number, or a symbol of a trace."""

_NUMBER = (int, float)


def sqrt(x: Value) -> Value:
    """Square root, elementwise."""
    return math.sqrt(x) if isinstance(x, _NUMBER) else x.sqrt()


def absolute(x: Value) -> Value:
    """Absolute value, elementwise."""
    return abs(x)


def sign(x: Value) -> Value:
    """-1, 0 or 1, elementwise; 0 for NaN, as in torch."""
    return (x > 0) - (x < 0) if isinstance(x, _NUMBER) else x.sign()


def maximum(a: Value, b: Value) -> Value:
    """The larger of two, elementwise; NaN where either is, as in torch."""
    return _pairwise("maximum", max, a, b)


def minimum(a: Value, b: Value) -> Value:
    """The smaller of two, elementwise; NaN where either is, as in torch."""
    return _pairwise("minimum", min, a, b)


def atan2(y: Value, x: Value) -> Value:
    """The angle of the point (x, y), elementwise, from -pi to pi; signed zeros as in torch."""
    if isinstance(y, _NUMBER) and isinstance(x, _NUMBER):
        return math.atan2(y, x)
    if isinstance(y, _NUMBER):
        if not isinstance(x, torch.Tensor):
            return x.ratan2(y)
        y = torch.full((), y, dtype=x.dtype, device=x.device)
    if isinstance(y, torch.Tensor) and isinstance(x, _NUMBER):
        x = torch.full((), x, dtype=y.dtype, device=y.device)
    return y.atan2(x)


def log(x: Value) -> Value:
    """Natural logarithm of a number: of hyper-parameters and the step, not of elements."""
    return math.log(x) if isinstance(x, _NUMBER) else x.log()


def where(condition: Value, a: Value, b: Value) -> Value:
    """``a`` where the condition holds and ``b`` elsewhere, elementwise."""
    if isinstance(condition, torch.Tensor):
        if isinstance(a, _NUMBER) and isinstance(b, _NUMBER):
            # torch would round two numbers to the default dtype, whatever they meet next
            a = torch.full((), a, dtype=torch.float64, device=condition.device)
        return torch.where(condition, a, b)
    if isinstance(condition, bool):
        return a if condition else b
    return condition.where(a, b)


def total(x: Value, axis: int | None = None, over: str | None = None) -> Value:
    """The sum of a tensor's elements; of each row with ``axis=1``, of each column with ``axis=0``.

    With ``over="group"`` it is that over all tensors of the parameter group that the step updates,
    with ``over="optimizer"`` over all that it updates by this rule: one number, the same for each
    of them. Where the function is called with a tensor, that is the only one.

    A tensor of any shape is a matrix whose first axis counts the rows, all others together the
    columns; one of a single axis has one column. What comes out meets the tensor's elements as one
    number, one a row or one a column: of a tensor of shape (n, a, b) it is of shape (), (n, 1, 1)
    or (1, a, b). Complex numbers count as pairs of reals.
    """
    if not isinstance(x, torch.Tensor):
        return measurable(x, "total").total(axis, over)
    if (axis := reach(axis, over)) is None:
        return x.sum()
    axes = _summed(x, axis)
    return x.sum(axes, keepdim=True) if axes else x


def mean(x: Value, axis: int | None = None, over: str | None = None) -> Value:
    """The mean of elements: of a tensor, of each row or column, or of all: see :func:`total`.

    Of no elements it is 0, so that no state of an empty parameter is NaN.
    """
    if not isinstance(x, torch.Tensor):
        return measurable(x, "mean").mean(axis, over)
    if x.numel() == 0:
        return total(x, axis, over)
    if (axis := reach(axis, over)) is None:
        return x.mean()
    axes = _summed(x, axis)
    return x.mean(axes, keepdim=True) if axes else x


def norm(x: Value, axis: int | None = None, over: str | None = None) -> Value:
    """The Euclidean norm of a tensor, of each row or column, or of all: see :func:`total`."""
    if not isinstance(x, torch.Tensor):
        return measurable(x, "norm").norm(axis, over)
    if (axis := reach(axis, over)) is None:
        return torch.linalg.vector_norm(x)
    axes = _summed(x, axis)
    return torch.linalg.vector_norm(x, dim=axes, keepdim=True) if axes else x.abs()


def highest(x: Value, over: str) -> Value:
    """The highest of one number of each tensor, over all that :func:`total` has with ``over``.

    NaN where one is.
    """
    if not isinstance(x, torch.Tensor):
        return measurable(x, "highest").highest(over)
    reach(None, over)
    if x.numel() != 1:
        raise ValueError(f"highest is of one number of a tensor, not of {tuple(x.shape)}")
    return x


def rows(x: Value) -> Value:
    """How many rows a tensor has as a matrix, at least 1: see :func:`total`."""
    if not isinstance(x, torch.Tensor):
        return measurable(x, "rows").rows()
    return max(1, math.prod(x.shape[:1]))


def columns(x: Value) -> Value:
    """How many columns a tensor has as a matrix, at least 1: see :func:`total`."""
    if not isinstance(x, torch.Tensor):
        return measurable(x, "columns").columns()
    return max(1, math.prod(x.shape[1:]))


OVER = ("group", "optimizer")
"""Over whose tensors something is summed up beyond one."""


def reach(axis: int | None, over: str | None) -> int | None:
    """The axis; ValueError where ``over`` is none of :data:`OVER`, or both are given."""
    if over is not None and (over not in OVER or axis is not None):
        raise ValueError(
            f"over is {over!r} and axis {axis!r}; over is 'group', 'optimizer' or None, and stands "
            "without an axis"
        )
    return axis


def _summed(x: torch.Tensor, axis: int) -> tuple[int, ...]:
    """The axes of a tensor that go away where it is summed along an axis of its matrix."""
    if axis not in (0, 1):
        raise ValueError(f"axis is {axis!r}; it must be 0 (each column), 1 (each row) or None")
    axes = tuple(range(x.dim()))
    return axes[:1] if axis == 0 else axes[1:]


def measurable(x: Any, name: str) -> Any:
    """The symbol that it is; TypeError for a number, of which an operation of this name is none."""
    if isinstance(x, _NUMBER):
        raise TypeError(f"{name} is of a tensor, and {x!r} is a number")
    return x


def _pairwise(name: str, of_numbers: Any, a: Value, b: Value) -> Value:
    if isinstance(a, _NUMBER) and isinstance(b, _NUMBER):
        return math.nan if math.isnan(a) or math.isnan(b) else of_numbers(a, b)
    if isinstance(a, _NUMBER):  # both are symmetric, so the one with methods may go first
        a, b = b, a
    if isinstance(a, torch.Tensor) and isinstance(b, _NUMBER):
        b = torch.full((), b, dtype=a.dtype, device=a.device)
    return getattr(a, name)(b)
