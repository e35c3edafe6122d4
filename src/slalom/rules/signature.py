"""What a function must look like to be a rule, and what each slip is called."""

from __future__ import annotations

import inspect
import keyword
import math
from dataclasses import dataclass
from typing import Any

REQUIRED: Any = inspect.Parameter.empty
"""The default of a hyper-parameter that has none: the user must give it."""

COUNTS = ("step", "first")
"""Keyword-only arguments that a rule may ask for and that no user gives."""

OF_GROUPS = ("params", "param_names", "rule", "train_mode")
"""Keys of a parameter group that hold something else."""

OF_SCHEDULES = ("initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr")
"""Keys that torch's schedulers write into a group."""

OF_CLASSES = (
    "self", "foreach", "fused", "capturable", "differentiable", "clip_norm", "clip_value",
    "on_nonfinite", "independent_weight_decay", "rounding", "rounding_seed", "state_dtype",
    "remainder",
)  # fmt: skip
"""Arguments that an optimizer class has beside its rule's."""

_NEVER_STATES = ("lr", "betas", "eps", "weight_decay")


class RuleError(TypeError):
    """A rule that cannot be used as written; the message says where and what would be right."""


@dataclass(frozen=True)
class Signature:
    """The arguments of a rule: its states in their order, its hyper-parameters, what it counts."""

    states: tuple[str, ...]
    hypers: dict[str, Any]
    counts: tuple[str, ...]


def read(function: Any) -> Signature:
    """The signature of a rule's function; :class:`RuleError` if it cannot be a rule's."""
    name = named(function)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError as error:  # some functions written in C tell none
        raise RuleError(f"rule {name}: {error}; write the rule with def") from None
    if fault := _fault(parameters):
        raise RuleError(f"rule {name}{inspect.signature(function)}: {fault}")
    states = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][2:]
    keywords = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    hypers = {n: default for n, default in keywords.items() if n not in COUNTS}
    for hyper, default in hypers.items():
        if (fault := _misnamed(hyper)) or (fault := _no_default(default)):
            raise RuleError(f"rule {name}: the hyper-parameter {hyper} {fault}")
    return Signature(tuple(states), hypers, tuple(n for n in COUNTS if n in keywords))


def named(function: Any) -> str:
    """The name of a function; :class:`RuleError` if it is none, or has no name of its own."""
    if not callable(function) or isinstance(function, type):
        raise RuleError(f"{function!r} is no function; a rule is made of one")
    name = getattr(function, "__name__", "")
    if not name.isidentifier() or keyword.iskeyword(name):
        raise RuleError(f"{function!r} has no name that a rule could have; write the rule with def")
    kinds = ("generatorfunction", "coroutinefunction", "asyncgenfunction")
    if any(getattr(inspect, f"is{kind}")(function) for kind in kinds):
        raise RuleError(f"rule {name} is a generator or a coroutine; a rule returns its results")
    return name


def _fault(parameters: list[inspect.Parameter]) -> str | None:
    """What is wrong with the arguments before the star, and with the kinds of all."""
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            stars = "*" if p.kind is p.VAR_POSITIONAL else "**"
            return f"a rule takes no {stars}{p.name}; it names each state and hyper-parameter"
        if p.kind is p.POSITIONAL_ONLY:
            return f"{p.name} is positional only; leave out the / of the signature"
    before = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    if [p.name for p in before[:2]] != ["param", "grad"]:
        return (
            "a rule takes (param, grad, its states by name, *, keyword-only hyper-parameters), "
            "the first two of these very names"
        )
    for p in before[:2]:
        if p.default is not REQUIRED:
            return f"{p.name} has a default; it is always given"
    for p in before[2:]:
        if p.name in COUNTS:
            return (
                f"{p.name} is no state; a rule asks for it after the star: (param, grad, *, "
                f"{p.name})"
            )
        if p.default is not REQUIRED:
            return (
                f"{p.name} stands before the star, among the states, and has a default; a "
                "hyper-parameter stands after it, (param, grad, *, lr=0.1), and where a state "
                f'starts is said by init={{"{p.name}": ...}}'
            )
        if p.name in _NEVER_STATES:
            return (
                f"{p.name} stands before the star, among the states; a hyper-parameter stands "
                "after it: (param, grad, *, lr=0.1)"
            )
    return None


def _misnamed(hyper: str) -> str | None:
    """Why a hyper-parameter cannot have this name."""
    if hyper in OF_GROUPS:
        return "needs another name: a parameter group keeps something else under this one"
    if hyper in OF_SCHEDULES:
        return "needs another name: torch's schedulers write into a group under this one"
    if hyper in OF_CLASSES:
        return "needs another name: every optimizer class has an argument of this one"
    if hyper in ("param", "grad"):
        return "needs another name: this one is no option"
    return None


def _no_default(default: Any) -> str | None:
    """Why this can be no default of a hyper-parameter."""
    if default is REQUIRED or default is None or isinstance(default, bool | str):
        return None
    if is_number(default) or (
        isinstance(default, tuple) and default and all(map(is_number, default))
    ):
        return None
    kinds = "a number, a tuple of numbers, True or False, a word, or None"
    instead = " (write a tuple)" if isinstance(default, list) else ""
    return f"has the default {default!r}; it must be {kinds}{instead}"


def is_number(value: Any) -> bool:
    """Whether this is a plain number, NaN and what no float can hold left out."""
    try:
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        return plain and not math.isnan(value)
    except OverflowError:
        return False


def checked(name: str, states: tuple[str, ...], results: Any) -> tuple[Any, ...]:
    """What a rule returned, as a tuple; :class:`RuleError` if it is not what is due."""
    due = ("param", *states)
    wanted = f"it must return the new {', '.join(due)}"
    if results is None:
        raise RuleError(f"rule {name} returns nothing; {wanted}")
    if isinstance(results, list | dict | set | str):
        kind = type(results).__name__
        raise RuleError(f"rule {name} returns a {kind}; {wanted}{' as a tuple' * bool(states)}")
    given = results if isinstance(results, tuple) else (results,)
    if len(given) != len(due):
        raise RuleError(
            f"rule {name} returns {len(given)} results where {len(due)} are due: "
            f"the new {', '.join(due)}"
        )
    for result, what in zip(given, due, strict=True):
        if result is None or isinstance(result, str | bytes | tuple | list | dict | set):
            shown = "None" if result is None else f"a {type(result).__name__}"
            raise RuleError(
                f"rule {name} returns {shown} for {what}; where nothing changes, return {what} "
                "as it was given"
            )
    return given
