"""Write a rule in JavaScript, for pages that compute its updates themselves.

Of each rule one object, in double precision and for one element:

    {
      title, states, numbers, averaged,
      hypers: {beta1: 0.9, ...},         // those that may vary, and their defaults; null if none
      init: {sum: "initial_accumulator_value"},  // what states start from, where it is not 0
      ways: [way, ...],                  // functions of one object of inputs, one of which serves
      formulas: [[[name, text], ...]],   // of each way, line by line
    }

A way takes ``{param, grad, step, first, <states>, <hypers>}`` and returns null where one of its
conditions does not hold, else ``{param, <states that change>, lines: [value of each line]}``. A
hyper-parameter of several numbers is several inputs, ``beta1`` and ``beta2``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from slalom.ir.branches import branches
from slalom.ir.formula import input_name, lines
from slalom.ir.passes import ordered
from slalom.ir.program import Program
from slalom.ir.symbol import Symbol
from slalom.rules.definition import REQUIRED, Rule, RuleError

_TEMPLATES = {
    "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}",
    "pow": "Math.pow({}, {})", "neg": "-{}",
    "gt": "{} > {}", "ge": "{} >= {}", "lt": "{} < {}", "le": "{} <= {}", "eq": "{} === {}",
    "ne": "{} !== {}", "and": "{} && {}", "or": "{} || {}", "not": "!{}",
    "sqrt": "Math.sqrt({})", "abs": "Math.abs({})",
    "sign": "({0} > 0 ? 1 : {0} < 0 ? -1 : 0)",
    "maximum": "Math.max({}, {})", "minimum": "Math.min({}, {})", "where": "{} ? {} : {}",
    "atan2": "Math.atan2({}, {})", "log": "Math.log({})",
}  # fmt: skip
"""How an operation is written. Math.max and Math.min give NaN where one is, as torch does."""

_HAT = "_hat"
"""Ends the name of an average that was corrected for its start at zero."""


def javascript(rule: Rule, fixed: Mapping[str, Any] | None = None) -> str:
    """The object of a rule, as the module's text says it; see :func:`slalom.ir.branches.branches`.

    Raises :class:`slalom.rules.definition.RuleError` where the rule cannot be traced, or looks
    further than one element.
    """
    programs = branches(rule, fixed)
    if any(program.sums for program in programs):
        raise RuleError(f"rule {rule.name} looks at whole tensors, and not at each element alone")
    written = [_way(program) for program in programs]
    about = {
        "title": rule.title,
        "states": rule.arguments,
        "numbers": rule.numbers,
        "averaged": rule.averaged,
        "hypers": dict(_hypers(rule, fixed or {})),
        "init": {n: input_name(v) if isinstance(v, str) else v for n, v in rule.init.items()},
        "formulas": [[line[:2] for line in _lines(program)] for program in programs],
    }
    fields = [f"{json.dumps(name)}: {_value(value)}" for name, value in about.items()]
    ways = '"ways": [\n' + ",\n".join(written) + "\n]"
    return "{\n" + ",\n".join([*fields, ways]) + "\n}"


def _hypers(rule: Rule, fixed: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Input -> its default, of what is not fixed; None for a rate that must be given."""
    for name, default in rule.hypers.items():
        if name in fixed:
            continue
        if isinstance(default, tuple):
            yield from ((input_name(f"{name}[{i}]"), d) for i, d in enumerate(default))
        else:
            yield name, None if default is REQUIRED else default


def _way(program: Program) -> str:
    """One function: its conditions first, then the update."""
    body = [f"if (v.{n} !== {_value(f)}) return null;" for n, f in program.flags.items()]
    body += [
        f"if (v.{name} === null) return null;"
        for name, length in program.shapes.items()
        if length is None and program.rule.hypers[name] is None
    ]
    known: dict[Symbol, str] = {}

    def write(symbol: Symbol) -> str:
        for node in ordered([symbol]):
            if node not in known:
                if node.op in ("tensor", "number"):
                    known[node] = f"v.{input_name(node.args[0])}"
                elif node.op == "constant":
                    known[node] = _value(node.value)
                else:
                    text = _TEMPLATES[node.op].format(*(known[a] for a in node.args))
                    known[node] = f"t{len(known)}"
                    body.append(f"const {known[node]} = {text};")
        return known[symbol]

    for condition, outcome in program.guards:
        body.append(f"if ({'!' if outcome else ''}({write(condition)})) return null;")
    results = [f"{name}: {write(symbol)}" for name, symbol in program.source.items()]
    values = ", ".join(write(line[2]) for line in _lines(program))
    body.append(f"return {{{', '.join(results)}, lines: [{values}]}};")
    return "(v) => {\n  " + "\n  ".join(body) + "\n}"


def _lines(program: Program) -> list[tuple[str, str, Symbol]]:
    """The lines of the program's formula, averages that are corrected in lines of their own."""
    after = {symbol: name for name, symbol in program.source.items() if name != "param"}
    named: dict[Symbol, str] = {}
    for node in ordered(program.source.values()):
        if node.op != "div" or not node.is_element or node.args[1].is_element:
            continue
        state, by = node.args
        if state in after and any(name == "step" for name, _ in by.inputs()):
            named[node] = after[state] + _HAT
    return lines(program.source, named)


def _value(value: Any) -> str:
    """A number, word or list as JavaScript has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, float) and value < 0:
        return f"({value!r})"
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
