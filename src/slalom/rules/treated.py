"""What is done to a gradient before its rule sees it, in the same pass over memory."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from slalom.rules.definition import REQUIRED, Rule
from slalom.rules.functions import maximum, minimum

SCALE, BOUND, SHRINK = "@grad_scale", "@grad_bound", "@param_shrink"
"""The late hyper-parameters of treated rules. No argument of a rule can have such a name."""


@cache
def treated(rule: Rule, late: tuple[str, ...]) -> Rule:
    """The rule behind a treatment of what it is given; ``rule`` itself where there is none.

    ``late`` are those of :data:`SCALE` (multiplies the gradient: unscaling and clipping by norm),
    :data:`BOUND` (then brings it into [-bound, bound]: clipping by value; NaN stays) and
    :data:`SHRINK` (multiplies the parameter by 1 - shrink: a decay beside the rule's own) that act.
    """
    if not late:
        return rule

    def function(param: Any, grad: Any, *state: Any, **hypers: Any) -> Any:
        if SCALE in late:
            grad = grad * hypers.pop(SCALE)
        if BOUND in late:
            bound = hypers.pop(BOUND)
            grad = minimum(maximum(grad, -bound), bound)
        if SHRINK in late:
            param = (1 - hypers.pop(SHRINK)) * param
        return rule.function(param, grad, *state, **hypers)

    function.__wrapped__ = rule.function  # type: ignore[attr-defined]
    made = copy.copy(rule)
    made.function, made.late = function, late
    made.hypers = {**rule.hypers, **dict.fromkeys(late, REQUIRED)}
    return made
