"""One optimizer that gives different rules to different parameters."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from slalom.optim.registered import CLASSES
from slalom.optim.rule_optimizer import TREATMENT, RuleOptimizer
from slalom.optim.schedule_free import ScheduleFree
from slalom.rules.definition import REQUIRED, Rule


class Routed(RuleOptimizer):
    """A rule for each parameter group: one state dict, one schedule, one pass over memory.

        optimizer = slalom.optim.Routed(
            [
                {"params": model.embedding.parameters(), "rule": "Momentum", "lr": 0.1},
                {"params": model.body.parameters()},
            ],
            rule="AdamW", lr=1e-3,
        )

    Args:
        params: as torch takes them; a group names its rule under ``rule`` and overrides
            hyper-parameters of it.
        rule: of the groups that name none: the name of a class of ``slalom.optim``, or a class
            that :func:`slalom.optimizer` made of a rule of your own. In a checkpoint it is the
            class's name.
        arguments: hyper-parameters for every group whose rule has them, in place of the rule's
            defaults; and the arguments that every class takes (``clip_norm``, whose norm is over
            all groups, and the like).

    Raises ValueError where there is no such rule or none was named, and TypeError for an argument
    that no group's rule has.
    """

    several_rules = True

    told: Mapping[str, str] = {}
    """Of parameters by name why they have the rule that they have, where that was decided."""

    def __init__(
        self, params: Any, rule: str | type[RuleOptimizer] | None = None, **arguments: Any
    ):
        self._take_treatment(arguments)
        self._classes: dict[str, type[RuleOptimizer]] = {}
        self._rule, self._shared = rule, arguments
        torch.optim.Optimizer.__init__(self, params, {})
        known = {hyper for group in self.param_groups for hyper in self.rule_of(group).hypers}
        for name in arguments:
            if name not in known:
                raise TypeError(
                    f"none of the rules has an argument {name!r}; they have "
                    f"{', '.join(sorted(known))}, and all take {', '.join(TREATMENT)}"
                )
        self._treatment.check({self.rule_of(group) for group in self.param_groups})

    def rule_of(self, group: Mapping[str, Any]) -> Rule:
        """The rule that a parameter group follows; ValueError if there is none of that name."""
        return self._class(group.get("rule")).rule

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As in torch; what the group leaves open is as the optimizer's arguments say."""
        made = self._class(param_group.get("rule", self._rule))
        param_group["rule"] = made.__name__
        self._complete([param_group])
        self.defaults = {}  # or torch would give the group what others have in common
        super().add_param_group(param_group)
        self._tell_defaults()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._tell_defaults()

    def _complete(self, groups: Iterable[dict[str, Any]]) -> None:
        """Give groups what they lack of their rules' options: a rule may be changed by hand."""
        for group in groups:
            for name, default in self.rule_of(group).hypers.items():
                value = group.get(name, self._shared.get(name, default))
                if value is REQUIRED:
                    raise ValueError(f"{group['rule']} needs a value for {name}: it has no default")
                group[name] = value

    def _tell_defaults(self) -> None:
        """What every group has, since schedulers ask the defaults whether there is a momentum."""
        first, *others = self.param_groups
        hypers = [self.rule_of(group).hypers for group in (first, *others)]
        shared = [n for n in hypers[0] if all(n in own for own in hypers)]
        self.defaults = {name: first[name] for name in shared}

    def __getstate__(self) -> dict[str, Any]:
        own = {"_classes": self._classes, "_rule": self._rule, "_shared": self._shared}
        return {**super().__getstate__(), **own, "told": self.told}

    def remark(self, group: Mapping[str, Any], name: str) -> str:
        why = self.told.get(name)
        return f"{group['rule']}{f', {why}' if why else ''}"

    def _class(self, rule: Any) -> type[RuleOptimizer]:
        if isinstance(rule, type) and issubclass(rule, RuleOptimizer) and hasattr(rule, "rule"):
            made = rule
        elif isinstance(rule, str):
            made = self._classes.get(rule) or CLASSES.get(rule)
        else:
            made = None
        if not (isinstance(made, type) and hasattr(made, "rule")):
            near = difflib.get_close_matches(str(rule), CLASSES, 1, cutoff=0.4)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"rule={rule!r} names no rule; give each group the name of a class of "
                f"slalom.optim, or such a class of your own{hint}"
            )
        if issubclass(made, ScheduleFree):
            raise ValueError(
                f"{made.__name__} cannot be one of several rules: it moves all parameters at once "
                "between training and evaluation"
            )
        if self._classes.setdefault(made.__name__, made) is not made:
            raise ValueError(f"two different rules are called {made.__name__}")
        return made
