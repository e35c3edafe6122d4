"""What there is to know of every rule, from its trace and its docstring."""

from __future__ import annotations

from dataclasses import dataclass

from slalom.ir.formula import formulas
from slalom.ir.program import trace
from slalom.rules import RULES
from slalom.rules.rule import REQUIRED, Rule


@dataclass(frozen=True)
class Facts:
    """One rule.

    Attributes:
        name: as in ``slalom.rules``.
        title: what it is, and the paper and equation it comes from.
        formulas: a line for each state that changes and one for the parameter, at the default
            hyper-parameters; a prime marks the value after the update.
        state: the tensors and numbers kept for each parameter tensor.
        bytes: read and written for each float32 element in one update.
    """

    name: str
    title: str
    formulas: list[str]
    state: tuple[str, ...]
    bytes: int


def facts(rule: Rule) -> Facts:
    """What the trace of a rule says, at its default hyper-parameters and far from the start."""
    hypers = {n: 1e-3 if v is REQUIRED else v for n, v in rule.hypers.items()}
    program = trace(rule, hypers, step=1000, first=False)
    state = (*program.live_state, *rule.numbers)
    return Facts(rule.name, rule.title, formulas(program.source), state, program.bytes)


def catalogue() -> list[Facts]:
    """The facts of every rule that comes with Slalom."""
    return [facts(rule) for rule in RULES.values()]
