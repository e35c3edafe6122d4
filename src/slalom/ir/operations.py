"""The operations that a traced rule is made of, by name, and along what their results vary."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from slalom.rules import functions, matrices
from slalom.rules.definition import RuleError

ALLOWED = (
    "a rule may use + - * / **, comparisons and & | ~ between them, abs, and sqrt, absolute, sign, "
    "maximum, minimum, atan2, where, total, mean, norm, highest, rows, columns, orthogonal, gram, "
    "between and (of numbers) log of slalom.rules, and % of numbers; it may branch on "
    "hyper-parameters and on step, not on tensors"
)

ROWS, COLUMNS, ELEMENTS = 1, 2, 3
"""Along what a symbol varies, as bits; 0 of one number. The matrix is that of ``total``."""

SUMS = {"total": "the sum of the operand", "squares": "the sum of its squares, in double precision"}
"""The operations over a tensor: of an operand, and what is left to vary along of it, as bits.

``size`` is how many elements, rows or columns there are."""

CROSSINGS = {"total": "the sum", "highest": "the highest"}
"""What ``across`` makes of one number of each tensor: of an operand, this, and of whose tensors."""

SQUARE = 4
"""The bit of what is a square matrix: with :data:`ROWS` one of rows by rows, with the other one of
columns by columns. Operations on whole matrices alone make and take them."""

PRODUCTS: dict[str, Callable[..., Any]] = {
    "orthogonal": matrices.newton_schulz, "between": matrices.between, "gram": matrices.gram,
}  # fmt: skip
"""The operations on a tensor as a matrix, which give elements again, but for ``gram``."""

DECOMPOSITIONS: dict[str, Callable[..., Any]] = {
    "transposed": matrices.transposed, "eigenvectors": matrices.eigenvectors,
    "refined": matrices.refined, "inverse_root": matrices.inverse_root,
    "identity": matrices.identity, "squared": matrices.squared, "balanced": matrices.balanced,
    "whitened": matrices.whitened,
}  # fmt: skip
"""The operations on square matrices alone, which give one of the first operand's kind."""

SCALAR_OPS: dict[str, Callable[..., Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv,
    "pow": operator.pow, "neg": operator.neg, "gt": operator.gt, "ge": operator.ge,
    "lt": operator.lt, "le": operator.le, "eq": operator.eq, "ne": operator.ne,
    "sqrt": functions.sqrt, "abs": functions.absolute, "sign": functions.sign,
    "maximum": functions.maximum, "minimum": functions.minimum, "where": functions.where,
    "atan2": functions.atan2, "log": functions.log, "mod": operator.mod,
}  # fmt: skip
"""What each operation is on plain numbers."""

COMPARISONS = frozenset({"gt", "ge", "lt", "le", "eq", "ne"})
MASKS = COMPARISONS | {"and", "or", "not"}

KEPT = {"tensor0": 0, "tensor1": ROWS, "tensor2": COLUMNS}
"""States that are no elements, and along what they vary."""


SQUARES = {"square1": SQUARE | ROWS, "square2": SQUARE | COLUMNS}
"""States that are square matrices, and of which kind."""

VARIES = {**KEPT, **SQUARES}
"""Along what states of another shape than their parameter vary."""


def left_of(axis: int | None) -> int:
    """Along what a sum over an axis (None: over all) still varies."""
    if axis not in (None, 0, 1):
        raise RuleError(f"it sums over the axis {axis!r}; there are 0 (columns), 1 (rows) and None")
    return 0 if axis is None else COLUMNS if axis == 0 else ROWS


def evaluate(op: str, *numbers: Any) -> Any:
    """``op`` on Python numbers, with IEEE's infinities and NaN where Python would raise.

    Raises ValueError where the result is no real number: a root or a broken power of a negative.
    """
    try:
        value = SCALAR_OPS[op](*numbers)
    except (ZeroDivisionError, OverflowError):
        import numpy as np

        with np.errstate(all="ignore"):
            return float(SCALAR_OPS[op](*map(np.float64, numbers)))
    if isinstance(value, complex):
        raise ValueError("it is not a real number")
    return value
