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
from slalom.optim.registered import CLASSES
from slalom.optim.routed import Routed
from slalom.optim.rule_optimizer import RuleOptimizer
from slalom.optim.splitting import split
from slalom.rules import RuleError

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The classes that the registry makes, which are there before anybody asks."""


_torchs = {n: getattr(torch.optim, n) for n in torch.optim.__all__ if n not in globals()}
for _name in CLASSES.keys() & globals().keys():
    raise RuleError(f"slalom.optim has another {_name}; give the rule of that class a class_name")
globals().update(_torchs | CLASSES)
for _module in (lr_scheduler, swa_utils):  # for from slalom.optim.lr_scheduler import ...
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module

__all__ = [
    "Optimizer", "Routed", "RuleOptimizer", "lr_scheduler", "optimizer", "split", "swa_utils",
]  # fmt: skip
__all__ += sorted(_torchs | CLASSES)  # pyright: ignore[reportUnsupportedDunderAll]
