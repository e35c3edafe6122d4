"""A rule made of a rule: no step against the gradient (Liang et al. 2024)."""

from __future__ import annotations

import inspect
from typing import Any

from slalom.rules.functions import where
from slalom.rules.parts import decay
from slalom.rules.rule import Rule


def cautious(rule: Rule, *, decoupled_weight_decay: bool = False) -> Rule:
    """The rule that moves a parameter as ``rule`` does, where that goes down its gradient.

    An element whose step and gradient disagree in sign stays where it is; its state goes on
    (Liang et al. 2024, algorithm 1). The paper then scales the steps that are left, by the size
    of the tensor over their number. That number is known only after a pass over the tensor, so
    the scaling is left out here: the theory of the paper (sec. 3) holds for the plain mask, and
    a larger ``lr`` makes up for it. Weight decay always acts, masked in no element.

    ``decoupled_weight_decay`` says how ``rule`` decays if it has no argument of that name. The
    new rule's arguments, state and starting values are those of ``rule``.
    """

    def function(param: Any, grad: Any, *state: Any, **hypers: Any) -> Any:
        decoupled = hypers.get("decoupled_weight_decay", decoupled_weight_decay)
        maximize = hypers.get("maximize", False)
        weight_decay = hypers.get("weight_decay", 0)
        start, grad = decay(param, grad, hypers["lr"], weight_decay, maximize, decoupled)
        plain = {"weight_decay": 0, "maximize": False}
        hypers |= {name: value for name, value in plain.items() if name in hypers}
        results = rule.function(start, grad, *state, **hypers)
        moved, *states = results if isinstance(results, tuple) else (results,)
        return where((start - moved) * grad > 0, moved, start), *states

    function.__name__ = f"cautious_{rule.name}"
    function.__doc__ = f"Cautious {rule.title}; the mask: Liang et al. 2024, without its scaling."
    function.__signature__ = inspect.signature(rule.function)  # type: ignore[attr-defined]
    return Rule(
        function, numbers=rule.numbers, init=rule.init, search=rule.search,
        sparse=rule.sparse,
    )  # fmt: skip
