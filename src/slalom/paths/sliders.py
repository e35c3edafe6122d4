"""How each hyper-parameter is turned in the page: over which values, and on which scale."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch

from slalom.ir.formula import input_name
from slalom.rules import REQUIRED, Rule
from slalom.rules.bounds import Choice, Interval

RANGES = {
    "lr": (1e-5, 10.0), "eps": (1e-16, 1.0), "weight_decay": (1e-5, 1.0), "lr_decay": (1e-4, 10.0),
    "initial_accumulator_value": (1e-4, 100.0), "warmup_steps": (1.0, 300.0), "t0": (1.0, 1e6),
    "etas": (1.01, 10.0), "base_lr": (1e-5, 10.0), "growth_rate": (1.01, 10.0),
    "alpha_warmup": (1.0, 1e4), "beta3_warmup": (1.0, 1e4),
}  # fmt: skip
"""Ends of some; those of others are a thousandth and a thousand times the default."""

SHARES = ("momentum", "dampening", "alpha")
"""These weigh the past where their default is below 1, though they are bounded from below alone."""

COUNTS = range(11)
"""What something that is counted may be, such as the steps of an iteration."""


def fixed(rule: Rule) -> dict[str, Any]:
    """Hyper-parameter -> its default, of those that are not turned: which numbers are computed in,
    since all are doubles in the page, and what is of square matrices, which a vector has not."""
    still = _of_squares(rule) if rule.squares else ()
    return {n: d for n, d in rule.hypers.items() if n.endswith("dtype") or n in still}


@cache
def _of_squares(rule: Rule) -> frozenset[str]:
    """What moves a vector nowhere else, however far it is turned."""
    usual = _went(rule, {})
    return frozenset(
        name
        for name, default in rule.hypers.items()
        if all(_went(rule, {name: other}) == usual for other in _others(rule, name, default))
    )


def _others(rule: Rule, name: str, default: Any) -> list[Any]:
    """Values of a hyper-parameter beside its default."""
    bound = rule.bound(name)
    if isinstance(bound, Choice):
        return [word for word in bound.words if word != default]
    if isinstance(default, bool):
        return [not default]
    if isinstance(default, tuple):
        return [tuple(d / 7 for d in default)]
    near = (0.5,) if default is None else (2 * default, default / 7, 1e3 * default, 0.1)
    return [v for v in near if (bound is None or v in bound) and _allows(rule, name, v)]


def _went(rule: Rule, hypers: dict[str, Any]) -> list[float]:
    """Where a vector is after each of some steps down a slope that turns."""
    param = torch.ones(2, dtype=torch.float64)
    states = [
        torch.full(rule.shape(n, (2,), rule.hypers), rule.start(n, hypers)).double()
        for n in rule.state
    ]
    path: list[float] = []
    for step in range(1, 13):
        grad = torch.tensor([0.3 * step, (-1.0) ** step])
        param, *states = rule.results(rule(param, grad.double(), *states, step=step, **hypers))
        path += param.tolist()
    return path


def counted(rule: Rule) -> dict[str, list[Any]]:
    """Hyper-parameter -> what it may be, of those that count, so that half a step is refused."""
    return {
        name: [n for n in COUNTS if _allows(rule, name, n)]
        for name, default in rule.hypers.items() if _counts(rule, name, default)
    }  # fmt: skip


def _counts(rule: Rule, name: str, default: Any) -> bool:
    if default is REQUIRED or isinstance(default, bool) or not isinstance(default, int | float):
        return False
    return math.isfinite(default) and not _allows(rule, name, default + 0.5)


def _allows(rule: Rule, name: str, value: float) -> bool:
    """Whether a value has the form that the rule asks of it; its bound is another question."""
    given = {**rule.hypers, name: value}
    return all(holds(given) for holds in rule.requires.values())


def controls(rule: Rule) -> dict[str, dict[str, Any]]:
    """Input -> its control, of every hyper-parameter that is not :func:`fixed`.

    A control is ``{kind: "check"}``, ``{kind: "words", words}``, of some values, ``{kind: "share",
    zero}``, for numbers from 0 to 1 that matter most near 1, or ``{kind: "log", low, high, zero,
    sign}``, of numbers between ``low`` and ``high`` with that sign, where ``zero`` says that 0 is a
    value too. A number that need not be given has ``unset`` besides, what it is then.
    """
    found: dict[str, dict[str, Any]] = {}
    still, counts = fixed(rule), counted(rule)
    for name, default in rule.hypers.items():
        if name in still:
            continue
        if name in counts:
            found[name] = {"kind": "words", "words": counts[name]}
        elif isinstance(default, tuple):
            for i, one in enumerate(default):
                found[input_name(f"{name}[{i}]")] = _control(rule, name, one, i)
        else:
            found[name] = _control(rule, name, default, None)
    return found


def _control(rule: Rule, name: str, default: Any, i: int | None) -> dict[str, Any]:
    bound = rule.bound(name, i)
    if isinstance(default, bool):
        return {"kind": "check"}
    if isinstance(bound, Choice):
        return {"kind": "words", "words": [*([None] if default is None else []), *bound.words]}
    if default in (None, math.inf):
        return {**_control(rule, name, REQUIRED, i), "unset": default}
    if _is_share(name, default, bound):
        return {"kind": "share", "zero": bound is None or 0 in bound}
    usual = 1.0 if default is REQUIRED or not default else float(default)
    sign, size = math.copysign(1.0, usual), abs(usual)
    low, high = RANGES.get(name, (size / 1000, size * 1000))
    if bound is not None:
        least, most = sorted((sign * bound.low, sign * bound.high))
        low, high = max(low, least), min(high, most)
    zero = (bound is None or 0 in bound) and name not in ("lr", "eps")
    return {"kind": "log", "low": low, "high": high, "zero": zero, "sign": sign}


def _is_share(name: str, default: Any, bound: Interval | None) -> bool:
    if bound is not None and (bound.low, bound.high) == (0, 1):
        return True
    return name in SHARES and default is not REQUIRED and default < 1
