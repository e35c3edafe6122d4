"""A rule made of a rule: the slow part of the gradient made louder (Lee et al. 2024)."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

from slalom.rules.definition import REQUIRED, Rule, RuleError
from slalom.rules.example import Example
from slalom.rules.moments import adamw

DEFAULTS = {"grokfast_alpha": 0.98, "grokfast_lamb": 2.0, "first": REQUIRED}
"""What the new rule asks for beside the old one's arguments; the numbers are the authors'."""


def grokfast(rule: Rule, *, examples: Collection[Example] = ()) -> Rule:
    """The rule that takes ``grad + grokfast_lamb * slow_grad`` for its gradient, in the same pass.

    ``slow_grad`` is the average of the gradients with the memory ``grokfast_alpha``; it starts as
    the first of them, as in the authors' code (Lee et al. 2024, algorithm 1, Grokfast-EMA). Decay
    is no part of it. The new rule's arguments, state and all it declares are those of ``rule``
    besides, but for its examples and for sparse gradients, which it refuses. Raises
    :class:`RuleError` where ``rule`` has one of these names already.
    """
    signature = inspect.signature(rule.function)
    if taken := {"slow_grad", "grokfast_alpha", "grokfast_lamb"} & signature.parameters.keys():
        raise RuleError(f"rule {rule.name} has {min(taken)} already; grokfast adds it, once")

    def function(param: Any, grad: Any, slow_grad: Any, *state: Any, first: bool, **hypers: Any):
        alpha, lamb = hypers.pop("grokfast_alpha"), hypers.pop("grokfast_lamb")
        slow_grad = grad if first else alpha * slow_grad + (1 - alpha) * grad
        if rule.takes_first:
            hypers["first"] = first
        results = rule(param, grad + lamb * slow_grad, *state, **hypers)
        # not checked here: a state that is dead may be given, and returned, as None
        moved, *states = results if isinstance(results, tuple) else (results,)
        return moved, slow_grad, *states

    before = [p for p in signature.parameters.values() if p.kind is not p.KEYWORD_ONLY]
    after = {p.name: p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY}
    new = inspect.Parameter("slow_grad", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    for name, default in DEFAULTS.items():
        after[name] = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
    arguments = [*before[:2], new, *before[2:], *after.values()]
    function.__name__ = f"grokfast_{rule.name}"
    function.__doc__ = f"Grokfast (Lee et al. 2024, algorithm 1) {rule.title}."
    function.__signature__ = inspect.Signature(arguments)  # type: ignore[attr-defined]
    return rule.derive(
        function, class_name=f"Grokfast{rule.class_name}", examples=examples, sparse=None,
        bounds={"grokfast_alpha": "[0, 1)", "grokfast_lamb": ">= 0"},
    )  # fmt: skip


grokfast_adamw = grokfast(
    adamw,
    examples=[
        Example((0.5, 0.8990000007), (-1.0, 0.8341244245), (0.25, 0.7549132068), lr=0.1),
        Example(
            (0.5, 0.850000001), (-1.0, 0.8509958842), (0.25, 0.8165492403), lr=0.1,
            betas=(0.5, 0.75), weight_decay=0.5, grokfast_alpha=0.5, grokfast_lamb=1.0,
        ),
    ],
)  # fmt: skip
