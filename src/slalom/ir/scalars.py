"""The host's part of a program: Python code that computes the scalars of a step.

In double precision, once a step and row. No name of the user's stands in the generated code, so
that none can meet one of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from slalom.ir.operations import SCALAR_OPS, evaluate
from slalom.ir.passes import ordered
from slalom.ir.symbol import NotRealError, Symbol

Scalars = tuple[Any, ...]
"""The scalars of one step and after them the new numbers: floats, or tensors of one element."""

TEMPLATES = {
    "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}", "pow": "{} ** {}",
    "neg": "-{}", "gt": "{} > {}", "ge": "{} >= {}", "lt": "{} < {}", "le": "{} <= {}",
    "eq": "{} == {}", "ne": "{} != {}",
}  # fmt: skip
"""How an operation is written in Python; the others are calls."""


class HostPart(NamedTuple):
    """What of a program depends on scalars alone.

    Attributes:
        hypers, numbers: the names of its hyper-parameters and of the numbers that it keeps.
        late: those of ``hypers`` that may be tensors of another device.
        flags: name -> the value that it serves for, of hyper-parameters that are no numbers, and of
            ``first``.
        shapes: name -> how many numbers a hyper-parameter has, None for one that is a number.
        guards: conditions, and how they must come out.
        results: what is computed.
    """

    hypers: Sequence[str]
    late: Collection[str]
    numbers: Sequence[str]
    flags: Mapping[str, Any]
    shapes: Mapping[str, int | None]
    guards: Sequence[tuple[Symbol, bool]]
    results: Sequence[Symbol]


def compile_scalars(
    part: HostPart, refuse: Callable[[NotRealError], Exception] = lambda error: error
) -> Callable[..., Scalars | None]:
    """``f(step, first, *hypers, *numbers)``: the values of the results.

    None where a flag or a guard does not hold, so that another program has to serve. Hyper-
    parameters may be anything that ``float`` takes; those of ``late`` may also be tensors of
    another device, and what is computed of them then stays there. Where a scalar is no real
    number, raises what ``refuse`` makes of the :class:`slalom.ir.symbol.NotRealError`.
    """
    hypers, late, numbers, flags, shapes, guards, results = part
    lines = [f"def row({', '.join(_arguments(hypers, numbers))}):"]
    names = {name: f"h{i}" for i, name in enumerate(hypers)}
    space: dict[str, Any] = {"number": number}
    for i, (name, value) in enumerate(flags.items()):
        argument = "first" if name == "first" else names[name]
        if isinstance(value, bool):
            lines.append(f"    if {'not ' if value else ''}{argument}: return None")
        else:
            space[f"flag{i}"] = value
            lines.append(f"    if {argument} != flag{i}: return None")
    inputs = {"step": "step", **{name: f"n{i}" for i, name in enumerate(numbers)}}
    for name, length in shapes.items():
        own, convert = names[name], "number" if name in late else "float"
        if length is None:
            lines.append(f"    if {own}.__class__ is str: return None")  # float would read it
            lines.append(f"    {own} = {convert}({own})")
            inputs[name] = own
        else:
            parts = [f"{own}_{i}" for i in range(length)]
            lines.append(f"    if len({own}) != {length}: return None")
            if parts:
                lines.append(f"    {', '.join(parts)}, = map({convert}, {own})")
            inputs |= {f"{name}[{i}]": part for i, part in enumerate(parts)}
    write = Statements(inputs, TEMPLATES)
    for condition, outcome in guards:
        value = write(condition)
        write.lines.append(f"    if {'not ' if outcome else ''}{value}: return None")
    values = [write(r) for r in results]
    lines += [*write.lines, f"    return ({''.join(v + ', ' for v in values)})"]
    calls = {name: value for name, value in SCALAR_OPS.items() if name not in TEMPLATES}
    space |= calls | {"inf": math.inf, "nan": math.nan}
    code = compile("\n".join(lines), "<the scalars of a rule>", "exec")

    def made(**more: Any) -> Callable[..., Scalars | None]:
        known = space | more
        exec(code, known)
        return known["row"]

    fast = made()

    def row(step: float, first: bool, *values: Any) -> Scalars | None:
        try:
            return fast(step, first, *values)
        except TypeError:  # a number has become None, or None a number
            return None
        except (ZeroDivisionError, OverflowError):  # Python raises where IEEE has infinities
            import numpy as np

            with np.errstate(all="ignore"):
                # np.float64 is a float, and divides as IEEE says
                values = tuple(np.float64(v) if type(v) is float else v for v in values)
                return made(float=np.float64)(np.float64(step), first, *values)
        except ValueError:
            arguments = zip(_arguments(hypers, numbers), (step, first, *values), strict=True)
            try:
                _find_unreal([c for c, _ in guards] + list(results), inputs, dict(arguments))
            except NotRealError as error:
                raise refuse(error) from error
            raise

    return row


class Statements:
    """Python statements that compute symbols, each of them once.

    ``inputs`` says how numbers are called, ``templates`` how operations are written; those that it
    lacks are calls.

    Attributes:
        lines: the statements so far, as lines of a function.
    """

    def __init__(self, inputs: Mapping[str, str], templates: Mapping[str, str]):
        self._inputs, self._templates = inputs, templates
        self._names: dict[Symbol, str] = {}
        self.lines: list[str] = []

    def __call__(self, symbol: Symbol) -> str:
        """The name of a value, which the statements compute."""
        names = self._names
        for node in ordered([symbol], lambda n: n not in names):
            if node in names:
                continue
            if node.op == "number":
                names[node] = self._inputs[node.args[0]]
            elif node.op == "constant":
                names[node] = f"({node.value!r})"
            else:
                args = [names[a] for a in node.args]
                call = f"{node.op}({', '.join(['{}'] * len(args))})"
                own = names[node] = f"t{len(names)}"
                template = self._templates.get(node.op, call)
                self.lines.append(f"    {own} = {template.format(*args)}")
                if node.op == "pow" and "pow" in self._templates:
                    # of a negative number, Python makes a complex one
                    self.lines.append(f"    if {own}.__class__ is complex: raise ValueError")
        return names[symbol]


def _find_unreal(roots: Iterable[Symbol], inputs: Mapping[str, str], given: Any) -> None:
    """Raise :class:`NotRealError` with the first operation whose result is no real number."""
    known: dict[Symbol, Any] = {}
    for node in ordered(roots):
        if node.op == "number":
            argument, _, place = inputs[node.args[0]].partition("_")
            known[node] = float(given[argument][int(place)] if place else given[argument])
        elif node.op == "constant":
            known[node] = node.value
        else:
            try:
                known[node] = evaluate(node.op, *(known[a] for a in node.args))
            except ValueError as error:
                values = {n.args[0]: known[n] for n in ordered([node]) if n.op == "number"}
                raise NotRealError(node, values) from error


def _arguments(hypers: Sequence[str], numbers: Sequence[str]) -> list[str]:
    own = [f"h{i}" for i in range(len(hypers))] + [f"n{i}" for i in range(len(numbers))]
    return ["step", "first", *own]


def number(value: Any) -> Any:
    """A late scalar as a float; a tensor of another device than the CPU stays a tensor there."""
    if isinstance(value, torch.Tensor) and value.device.type != "cpu":
        return value
    return float(value)
