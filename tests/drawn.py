"""Hyper-parameters of any rule, drawn by hypothesis: whatever its class accepts."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from hypothesis import strategies as st

from slalom.rules import Rule
from slalom.rules.bounds import Choice, Interval

NAMED: dict[str, st.SearchStrategy[Any]] = {
    "lr": st.floats(1e-4, 0.1),
    "momentum": st.just(0) | st.floats(0.1, 0.99),
    "dampening": st.just(0) | st.floats(0.0, 0.9),
    "weight_decay": st.just(0) | st.floats(1e-4, 0.1),
    "lr_decay": st.just(0) | st.floats(1e-3, 0.5),
    "initial_accumulator_value": st.just(0) | st.floats(0.1, 2.0),
    "alpha": st.floats(0.8, 0.999),
    "eps": st.floats(1e-10, 1e-3),
    "rho": st.floats(0.5, 0.99),
    "lambd": st.floats(1e-5, 1e-2),
    "t0": st.floats(1, 30),
    "momentum_decay": st.floats(1e-3, 1e-2),
    "final_lr": st.floats(0.01, 0.5),
    "gamma": st.floats(1e-4, 1e-2),
    "warmup_steps": st.integers(0, 10),
    "base_lr": st.none() | st.floats(1e-3, 0.1),
    "ns_steps": st.integers(0, 6),
    "ns_coefficients[0]": st.floats(1.5, 2.0),
    "ns_coefficients[1]": st.floats(-1.3, -1.2),
    "ns_coefficients[2]": st.floats(0.3, 0.4),
    "ns_dtype": st.just("float32"),  # bfloat16 is looked at in test_muon.py
    "precondition_frequency": st.integers(1, 4),
    "max_precond_dim": st.sampled_from([4, 10000]),
    "shampoo_beta": st.none() | st.floats(0.5, 0.99),
    "betas[0]": st.floats(0.0, 0.99),
    "betas[1]": st.floats(0.5, 0.9999),
    "betas[2]": st.floats(0.5, 0.9999),
    "etas[0]": st.floats(0.2, 0.8),
    "etas[1]": st.floats(1.05, 1.5),
    "step_sizes[0]": st.floats(1e-6, 1e-3),
    "step_sizes[1]": st.floats(0.2, 5.0),
}
"""Values at which these, wherever they are found, leave 25 updates finite and well told apart."""

OF_A_RULE = {
    ("adan", "betas[0]"): st.floats(0.5, 0.99),
    ("adan", "betas[1]"): st.floats(0.5, 0.99),
    ("adan", "betas[2]"): st.floats(0.5, 0.99),
    ("schedule_free_sgd", "momentum"): st.floats(0.3, 0.99),
    ("schedule_free_adamw", "betas[0]"): st.floats(0.3, 0.99),
    ("asgd", "alpha"): st.floats(0.5, 1.0),
}
"""Where a name means something else in one rule than in the others."""


@cache  # hypothesis looks at a filter's source when a strategy is made, so one is made once
def hypers_of(rule: Rule) -> st.SearchStrategy[dict[str, Any]]:
    """All hyper-parameters of the rule, within its bounds, to be drawn again and again."""
    values = {name: _any(rule, name, default) for name, default in rule.hypers.items()}
    return st.fixed_dictionaries(values).map(_together)


def _together(hypers: dict[str, Any]) -> dict[str, Any]:
    if hypers.get("nesterov"):
        hypers["momentum"] = hypers["momentum"] or 0.9
        if "dampening" in hypers:
            hypers["dampening"] = 0
    return hypers


def _any(rule: Rule, name: str, default: Any) -> st.SearchStrategy[Any]:
    if isinstance(default, tuple):
        return st.tuples(*(_one(rule, name, d, i) for i, d in enumerate(default)))
    return _one(rule, name, default)


def _one(rule: Rule, name: str, default: Any, i: int | None = None) -> st.SearchStrategy[Any]:
    """Values of one number, flag or word: as it is named here, else as the rule searches it."""
    shown, bound = name if i is None else f"{name}[{i}]", rule.bound(name, i)
    if isinstance(default, bool):
        return st.booleans()
    if shown not in NAMED and (isinstance(default, str) or isinstance(bound, Choice)):
        return st.sampled_from(bound.words if isinstance(bound, Choice) else (default,))
    values = OF_A_RULE.get((rule.name, shown), NAMED.get(shown))
    if values is None and shown in rule.search:
        values = st.floats(*rule.search[shown])
    if values is None:
        values = st.just(default) if not default else _near(default, bound)
    return values.filter(lambda value: value is None or bound is None or value in bound)


def _near(default: float, bound: Interval | None) -> st.SearchStrategy[Any]:
    """Numbers from half the default to twice it, as far as they are allowed."""
    ends = sorted((default / 2, default * 2))
    low, high = (bound.low, bound.high) if bound is not None else (-math.inf, math.inf)
    return st.floats(max(ends[0], low), min(ends[1], high))
