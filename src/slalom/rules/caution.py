"""A rule made of a rule: no step against the gradient (Liang et al. 2024)."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

from slalom.rules.definition import Rule, RuleError
from slalom.rules.example import Example
from slalom.rules.functions import where
from slalom.rules.moments import adamw
from slalom.rules.parts import decay
from slalom.rules.signs import lion
from slalom.rules.trial import decays_apart


def cautious(rule: Rule, *, examples: Collection[Example] = ()) -> Rule:
    """The rule that moves a parameter as ``rule`` does, where that goes down its gradient.

    An element whose step and gradient disagree in sign stays where it is; its state goes on
    (Liang et al. 2024, algorithm 1). The paper then scales the steps that are left, by the size
    of the tensor over their number. That number is known only after a pass over the tensor, so
    the scaling is left out here: the theory of the paper (sec. 3) holds for the plain mask, and
    a larger ``lr`` makes up for it.

    Weight decay of the common kinds, in the gradient or before the step, always acts, masked in no
    element; which kind it is, a few steps of ``rule`` tell. Any other is a part of the step (LARS,
    LAMB, Adan, Prodigy, StableAdamW, SOAP; decoupled with Lookahead or an average inside). Averages
    that ``rule`` keeps are of its own steps: ``ema(cautious(rule))`` averages what weights are.

    The new rule's arguments, state and all it declares are those of ``rule``, but for its examples.
    Raises :class:`RuleError` for a Schedule-Free rule, where another state takes the steps.
    """
    if rule.averaged:
        raise RuleError(f"rule {rule.name} steps by its state z, which cautious does not mask")
    flags = [n for n, d in rule.hypers.items() if isinstance(d, bool | str) and n != "maximize"]

    def function(param: Any, grad: Any, *state: Any, **hypers: Any) -> Any:
        decoupled = decays_apart(rule, tuple((n, hypers[n]) for n in flags))
        maximize, start = hypers.get("maximize", False), param
        if decoupled is None:
            downhill = -grad if maximize else grad
        else:
            lr, weight_decay = hypers.get("lr", 0), hypers.get("weight_decay", 0)
            start, grad = decay(param, grad, lr, weight_decay, maximize, decoupled)
            plain = {"weight_decay": 0, "maximize": False}
            hypers |= {name: value for name, value in plain.items() if name in hypers}
            downhill = grad
        results = rule(start, grad, *state, **hypers)
        # not checked here: a state that is dead may be given, and returned, as None
        moved, *states = results if isinstance(results, tuple) else (results,)
        return where((start - moved) * downhill > 0, moved, start), *states

    function.__name__ = f"cautious_{rule.name}"
    function.__doc__ = f"Cautious (Liang et al. 2024, without its scaling) {rule.title}."
    function.__signature__ = inspect.signature(rule.function)  # type: ignore[attr-defined]
    return rule.derive(function, class_name=f"Cautious{rule.class_name}", examples=examples)


cautious_adamw = cautious(
    adamw,
    examples=[Example((0.5, 0.899000002), (-1.0, 0.9347113542), (0.25, 0.9337766429), lr=0.1)],
)
cautious_lion = cautious(
    lion,
    examples=[
        Example(
            (0.5, 0.85), (-1.0, 0.8075), (0.25, 0.767125),
            lr=0.1, betas=(0.9, 0.5), weight_decay=0.5,
        )
    ],
)  # fmt: skip
