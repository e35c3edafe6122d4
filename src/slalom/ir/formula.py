"""Write a traced rule as formulas that a person reads."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Mapping

from slalom.ir.operations import COLUMNS, DECOMPOSITIONS, KEPT, PRODUCTS, ROWS, SQUARES, SUMS
from slalom.ir.passes import ordered
from slalom.ir.symbol import Symbol

_SIGNS = {
    "add": ("+", 1), "sub": ("-", 1), "mul": ("·", 2), "div": ("/", 2), "pow": ("^", 4),
    "gt": (">", 0), "ge": ("≥", 0), "lt": ("<", 0), "le": ("≤", 0), "eq": ("=", 0),
    "ne": ("≠", 0), "mod": ("mod", 2), "and": ("and", 0), "or": ("or", 0),
}  # fmt: skip
"""How an operation between two is written, and how tightly it binds."""

_INPUTS = frozenset({"tensor", "number", *KEPT, *SQUARES})

_NEW = "'"
"""Marks the value after the update."""

_LONG = 20
"""Characters up to which an expression is written out again wherever it stands."""


def formulas(source: Mapping[str, Symbol]) -> list[str]:
    """The update as lines of formulas, as the rule was written, each after those it builds on.

    ``source`` is that of a :class:`slalom.ir.program.Program`.

    A name with a prime is the value after the update, without one the value before. A long
    expression that stands in several places has a line and a letter of its own.
    """
    found = [f"{name} = {text}" for name, text, _ in lines(source)]
    return found if "param" in source else [*found, f"param{_NEW} = param"]


def lines(
    source: Mapping[str, Symbol], named: Mapping[Symbol, str] | None = None
) -> list[tuple[str, str, Symbol]]:
    """The same as (name, expression as text, the expression itself); the new parameter last.

    ``named`` are further expressions that have a line of their own, under these names.
    """
    named = named or {}
    names: dict[Symbol, list[str]] = {}
    for name, symbol in source.items():
        names.setdefault(symbol, []).append(name)
    order = list(ordered(source.values()))
    uses = Counter(a for n in order for a in set(n.args) if isinstance(a, Symbol))
    uses.update(source.values())
    taken = {input_name(n.args[0]) for n in order if n.op in _INPUTS}
    letters = (letter for letter in string.ascii_lowercase if letter not in taken)
    known: dict[Symbol, str] = {}
    found: list[tuple[str, str, Symbol]] = []
    last: list[tuple[str, str, Symbol]] = []
    for node in order:
        text = _written(node, known)
        states = [name + _NEW for name in names.get(node, ()) if name != "param"]
        for name in states:
            found.append((name, text, node))
            if node.op not in ("tensor", "number", "constant"):
                text = known[node] = name
        if "param" in names.get(node, ()):
            last = [(f"param{_NEW}", text, node)]
        elif not states and (node in named or (uses[node] > 1 and len(text) > _LONG)):
            known[node] = named.get(node) or next(letters)
            found.append((known[node], text, node))
    return found + last


def formula(symbol: Symbol) -> str:
    """One expression as text."""
    return _written(symbol, {})


def input_name(name: str) -> str:
    """An input as formulas call it: ``beta1`` for ``betas[0]``."""
    stem, _, place = name.partition("[")
    return f"{stem.removesuffix('s')}{int(place[:-1]) + 1}" if place else stem


def _written(symbol: Symbol, known: dict[Symbol, str], binding: int = 0) -> str:
    """``symbol`` as text, in brackets if it binds less tightly than what stands around it."""
    if symbol in known:
        return known[symbol]
    op, args = symbol.op, symbol.args
    if op in _INPUTS:
        return input_name(args[0])
    if (text := _summed(symbol, known)) is not None:
        return text
    if op == "constant":
        return f"{args[0]:g}"
    if op in _SIGNS:
        sign, tight = _SIGNS[op]
        if op == "mul" and args[0].op == "mul" and args[0].args[1] is args[1]:
            return f"{_written(args[0].args[0], known, tight)}·{_written(args[1], known, 4)}²"
        left = _written(args[0], known, tight + (op == "mul" and args[0].op == "div"))
        right = _written(args[1], known, tight + (op in ("sub", "div", "pow")))
        if op == "mul" and args[0] is args[1] and args[0].op in ("tensor", "number"):
            return f"{left}²"
        gap = "" if op in ("mul", "pow") else " "
        text = f"{left}{gap}{sign}{gap}{right}"
        return f"({text})" if tight < binding else text
    if op in ("neg", "not"):
        text = ("-" if op == "neg" else "not ") + _written(args[0], known, 3)
        return f"({text})" if binding > 1 else text
    if op == "spread":
        return _written(args[0], known, binding)
    if (text := _of_matrices(symbol, known)) is not None:
        return f"({text})" if binding > 2 and op == "between" else text
    sign = {"sqrt": "√", "maximum": "max", "minimum": "min", "where": "where"}.get(op, op)
    return f"{sign}({', '.join(_written(a, known) for a in args)})"


def _of_matrices(symbol: Symbol, known: dict[Symbol, str]) -> str | None:
    """An operation on matrices; None of anything else."""
    op, args = symbol.op, symbol.args
    if op == "between":
        left, right = (_written(a, known, 3) for a in args[3:])
        return f"{left}·{_written(args[0], known, 3)}·{right}"
    if op == "gram":
        axis, onto, keep, share = args[3:]
        x = _written(args[0], known, 4)
        square = f"{x}·{x}ᵀ" if axis.args[0] == 1 else f"{x}ᵀ·{x}"
        parts = [
            text if by.op == "constant" and by.args[0] == 1 else f"{_written(by, known, 2)}·{text}"
            for by, text in ((keep, _written(onto, known, 3)), (share, square))
            if by.op != "constant" or by.args[0] != 0
        ]
        return " + ".join(parts)
    if op == "transposed":
        return f"{_written(args[0], known, 4)}ᵀ"
    if op in DECOMPOSITIONS:
        return f"{op}({', '.join(_written(a, known) for a in args)})"
    return f"{op}({_written(args[0], known)})" if op in PRODUCTS else None


def _summed(symbol: Symbol, known: dict[Symbol, str]) -> str | None:
    """What a rule has as ``total``, ``mean`` or ``norm``, as it has them; None of anything else."""
    op, name = symbol.op, "total"
    if op == "size":
        return {0: "1", ROWS: "rows", COLUMNS: "columns"}.get(symbol.args[0], "size")
    below, over = symbol, ""
    if op == "div" and symbol.args[1].op == "size":
        below, name = symbol.args[0], "mean"
    elif op == "sqrt" and symbol.args[0].op in ("squares", "across"):
        below, name = symbol.args[0], "norm"
    if below.op == "across" and below not in known:
        operand, kind, over, _ = below.args
        over = f", over the {over}"
        if kind == "highest" or operand.op not in SUMS or operand in known:
            text = f"{kind}({_written(operand, known)}{over})"
            return f"√{text}" if name == "norm" else text
        below = operand
    if below.op not in SUMS or below in known or (name == "norm" and below.op != "squares"):
        return None
    operand, left = below.args
    text = _written(operand, known, 4 if below.op == "squares" and name != "norm" else 0)
    if below.op == "squares" and name != "norm":
        text += "²"
    along = {ROWS: ", each row", COLUMNS: ", each column"}.get(left, "")
    return f"{name}({text}{along}{over})"
