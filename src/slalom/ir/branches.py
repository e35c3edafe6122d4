"""Every way through a rule: the programs of all its branches, for what cannot trace by itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from slalom.ir.program import Program, trace
from slalom.ir.symbol import Graph, NotRealError, Symbol
from slalom.rules.bounds import Choice
from slalom.rules.definition import REQUIRED, Rule, RuleError

MOST = 64
"""Conditions on one way through a rule, at most: a loop that one of them ends may have no end."""


def branches(
    rule: Rule, fixed: Mapping[str, Any] | None = None, varying: Collection[str] | None = None,
    settled: list[tuple[Symbol, bool]] | None = None,
) -> list[Program]:  # fmt: skip
    """The programs of a rule for whatever its hyper-parameters, step and numbers may be.

    Of any inputs exactly one holds: its flags are theirs, and its guards come out as it says.
    Hyper-parameters in ``fixed`` have that value; the programs then serve no other. Where
    ``varying`` is given, only these (hyper-parameters, numbers, ``step``) are open, and conditions
    of the others come out as they do with the values fixed, which is put down in ``settled``. What
    cannot come about is among them too, since nobody asks whether guards contradict one another.

    Raises :class:`slalom.rules.definition.RuleError` where the rule cannot be traced.
    """
    found = []
    for flags in _flags(rule, fixed or {}):
        first = flags.pop("first", True)
        told: list[bool] = []
        while True:
            graph = _Told(told, varying, settled)
            hypers = {n: 1.0 if d is REQUIRED else d for n, d in rule.hypers.items()} | flags
            found.append(trace(rule, hypers, first=first, graph=graph))
            outcomes = [outcome for _, outcome in graph.guards]
            while outcomes and not outcomes[-1]:  # both ways on from here are done
                outcomes.pop()
            if not outcomes:
                break
            told = [*outcomes[:-1], False]
    return found


def _flags(rule: Rule, fixed: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every choice of what is fixed in a trace."""
    choices = {n: (fixed[n],) if n in fixed else _choices(rule, n) for n in rule.hypers}
    if rule.takes_first:
        choices["first"] = (True, False)
    chosen = {name: values for name, values in choices.items() if values}
    for values in itertools.product(*chosen.values()):
        yield dict(zip(chosen, values, strict=True))


def _choices(rule: Rule, name: str) -> tuple[Any, ...]:
    default, bound = rule.hypers[name], rule.bound(name)
    if isinstance(default, bool):
        return (False, True)
    if isinstance(default, str):
        return bound.words if isinstance(bound, Choice) else (default,)
    if default is None:
        return (None, *(bound.words if isinstance(bound, Choice) else (1.0,)))
    return ()


class _Told(Graph):
    """A graph whose conditions come out as they are told, and true from there on."""

    def __init__(
        self, told: list[bool], varying: Collection[str] | None = None,
        settled: list[tuple[Symbol, bool]] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._told, self._varying = told, varying
        self._settled = [] if settled is None else settled

    def decide(self, condition: Symbol) -> bool:
        if self._varying is not None:
            inputs = {name.partition("[")[0] for name, _ in condition.inputs()}
            if inputs.isdisjoint(self._varying):
                self._settled.append((condition, bool(condition.value)))
                return bool(condition.value)
        known = {id(guard): outcome for guard, outcome in self.guards}
        if id(condition) not in known:
            place = len(self.guards)
            if place == MOST:
                raise RuleError(
                    f"it branches more than {MOST} times: what says how often must be fixed"
                )
            outcome = self._told[place] if place < len(self._told) else True
            self.guards.append((condition, outcome))
            return outcome
        return known[id(condition)]

    def evaluate(self, op: str, args: tuple[Symbol, ...]) -> Any:
        try:
            return super().evaluate(op, args)
        except NotRealError:  # the present values are those of another branch
            return math.nan
