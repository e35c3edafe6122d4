"""Optimizers with torch.optim's interface, each made of one rule."""

from slalom import rules
from slalom.optim.optimizer import RuleOptimizer, optimizer
from slalom.optim.schedule_free import ScheduleFree

_ANY = ("foreach", "capturable", "differentiable")
_FUSED = ("foreach", "differentiable", "fused")

SGD = optimizer(rules.sgd, "SGD", choices=_FUSED)
Adagrad = optimizer(rules.adagrad, "Adagrad", choices=_FUSED)
Adadelta = optimizer(rules.adadelta, "Adadelta", choices=_ANY)
RMSprop = optimizer(rules.rmsprop, "RMSprop", choices=_ANY)
Rprop = optimizer(rules.rprop, "Rprop", choices=_ANY)
Adam = optimizer(rules.adam, "Adam", choices=(*_ANY, "fused"))
AdamW = optimizer(rules.adamw, "AdamW", choices=(*_ANY, "fused"))
Adamax = optimizer(rules.adamax, "Adamax", choices=_ANY)
NAdam = optimizer(rules.nadam, "NAdam", choices=_ANY)
RAdam = optimizer(rules.radam, "RAdam", choices=_ANY)
ASGD = optimizer(rules.asgd, "ASGD", choices=_ANY)

Momentum = optimizer(rules.momentum, "Momentum")
SignSGD = optimizer(rules.signsgd, "SignSGD")
Signum = optimizer(rules.signum, "Signum")
Lion = optimizer(rules.lion, "Lion")
AdaBelief = optimizer(rules.adabelief, "AdaBelief")
AdaBound = optimizer(rules.adabound, "AdaBound")
LaProp = optimizer(rules.laprop, "LaProp")
Adan = optimizer(rules.adan, "Adan")
CautiousAdamW = optimizer(rules.cautious_adamw, "CautiousAdamW")
CautiousLion = optimizer(rules.cautious_lion, "CautiousLion")


class ScheduleFreeSGD(ScheduleFree, optimizer(rules.schedule_free_sgd)):  # type: ignore[misc]
    __doc__ = rules.schedule_free_sgd.__doc__


class ScheduleFreeAdamW(ScheduleFree, optimizer(rules.schedule_free_adamw)):  # type: ignore[misc]
    __doc__ = rules.schedule_free_adamw.__doc__


from slalom.optim.routed import Routed  # noqa: E402 - it takes all of the above by their names

__all__ = [
    "ASGD", "SGD", "AdaBelief", "AdaBound", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax",
    "Adan", "CautiousAdamW", "CautiousLion", "LaProp", "Lion", "Momentum", "NAdam", "RAdam",
    "RMSprop", "Routed", "Rprop", "RuleOptimizer", "ScheduleFreeAdamW", "ScheduleFreeSGD",
    "SignSGD", "Signum", "optimizer",
]  # fmt: skip
