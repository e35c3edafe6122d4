"""The optimizer class of every rule that comes with Slalom."""

from __future__ import annotations

import torch

from slalom.optim.classes import optimizer
from slalom.optim.rule_optimizer import RuleOptimizer
from slalom.rules import RULES

CLASSES: dict[str, type[RuleOptimizer]] = {
    rule.class_name: optimizer(rule, like=getattr(torch.optim, rule.class_name, None))
    for rule in RULES.values()
}
"""Name -> class, by ``class_name`` of the rules; each is an attribute of ``slalom.optim``."""

for _made in CLASSES.values():
    _made.__module__ = "slalom.optim"  # where users, and pickle, find it
