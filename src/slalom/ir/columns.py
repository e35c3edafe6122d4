"""The host's part of a program for many rows: what is a float of one row is a column of them here.

To the bit what :mod:`slalom.ir.scalars` computes row by row. NumPy rounds sums, products, quotients
and roots as IEEE 754 says, as Python does; its powers and logarithms differ from Python's in their
last bit, so that these are Python's own, one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import repeat
from operator import is_
from typing import Any

import numpy as np

from slalom.ir.operations import COMPARISONS, SCALAR_OPS
from slalom.ir.scalars import TEMPLATES, HostPart, Statements

Column = Any
"""A float where all rows have the same one, else float64 of shape (rows,)."""

SHORT = 4096
"""Numbers up to which the powers of one base are kept, since other options leave them the same."""

_TEMPLATES = {
    op: f"({text}) * 1.0" if op in COMPARISONS else text  # True + True is no 2 in NumPy
    for op, text in TEMPLATES.items()
    if op != "pow"
}


class Columns:
    """The scalars of many rows that one program serves."""

    def __init__(self, part: HostPart):
        self._hypers, self._late, numbers, self._flags, self._shapes, guards, results = part
        self._width = len(results)
        given = ["step", *numbers]
        for name, length in self._shapes.items():
            given += [name] if length is None else [f"{name}[{i}]" for i in range(length)]
        inputs = {name: f"x{i}" for i, name in enumerate(given)}
        write = Statements(inputs, _TEMPLATES)
        for condition, outcome in guards:
            value = write(condition)
            write.lines.append(f"    if not holds({value}, {outcome}): return None")
        values = [write(r) for r in results]
        lines = [
            f"def columns({', '.join(inputs.values())}):",
            *write.lines,
            f"    return ({''.join(v + ', ' for v in values)})",
        ]
        calls = {op: _each(of_one) for op, of_one in SCALAR_OPS.items() if op not in _TEMPLATES}
        space: dict[str, Any] = {
            **calls, "pow": _pow, "sqrt": _sqrt, "abs": abs, "holds": _holds,
            "inf": np.inf, "nan": np.nan,
        }  # fmt: skip
        exec(compile("\n".join(lines), "<the scalars of many rows>", "exec"), space)
        self._columns: Callable[..., tuple[Column, ...] | None] = space["columns"]

    def __call__(
        self,
        counts: np.ndarray,
        numbers: np.ndarray,
        options: Sequence[Sequence[Any]],
        group_of: np.ndarray,
    ) -> np.ndarray | None:
        """The results, float64 of shape (rows, results).

        ``counts`` are the updates made before, of shape (rows,), ``numbers`` those of the rule, of
        shape (rows, numbers), ``options`` the values of ``hypers`` of each group, and ``group_of``
        says of each row which of the groups it is in.

        None where a flag or a guard does not hold for all rows, and where one is to be computed by
        itself: a division by zero, what is no real number, what lies on a device.
        """
        found = self._inputs(options, group_of)
        if found is None:
            return None
        equal = bool((counts == counts[0]).all())
        first = self._flags.get("first")
        if first is not None and ((counts == 0) != first).any():
            return None
        step = counts.item(0) + 1 if equal else counts + 1
        try:
            # What Python raises, or makes a complex number of, is for the rows one by one.
            with np.errstate(divide="raise", invalid="raise", over="ignore", under="ignore"):
                columns = self._columns(step, *numbers.T, *found)
        except (ArithmeticError, TypeError, ValueError):
            return None
        if columns is None:
            return None
        results = np.empty((len(counts), self._width))
        for i, column in enumerate(columns):
            results[:, i] = column
        return results

    def _inputs(
        self, options: Sequence[Sequence[Any]], group_of: np.ndarray
    ) -> list[Column] | None:
        """The hyper-parameters that are numbers, as columns; None where they do not fit."""
        inputs: list[Column] = []
        for name, values in zip(self._hypers, zip(*options, strict=True), strict=True):
            same = all(map(is_, values, repeat(values[0])))
            values = values[:1] if same else values
            if name not in self._shapes:
                flag = self._flags[name]
                if isinstance(flag, bool):
                    values = map(bool, values)
                if any(value != flag for value in values):
                    return None
                continue
            length = self._shapes[name]
            if str in map(type, values):  # float would read it
                return None
            try:
                if length is not None and any(len(value) != length for value in values):
                    return None
                parts = [values] if length is None else zip(*values, strict=True)
                for part in parts:
                    if name in self._late and any(map(_is_elsewhere, part)):
                        return None
                    floats = list(map(float, part))
                    inputs.append(floats[0] if same else np.array(floats)[group_of])
            except TypeError:  # a number has become None, or None a number
                return None
        return inputs


def _is_elsewhere(value: Any) -> bool:
    """Whether a value lies on another device than the CPU, where it is to stay."""
    return getattr(value, "device", None) is not None and value.device.type != "cpu"


def _each(of_one: Callable[..., Any]) -> Callable[..., Column]:
    """An operation on numbers as one on columns, taken number by number."""

    def of_all(*operands: Column) -> Column:
        if not any(isinstance(o, np.ndarray) for o in operands):
            return float(of_one(*operands))  # TypeError of a complex number
        lists = (o.tolist() if isinstance(o, np.ndarray) else repeat(o) for o in operands)
        return np.array([*map(of_one, *lists)], float)  # and here

    return of_all


def _pow(base: Column, exponent: Column) -> Column:
    if isinstance(base, float) and isinstance(exponent, np.ndarray) and len(exponent) <= SHORT:
        return _powers(np.float64(base).tobytes(), exponent.tobytes())
    return _each(SCALAR_OPS["pow"])(base, exponent)


@lru_cache(16)
def _powers(base: bytes, exponents: bytes) -> np.ndarray:
    """The powers of one number, as bits: 0.0 and -0.0 are equal."""
    number = np.frombuffer(base).item()
    return np.array(
        [SCALAR_OPS["pow"](number, e) for e in np.frombuffer(exponents).tolist()], float
    )


def _sqrt(x: Column) -> Column:
    return np.sqrt(x) if isinstance(x, np.ndarray) else SCALAR_OPS["sqrt"](x)


def _holds(condition: Column, outcome: bool) -> bool:
    """Whether a condition comes out so in all rows."""
    if isinstance(condition, np.ndarray):
        return bool(condition.all() if outcome else not condition.any())
    return bool(condition) == outcome
