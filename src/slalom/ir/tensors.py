"""A program evaluated by torch's operations: its scalars where they live on a device, its elements.

For steps that a graph records: nothing here asks a tensor for its value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from slalom.ir.passes import ordered
from slalom.ir.program import Program
from slalom.ir.symbol import COMPARISONS, SCALAR_OPS, Symbol, evaluate

_LOGIC = {"and": torch.logical_and, "or": torch.logical_or, "not": torch.logical_not}


class Values:
    """The values of scalars, some of which are tensors of a device, in double precision.

    ``inputs`` are those of ``step``, hyper-parameters (``lr``, ``betas[0]``) and numbers by name:
    floats, or float64 tensors of shapes that can be broadcast.
    """

    def __init__(self, inputs: Mapping[str, Any]):
        self._inputs = inputs
        self._known: dict[int, Any] = {}

    def __call__(self, symbol: Symbol) -> Any:
        """The value: a float or a bool, or a tensor of these."""
        for node in ordered([symbol]):
            if id(node) in self._known:
                continue
            if node.op == "number":
                value = self._inputs[node.args[0]]
            elif node.op == "constant":
                value = node.args[0]
            else:
                value = _applied(node.op, [self._known[id(a)] for a in node.args])
            self._known[id(node)] = value
        return self._known[id(symbol)]

    def serves(self, program: Program, first: Tensor) -> Any:
        """Whether the branches of a program are those to be taken: a bool, or a tensor of them."""
        holds: Any = True
        for condition, outcome in program.guards:
            value = self(condition)
            holds = holds & ((value != 0) == outcome)
        if "first" in program.flags:
            holds = holds & (first == program.flags["first"])
        return holds


def _applied(op: str, args: list[Any]) -> Any:
    if not any(isinstance(a, Tensor) for a in args):
        try:
            return evaluate(op, *args)
        except ValueError:  # of a branch that is not taken, perhaps
            return float("nan")
    if op not in COMPARISONS and op != "where":  # a truth counts as 0 or 1, in double precision
        args = [a.double() if isinstance(a, Tensor) and a.dtype == torch.bool else a for a in args]
    return SCALAR_OPS[op](*args)


def elements(
    program: Program, tensors: Mapping[str, Tensor], scalars: Iterable[Tensor]
) -> dict[str, Tensor]:
    """The new values of a program's outputs, for one parameter.

    ``tensors`` are it, its gradient and its states by name, all of one dtype, which ``scalars``
    (those of ``program.scalars``, tensors of one element) have too.
    """
    values: dict[int, Any] = {
        id(symbol): scalar for symbol, scalar in zip(program.scalars, scalars, strict=True)
    }

    def value(symbol: Symbol) -> Any:
        return symbol.args[0] if symbol.op == "constant" else values[id(symbol)]

    for node in program.body.nodes:
        if node.op == "tensor":
            values[id(node)] = tensors[node.args[0]]
        else:
            operation = _LOGIC.get(node.op) or SCALAR_OPS[node.op]
            values[id(node)] = operation(*map(value, node.args))
    like = tensors["param"]
    return {
        name: torch.zeros_like(like) + value(symbol) for name, symbol in program.outputs.items()
    }
