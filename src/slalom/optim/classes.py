"""Make a ``torch.optim.Optimizer`` class of a rule."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Collection
from functools import cached_property
from typing import Any

import torch

from slalom.optim.rule_optimizer import CHOICES, OFFERED, TREATMENT, RuleOptimizer
from slalom.optim.schedule_free import ScheduleFree
from slalom.rules.definition import REQUIRED, Rule

_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def optimizer(rule: Rule, name: str | None = None, like: type | None = None) -> Any:
    """The ``torch.optim.Optimizer`` class of a rule.

    Its arguments are ``params`` and the rule's hyper-parameters in their order, from ``maximize``
    on by keyword only. ``like`` is torch's class of the same name, if there is one: the order of
    its arguments is kept, and those of :data:`CHOICES` that it has are taken, beside
    :data:`OFFERED`, which every class has. ``name`` is the class's name, by default
    ``rule.class_name``. The class speaks torch.optim's interface in full and steps at the speed of
    the compiled rule. That of a rule with an average has ``train()`` and ``eval()`` beside
    (:class:`slalom.optim.schedule_free.ScheduleFree`).
    """
    name = name or rule.class_name
    theirs = inspect.signature(like).parameters if like is not None else {}
    choices = tuple(n for n in CHOICES if n in theirs or n in OFFERED)
    defaults = {**rule.hypers, **{n: CHOICES[n] for n in choices}}
    own = list(rule.hypers)
    last = own.index("maximize") if "maximize" in own else len(own)
    kinds = {n: _POSITIONAL if i < last and not theirs else _KEYWORD for i, n in enumerate(own)}
    kinds |= dict.fromkeys(choices, _KEYWORD)
    shared = {n: p.kind for n, p in theirs.items() if n in defaults}
    parameters = [
        inspect.Parameter(n, kind, default=defaults[n])
        for n, kind in {**shared, **{n: k for n, k in kinds.items() if n not in shared}}.items()
    ]
    signature = inspect.Signature(
        [
            inspect.Parameter("self", _POSITIONAL),
            inspect.Parameter("params", _POSITIONAL),
            *sorted(parameters, key=lambda p: (p.kind, p.default is not REQUIRED)),
            *(inspect.Parameter(n, _KEYWORD, default=d) for n, d in TREATMENT.items()),
        ]
    )

    def initialise(self: RuleOptimizer, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs).arguments
        bound.pop("self")
        RuleOptimizer.__init__(self, bound.pop("params"), **bound)

    initialise.__signature__ = signature  # type: ignore[attr-defined]
    body = {
        "rule": rule, "choices": choices, "beyond": _Beyond(own, like),
        "offered": tuple(n for n in OFFERED if n not in (theirs or ("differentiable",))),
        "__init__": initialise, "__doc__": rule.__doc__,
        "__module__": sys._getframe(1).f_globals["__name__"],  # where pickle looks for the class
    }  # fmt: skip
    return type(name, (ScheduleFree if rule.averaged else RuleOptimizer,), body)


class _Beyond:
    """Which hyper-parameters the groups of torch's class lack; looked up when first asked for.

    A group may hold what the class has no argument for, as AdamW's does, so that one has to be
    made; that imports torch's compiler, which takes longer than all of Slalom.
    """

    def __init__(self, own: Collection[str], like: type[torch.optim.Optimizer] | None):
        self._own, self._like = own, like

    def __get__(self, instance: Any, owner: type) -> tuple[str, ...]:
        return self._names

    @cached_property
    def _names(self) -> tuple[str, ...]:
        if self._like is None:
            return ()
        made: Any = self._like
        (group,) = made([torch.empty(0, 0)]).param_groups
        return tuple(name for name in self._own if name not in group)
