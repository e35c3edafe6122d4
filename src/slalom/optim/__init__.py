"""Optimizers with torch.optim's interface, each made of one rule; and all else of torch.optim.

There is a class for every rule of :data:`slalom.rules.RULES`, under its ``class_name``. What
torch.optim has beside (``Optimizer``, ``lr_scheduler``, ``swa_utils``, ``LBFGS``, ...) is torch's
own, so that ``import slalom.optim as optim`` is all there is to change.
"""

import sys
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer, lr_scheduler, swa_utils

from slalom.optim.classes import optimizer
from slalom.optim.rule_optimizer import RuleOptimizer
from slalom.rules import RULES, Rule, RuleError

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The classes that the registry makes, which are there before anybody asks."""


def _made(rule: Rule) -> type[RuleOptimizer]:
    """The class of a rule that comes with Slalom."""
    name = rule.class_name
    if name in globals() or name == "Routed":
        raise RuleError(f"rule {rule.name}: slalom.optim has another {name}; give it a class_name")
    return optimizer(rule, name, like=getattr(torch.optim, name, None))


_classes = {rule.class_name: _made(rule) for rule in RULES.values()}
_torchs = {n: getattr(torch.optim, n) for n in torch.optim.__all__ if n not in globals()}
globals().update(_torchs | _classes)
for _module in (lr_scheduler, swa_utils):  # for from slalom.optim.lr_scheduler import ...
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module

from slalom.optim.routed import Routed  # noqa: E402 - it takes all of the above by their names

__all__ = ["Optimizer", "Routed", "RuleOptimizer", "lr_scheduler", "optimizer", "swa_utils"]
__all__ += sorted(_torchs | _classes)  # pyright: ignore[reportUnsupportedDunderAll]
