"""The mathematics: every update rule, written once, and the words a rule is written in.

A rule is a function under :func:`~slalom.rules.definition.rule` in any module of this folder.
Nothing else names it: it is found in :data:`RULES`, and with it by all that goes through the rules.
"""

import sys

from slalom.rules.caution import cautious
from slalom.rules.definition import REQUIRED, Rule, RuleError, rule
from slalom.rules.example import Example
from slalom.rules.functions import (
    absolute,
    atan2,
    columns,
    highest,
    log,
    maximum,
    mean,
    minimum,
    norm,
    rows,
    sign,
    sqrt,
    total,
    where,
)
from slalom.rules.matrices import (
    between,
    eigenvectors,
    gram,
    inverse_root,
    orthogonal,
    refined,
    transposed,
)
from slalom.rules.registry import collect
from slalom.rules.slow_gradient import grokfast
from slalom.rules.slow_weights import ema, lookahead

RULES: dict[str, Rule] = collect(sys.modules[__name__])
"""Every rule that comes with Slalom, by name, in the order of their papers."""

__all__ = [
    "REQUIRED", "RULES", "Example", "Rule", "RuleError", "absolute", "atan2", "between", "cautious",
    "columns", "eigenvectors", "ema", "gram", "grokfast", "highest", "inverse_root", "log",
    "lookahead", "maximum", "mean", "minimum", "norm", "orthogonal", "refined", "rows", "rule",
    "sign", "sqrt", "total", "transposed", "where",
]  # fmt: skip
