"""The mathematics: every update rule, written once, and the words a rule is written in."""

from slalom.rules.adaptive import adadelta, adagrad, rmsprop
from slalom.rules.cautious import cautious
from slalom.rules.descent import asgd, momentum, sgd
from slalom.rules.functions import absolute, maximum, minimum, sign, sqrt, where
from slalom.rules.moments import adam, adamax, adamw, nadam, radam
from slalom.rules.rule import REQUIRED, Rule, RuleError, rule
from slalom.rules.schedule_free import schedule_free_adamw, schedule_free_sgd
from slalom.rules.signs import lion, rprop, signsgd, signum
from slalom.rules.variations import adabelief, adabound, adan, laprop

cautious_adamw = cautious(adamw)
cautious_lion = cautious(lion, decoupled_weight_decay=True)

RULES: dict[str, Rule] = {
    r.name: r
    for r in (
        sgd, momentum, asgd, adagrad, adadelta, rmsprop, rprop, adam, adamw, adamax, nadam, radam,
        signsgd, signum, lion, adabelief, adabound, laprop, adan, cautious_adamw, cautious_lion,
        schedule_free_sgd, schedule_free_adamw,
    )
}  # fmt: skip
"""Every rule that comes with Slalom, by name."""

__all__ = [
    "REQUIRED", "RULES", "Rule", "RuleError", "absolute", "adabelief", "adabound", "adadelta",
    "adagrad", "adam", "adamax", "adamw", "adan", "asgd", "cautious", "cautious_adamw",
    "cautious_lion", "laprop", "lion", "maximum", "minimum", "momentum", "nadam", "radam",
    "rmsprop", "rprop", "rule", "schedule_free_adamw", "schedule_free_sgd", "sgd", "sign",
    "signsgd", "signum", "sqrt", "where",
]  # fmt: skip
