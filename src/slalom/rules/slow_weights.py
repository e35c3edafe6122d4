"""Rules made of a rule: weights that follow the parameter slowly, in the same pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from slalom.rules.definition import REQUIRED, Rule, RuleError
from slalom.rules.example import Example
from slalom.rules.moments import adamw


def lookahead(rule: Rule, *, examples: Collection[Example] = ()) -> Rule:
    """The rule that goes back, every ``lookahead_steps``, towards where it was (Zhang et al. 2019).

    The slow weights begin as the parameter. After that many steps of ``rule`` they go the share
    ``lookahead_alpha`` of the way to the parameter, which then goes on from them (algorithm 1); the
    states of ``rule`` stay as they are. In the other steps ``slow`` is not touched. Averages that
    ``rule`` keeps are of its own steps: ``ema(lookahead(rule))`` averages what weights are. Raises
    :class:`RuleError` where ``rule`` has one of these names already, and for a Schedule-Free rule,
    where another state takes the steps.
    """
    if rule.averaged:
        raise RuleError(f"rule {rule.name} steps by its state z, which lookahead leaves as it is")

    def function(param: Any, grad: Any, slow: Any, since: Any, *state: Any, first: bool, **hypers):
        steps, alpha = hypers.pop("lookahead_steps"), hypers.pop("lookahead_alpha")
        slow, since = (param if first else slow), since + 1
        moved, *states = _called(rule, param, grad, state, first, hypers)
        if since >= steps:
            moved = slow = slow + alpha * (moved - slow)
            since = 0
        return moved, slow, since, *states

    return _derived(
        rule, function, "lookahead", "Lookahead (Zhang et al. 2019, algorithm 1)",
        ("slow", "since"), {"lookahead_steps": 5, "lookahead_alpha": 0.5}, examples,
        numbers=(*rule.numbers, "since"),
        bounds={"lookahead_steps": ">= 1", "lookahead_alpha": "(0, 1]"},
    )  # fmt: skip


def ema(rule: Rule, *, examples: Collection[Example] = ()) -> Rule:
    """The rule that keeps beside each parameter the exponential average of what it has been.

    That is the state ``ema``, which begins as the parameter and keeps the share ``ema_decay`` of
    itself (Polyak & Juditsky 1992, in the form of Szegedy et al. 2016, sec. 8); training does not
    see it. Raises :class:`RuleError` where ``rule`` has one of these names already.
    """

    def function(param: Any, grad: Any, ema: Any, *state: Any, first: bool, **hypers):
        keep = hypers.pop("ema_decay")
        moved, *states = _called(rule, param, grad, state, first, hypers)
        return moved, keep * (param if first else ema) + (1 - keep) * moved, *states

    return _derived(
        rule, function, "ema", "An average (Szegedy et al. 2016, sec. 8) of", ("ema",),
        {"ema_decay": 0.999}, examples, bounds={"ema_decay": "[0, 1)"},
    )  # fmt: skip


def _called(
    rule: Rule, param: Any, grad: Any, state: Any, first: bool, hypers: Mapping[str, Any]
) -> tuple[Any, ...]:
    """What a rule returns; not checked, as a state that is dead may be None."""
    own = {**hypers, "first": first} if rule.takes_first else hypers
    results = rule(param, grad, *state, **own)
    return results if isinstance(results, tuple) else (results,)


def _derived(
    rule: Rule, function: Callable[..., Any], name: str, title: str, states: Collection[str],
    hypers: Mapping[str, Any], examples: Collection[Example], **options: Any,
) -> Rule:  # fmt: skip
    """The rule of a function with these states and hyper-parameters beside those of ``rule``."""
    signature = inspect.signature(rule.function)
    if taken := {*states, *hypers} & signature.parameters.keys():
        raise RuleError(f"rule {rule.name} has {min(taken)} already; {name} adds it, once")
    before = [p for p in signature.parameters.values() if p.kind is not p.KEYWORD_ONLY]
    after = {p.name: p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY}
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = [inspect.Parameter(state, kind) for state in states]
    for hyper, default in {**hypers, "first": REQUIRED}.items():
        after[hyper] = inspect.Parameter(hyper, inspect.Parameter.KEYWORD_ONLY, default=default)
    function.__name__ = f"{name}_{rule.name}"
    function.__doc__ = f"{title} {rule.title}."
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*before[:2], *own, *before[2:], *after.values()]
    )
    camel = name[:1].upper() + name[1:]
    return rule.derive(
        function, class_name=f"{camel}{rule.class_name}", examples=examples, sparse=None, **options
    )


lookahead_adamw = lookahead(
    adamw,
    examples=[
        Example(
            (0.5, 0.899000002), (-1.0, 0.9673556771), (0.25, 0.9800573875), lr=0.1,
            lookahead_steps=2,
        ),
    ],
)  # fmt: skip
