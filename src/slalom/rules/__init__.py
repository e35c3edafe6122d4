"""The mathematics: every update rule, written once, and the words a rule is written in."""

from slalom.rules.adaptive import adagrad, adam, adamw, rmsprop
from slalom.rules.descent import momentum, sgd
from slalom.rules.functions import absolute, maximum, minimum, sign, sqrt, where
from slalom.rules.rule import REQUIRED, Rule, RuleError, rule

RULES: dict[str, Rule] = {r.name: r for r in (sgd, momentum, adagrad, rmsprop, adam, adamw)}
"""Every rule that comes with Slalom, by name."""

__all__ = [
    "REQUIRED", "RULES", "Rule", "RuleError", "absolute", "adagrad", "adam", "adamw", "maximum",
    "minimum", "momentum", "rmsprop", "rule", "sgd", "sign", "sqrt", "where",
]  # fmt: skip
