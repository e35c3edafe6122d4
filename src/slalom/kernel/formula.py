"""Write a traced rule as formulas that a person reads."""

from __future__ import annotations

from slalom.kernel.program import Program
from slalom.kernel.symbol import Symbol

_SIGNS = {
    "add": ("+", 1), "sub": ("-", 1), "mul": ("·", 2), "div": ("/", 2), "pow": ("^", 4),
    "gt": (">", 0), "ge": ("≥", 0), "lt": ("<", 0), "le": ("≤", 0), "eq": ("=", 0),
    "ne": ("≠", 0), "and": ("and", 0), "or": ("or", 0),
}  # fmt: skip
"""How an operation between two is written, and how tightly it binds."""

_NEW = "'"
"""Marks the value after the update."""


def formulas(program: Program) -> list[str]:
    """One line for each state that changes and one for the parameter, as the rule was written.

    A name with a prime is the value after the update, without one the value before.
    """
    outputs = {k: v for k, v in program.source.items() if k != "param"}
    outputs["param"] = program.source["param"]
    known = {symbol: name + _NEW for name, symbol in outputs.items() if name != "param"}
    return [
        f"{name}{_NEW} = {_written(symbol, {s: n for s, n in known.items() if n != name + _NEW})}"
        for name, symbol in outputs.items()
    ]


def bytes_moved(program: Program, itemsize: int = 4) -> int:
    """Bytes read and written for each element by one update, with ``itemsize`` bytes each."""
    return itemsize * (len(program.reads) + len(program.writes))


def _written(symbol: Symbol, known: dict[Symbol, str], binding: int = 0) -> str:
    """``symbol`` as text, in brackets if it binds less tightly than what stands around it."""
    if symbol in known:
        return known[symbol]
    op, args = symbol.op, symbol.args
    if op in ("tensor", "number"):
        return str(args[0])
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
    sign = {"sqrt": "√", "maximum": "max", "minimum": "min", "where": "where"}.get(op, op)
    return f"{sign}({', '.join(_written(a, known) for a in args)})"
