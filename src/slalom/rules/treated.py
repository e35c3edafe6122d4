"""What is done to a gradient before its rule sees it, in the same pass over memory."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from slalom.rules.functions import maximum, minimum
from slalom.rules.rule import REQUIRED, Rule

SCALE, BOUND, SHRINK = "grad_scale", "grad_bound", "param_shrink"
"""The hyper-parameters that treated rules have beside their own."""


@cache
def treated(rule: Rule, scaled: bool, bounded: bool, shrunk: bool = False) -> Rule:
    """The rule behind a treatment of what it is given; ``rule`` itself where there is none.

    ``scaled`` multiplies the gradient by ``grad_scale`` (unscaling and clipping by norm);
    ``bounded`` then brings it into ``[-grad_bound, grad_bound]`` (clipping by value). NaN stays.
    ``shrunk`` multiplies the parameter by ``1 - param_shrink`` (a decay that knows no rate).
    """
    if not (scaled or bounded or shrunk):
        return rule

    def function(param: Any, grad: Any, *state: Any, **hypers: Any) -> Any:
        if scaled:
            grad = grad * hypers.pop(SCALE)
        if bounded:
            bound = hypers.pop(BOUND)
            grad = minimum(maximum(grad, -bound), bound)
        if shrunk:
            param = (1 - hypers.pop(SHRINK)) * param
        return rule.function(param, grad, *state, **hypers)

    own = inspect.signature(rule.function)
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=REQUIRED)
        for name, asked in ((SCALE, scaled), (BOUND, bounded), (SHRINK, shrunk))
        if asked
    ]
    function.__signature__ = own.replace(parameters=[*own.parameters.values(), *extra])  # type: ignore[attr-defined]
    function.__wrapped__ = rule.function  # type: ignore[attr-defined]
    function.__name__ = rule.name
    function.__doc__ = rule.__doc__
    return Rule(
        function, numbers=rule.numbers, init=rule.init, search=rule.search,
        sparse=rule.sparse,
    )  # fmt: skip
