"""Write a rule in JavaScript, for pages that compute its updates themselves.

Of each rule one object, in double precision and for a vector of so many elements:

    {
      title, states, averaged,
      single: [state, ...],              // those of one number, not of one for each element
      hypers: {beta1: 0.9, ...},         // those that may vary, and their defaults; null if none
      init: {sum: "initial_accumulator_value"},  // what states start from, where it is not 0
      ways: [way, ...],                  // functions of one object of inputs, one of which serves
      formulas: [[[name, text], ...]],   // of each way, line by line
    }

A way takes ``{param, grad, step, first, <states>, <hypers>}`` and returns null where one of its
conditions does not hold, else ``{param, <states that change>, lines: [value of each line]}``. What
varies along the vector is an array. A hyper-parameter of several numbers is several inputs,
``beta1`` and ``beta2``.

A vector is a matrix of one column, as everywhere: so a rule that sums or multiplies needs no more
here than sums over a few elements, which are written out. It has no square matrices: such states
are left out, and multiplying by them changes nothing.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slalom.ir.branches import branches
from slalom.ir.formula import input_name, lines
from slalom.ir.operations import ELEMENTS, KEPT, ROWS, SUMS
from slalom.ir.passes import ordered
from slalom.ir.program import Program
from slalom.ir.symbol import Graph, Symbol
from slalom.rules.definition import REQUIRED, Rule

_TEMPLATES = {
    "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}",
    "pow": "Math.pow({}, {})", "neg": "-{}",
    "gt": "{} > {}", "ge": "{} >= {}", "lt": "{} < {}", "le": "{} <= {}", "eq": "{} === {}",
    "ne": "{} !== {}", "and": "{} && {}", "or": "{} || {}", "not": "!{}",
    "sqrt": "Math.sqrt({})", "abs": "Math.abs({})",
    "sign": "({0} > 0 ? 1 : {0} < 0 ? -1 : 0)",
    "maximum": "Math.max({}, {})", "minimum": "Math.min({}, {})", "where": "{} ? {} : {}",
    "atan2": "Math.atan2({}, {})", "log": "Math.log({})", "mod": "{} % {}",
}  # fmt: skip
"""How an operation is written. Math.max and Math.min give NaN where one is, as torch does."""

_HAT = "_hat"
"""Ends the name of an average that was corrected for its start at zero."""


def javascript(
    rule: Rule, size: int, fixed: Mapping[str, Any] | None = None,
    among: Mapping[str, Sequence[Any]] | None = None,
) -> str:  # fmt: skip
    """The object of a rule for a vector of ``size`` elements, as the module's text says it.

    Hyper-parameters in ``fixed`` have that value; see :func:`slalom.ir.branches.branches`. Those in
    ``among``, of which a loop may hang, have one of these, each with ways of its own. Raises
    :class:`slalom.rules.definition.RuleError` where the rule cannot be traced.
    """
    fixed, among = fixed or {}, among or {}
    closed = {*fixed, *among}
    open_ones = {"step", *rule.numbers, *(rule.hypers.keys() - closed)} if closed else None
    programs, ways = [], []
    for values in itertools.product(*among.values()):
        chosen = dict(zip(among, values, strict=True))
        own = branches(rule, {**fixed, **chosen}, open_ones)
        programs += own
        ways += [_way(program, size, chosen) for program in own]
    about = {
        "title": rule.title,
        "states": [n for n in rule.arguments if n not in rule.squares],
        "single": [n for n in rule.arguments if _is_single(rule, n)],
        "averaged": rule.averaged,
        "hypers": dict(_hypers(rule, fixed)),
        "init": {n: input_name(v) if isinstance(v, str) else v for n, v in rule.init.items()},
        "formulas": [[line[:2] for line in _lines(program)] for program in programs],
    }
    fields = [f"{json.dumps(name)}: {literal(value)}" for name, value in about.items()]
    fields.append('"ways": [\n' + ",\n".join(ways) + "\n]")
    return "{\n" + ",\n".join(fields) + "\n}"


def _is_single(rule: Rule, state: str) -> bool:
    """Whether a state of a vector is one number."""
    kept = KEPT.get(rule.shapes.get(state, ""), ELEMENTS)
    return state in rule.numbers or (state not in rule.squares and not kept & ROWS)


def _hypers(rule: Rule, fixed: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Input -> its default, of what is not fixed; None for a rate that must be given."""
    for name, default in rule.hypers.items():
        if name in fixed:
            continue
        if isinstance(default, tuple):
            yield from ((input_name(f"{name}[{i}]"), d) for i, d in enumerate(default))
        else:
            yield name, None if default is REQUIRED else default


def _way(program: Program, size: int, chosen: Mapping[str, Any]) -> str:
    """One function: its conditions first, then the update."""
    flags = {**program.flags, **chosen}
    body = [f"if (v.{n} !== {literal(f)}) return null;" for n, f in flags.items()]
    body += [
        f"if (v.{name} === null) return null;"
        for name, length in program.shapes.items()
        if length is None and program.rule.hypers[name] is None
    ]
    write = _Writer(size, body)
    for condition, outcome in program.guards:
        body.append(f"if ({'!' if outcome else ''}({write(condition)})) return null;")
    source = _elements(program)
    results = [f"{name}: {write(symbol)}" for name, symbol in source.items()]
    values = ", ".join(write(line[2]) for line in _lines(program))
    body.append(f"return {{{', '.join(results)}, lines: [{values}]}};")
    return "(v) => {\n  " + "\n  ".join(body) + "\n}"


class _Writer:
    """Writes symbols as JavaScript's names, and what they stand for into a function's body."""

    def __init__(self, size: int, body: list[str]):
        self._size, self._body = size, body
        self._known: dict[Symbol, list[str]] = {}

    def __call__(self, symbol: Symbol) -> str:
        for node in ordered([symbol], lambda n: not n.is_square):
            if node not in self._known:
                self._known[node] = self._written(node)
        found = self._known[symbol]
        return f"[{', '.join(found)}]" if symbol.along & ROWS else found[0]

    def _written(self, node: Symbol) -> list[str]:
        """A name for each element, or one where it does not vary along the vector."""
        if node.op == "orthogonal":
            return self._orthogonal(node)
        if node.op == "between":
            return self._known[node.args[0]]
        places = range(self._size if node.along & ROWS else 1)
        if node.op in ("tensor", "number", *KEPT):
            name = f"v.{input_name(node.args[0])}"
            return [f"{name}[{i}]" if node.along & ROWS else name for i in places]
        if node.op == "constant":
            return [literal(node.value)]
        if node.op == "size":
            return [str(self._size if node.args[0] & ROWS else 1)]
        if node.op in SUMS:
            operand, left = node.args
            each = self._known[operand]
            each = [f"{x} * {x}" for x in each] if node.op == "squares" else each
            return [self._const(text) for text in (each if left & ROWS else [" + ".join(each)])]
        if node.op in ("spread", "across"):  # a vector is the only tensor there is
            return [self._at(node.args[0], i) for i in places]
        template = _TEMPLATES[node.op]
        return [self._const(template.format(*(self._at(a, i) for a in node.args))) for i in places]

    def _orthogonal(self, node: Symbol) -> list[str]:
        """Of a column the one singular value is its length: no product of matrices is left."""
        operand, _, length, *numbers = node.args
        by = self._at(length, 0)
        x = [self._const(f"{each} / {by}") for each in self._known[operand]]
        for own in zip(*[iter(numbers)] * 3, strict=True):
            a, b, c = (self._at(n, 0) for n in own)
            square = self._const(" + ".join(f"{each} * {each}" for each in x))
            factor = self._const(f"{a} + ({b} * {square} + {c} * {square} * {square})")
            x = [self._const(f"{factor} * {each}") for each in x]
        return x

    def _at(self, symbol: Symbol, i: int) -> str:
        found = self._known[symbol]
        return found[i if symbol.along & ROWS else 0]

    def _const(self, text: str) -> str:
        name = f"t{len(self._body)}"
        self._body.append(f"const {name} = {text};")
        return name


def _elements(program: Program) -> dict[str, Symbol]:
    """What becomes of a vector and its states."""
    found = {n: s for n, s in program.source.items() if not s.is_square}
    return found if "param" in found else {**found, "param": Graph().leaf("tensor", "param")}


def _lines(program: Program) -> list[tuple[str, str, Symbol]]:
    """The lines of the program's formula, averages that are corrected in lines of their own."""
    source = _elements(program)
    after = {symbol: name for name, symbol in source.items() if name != "param"}
    named: dict[Symbol, str] = {}
    for node in ordered(source.values()):
        if node.op != "div" or not node.is_element or node.args[1].is_element:
            continue
        state, by = node.args
        if state in after and any(name == "step" for name, _ in by.inputs()):
            named[node] = after[state] + _HAT
    return [line for line in lines(source, named) if not line[2].is_square]


def literal(value: Any) -> str:
    """A number, word, list or table as JavaScript has it."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{literal(n)}: {literal(v)}' for n, v in value.items())}}}"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, float) and value < 0:
        return f"({value!r})"
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
