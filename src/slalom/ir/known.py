"""The programs traced so far, and which of a rule's serves some options."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from slalom.ir.program import Program, is_flag, length, trace
from slalom.rules.definition import Rule


@cache
def programs(rule: Rule) -> list[Program]:
    """The programs traced of this rule so far, shared by all that use it."""
    return []


def program_for(
    rule: Rule, hypers: Mapping[str, Any], step: float, first: bool, *numbers: float
) -> Program:
    """The program that serves these hyper-parameters, traced now if there is none yet.

    Those that ``hypers`` lacks have their defaults. ``numbers`` are the present values of
    ``rule.numbers``.
    """
    hypers = {name: hypers.get(name, default) for name, default in rule.hypers.items()}
    values = hypers.values()
    forms = tuple(map(_form, values))
    known = programs(rule)
    for program in known:
        fits = _fits(program, hypers) if None in forms else _found(program, forms, hypers)
        if fits and program.row(step, first, *values, *numbers) is not None:
            return program
    program = trace(rule, hypers, step=step, first=first, numbers=numbers)
    known.append(program)
    return program


@cache
def _of_forms(program: Program) -> dict[tuple[Any, ...], bool]:
    """Whether it was found to fit hyper-parameters of such forms."""
    return {}


def _found(program: Program, forms: tuple[Any, ...], hypers: Mapping[str, Any]) -> bool:
    known = _of_forms(program)
    if forms not in known:
        known[forms] = _fits(program, hypers)
    return known[forms]


_FORMS = {kind: kind.__name__ for kind in (bool, int, float, str, type(None))}


def _form(value: Any) -> str | int | None:
    """All of a hyper-parameter that :func:`_fits` asks for; None where that may be more."""
    kind = type(value)
    return len(value) if kind is tuple else _FORMS.get(kind)


def _fits(program: Program, hypers: Mapping[str, Any]) -> bool:
    return all(
        length(hypers[name]) == n and not is_flag(program.rule, name, hypers[name])
        for name, n in program.shapes.items()
    ) and all(
        is_flag(program.rule, name, hypers[name]) for name in program.flags if name != "first"
    )
