"""Run a program on lists of tensors with torch's own operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from slalom.backends.foreach.select import Operation, select
from slalom.ir.program import Program
from slalom.ir.symbol import Symbol

Lists = dict[str, list[Tensor]]
"""Name (``param``, ``grad``, a state) -> tensors, one a place; all lists are equally long."""


def evaluate(
    program: Program, scalars: Sequence[Any], tensors: Lists, borrowed: set[str], together: bool
) -> Lists:
    """The new values of a program's outputs, in lists like those of ``tensors``.

    ``scalars`` are those of ``program.scalars``, floats or tensors of one element. All tensors of
    a place have one dtype, in which everything is computed. Lists not in ``borrowed`` may be
    overwritten, and hold new values of their own output where that saved a pass over memory.
    ``together`` says that ``torch._foreach_*`` may be used, which asks for plain tensors.
    """
    run = _Run(program, scalars, tensors, borrowed, together)
    for operation in select(program.fused):
        run.do(operation)
    return {name: run.output(name, symbol) for name, symbol in program.fused.outputs.items()}


class _Run:
    def __init__(
        self, program: Program, scalars: Sequence[Any], tensors: Lists, borrowed: set[str],
        together: bool,
    ):  # fmt: skip
        self.scalars = dict(zip(map(id, program.scalars), scalars, strict=False))
        self.lists: dict[int, list[Tensor]] = {}
        self.home: dict[int, str | None] = {}  # whose memory a value lies in, None: its own
        for node in program.fused.nodes:
            if node.op == "tensor":
                self.lists[id(node)] = tensors[node.args[0]]
                self.home[id(node)] = node.args[0]
        self.tensors, self.borrowed, self.together = tensors, borrowed, together
        self.dtype = tensors["param"][0].dtype

    def do(self, operation: Operation) -> None:
        first = operation.operands[0]
        home = self.home[id(first)]
        over = operation.dead and home not in self.borrowed
        values = self.compute(operation, over)
        self.lists[id(operation.result)] = values
        overwritten = values is self.lists[id(first)]
        self.home[id(operation.result)] = home if overwritten else None
        for gone in (*operation.last, *((first,) if operation.dead else ())):
            if gone is not operation.result:
                del self.lists[id(gone)]

    def compute(self, operation: Operation, over: bool) -> list[Tensor]:
        name, (first, *rest) = operation.name, operation.operands
        x = self.lists[id(first)]
        others = [self.value(r) for r in rest]
        sign = -1.0 if operation.negative else 1.0
        scale = 1.0 if operation.scale is None else self.value(operation.scale)
        if name in ("addcmul", "addcdiv"):
            if isinstance(scale, Tensor):
                others[0], scale = self.call("mul", False, others[0], scale), 1.0
            return self.call(name, over, x, *others, value=sign * scale)
        if name == "add":
            (y,) = others
            if not isinstance(y, list):
                return self.call("add", over, x, sign * y)
            if isinstance(scale, Tensor):
                y, scale = self.call("mul", False, y, scale), 1.0
            if scale == 1.0:
                return self.call("sub" if operation.negative else "add", over, x, y)
            return self.call("add", over, x, y, alpha=sign * scale)
        if name == "rsub":  # scalar - x
            turned = self.call("neg", over, x)
            return self.call("add", True, turned, others[0])
        if name == "rdiv":  # scalar / x: its reciprocal times the scalar would be rounded twice
            return self.each(torch.div, self.full(others[0], x), [x])
        if name in _TOGETHER:
            return self.call(name, over, x, *others)
        if name == "where":  # of two numbers torch would make the default dtype
            others = [o if isinstance(o, list) else self.full(o, x) for o in others]
        return self.each(_ALONE[name], x, others)

    def full(self, value: Any, like: list[Tensor]) -> list[Tensor]:
        return [torch.as_tensor(value, dtype=self.dtype, device=t.device) for t in like]

    def call(self, name: str, over: bool, x: list[Tensor], *others: Any, **options: Any) -> Any:
        scalar = bool(others) and not isinstance(others[0], list)
        if self.together and not (scalar and isinstance(others[0], Tensor) and name not in _MIXED):
            over = over and name not in ("maximum", "minimum")
            function = getattr(torch, f"_foreach_{name}{'_' if over else ''}")
            result = function(x, *others, **options)
            return x if over else list(result)
        if name in ("maximum", "minimum"):
            return self.each(_ALONE[name], x, list(others))
        method = getattr(Tensor, name + "_" if over else name)
        made = self.each(method, x, list(others), **options)
        return x if over else made

    def each(
        self, function: Callable[..., Any], x: list[Tensor], others: list[Any], **options: Any
    ) -> list[Tensor]:
        def at(i: int) -> list[Any]:
            return [o[i] if isinstance(o, list) else o for o in others]

        return [function(t, *at(i), **options) for i, t in enumerate(x)]

    def value(self, symbol: Symbol) -> Any:
        """The list of an element expression, the number (or tensor of one) of a scalar."""
        if symbol.is_element:
            return self.lists[id(symbol)]
        value = symbol.args[0] if symbol.op == "constant" else self.scalars[id(symbol)]
        if isinstance(value, float) and self.dtype == torch.float32 and abs(value) > _LARGEST:
            return math.copysign(math.inf, value)  # torch would refuse it
        return value

    def output(self, name: str, symbol: Symbol) -> list[Tensor]:
        if not symbol.is_element:
            value = self.value(symbol)
            return [torch.zeros_like(t).add_(value) for t in self.tensors[name]]
        if self.home[id(symbol)] in (None, name):
            return self.lists[id(symbol)]
        # it lies where another output is about to be written, or in a gradient
        return [t.clone() for t in self.lists[id(symbol)]]


_LARGEST = torch.finfo(torch.float32).max

_TOGETHER = frozenset({"mul", "div", "maximum", "minimum", "sqrt", "abs", "neg", "sign"})
"""Operations that torch has for lists; the others are done tensor by tensor."""

_MIXED = frozenset({"add", "mul", "div"})
"""Those of them that take a tensor of one element beside a list."""


def _maximum(x: Tensor, y: Any) -> Tensor:
    return torch.maximum(x, torch.as_tensor(y, dtype=x.dtype, device=x.device))


def _minimum(x: Tensor, y: Any) -> Tensor:
    return torch.minimum(x, torch.as_tensor(y, dtype=x.dtype, device=x.device))


_ALONE: Mapping[str, Callable[..., Any]] = {
    "gt": torch.gt, "ge": torch.ge, "lt": torch.lt, "le": torch.le, "eq": torch.eq, "ne": torch.ne,
    "and": torch.logical_and, "or": torch.logical_or, "not": torch.logical_not,
    "where": torch.where, "maximum": _maximum, "minimum": _minimum,
}  # fmt: skip
