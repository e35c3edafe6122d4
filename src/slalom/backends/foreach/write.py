"""Write a program as a Python function of torch's operations over lists of tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slalom.backends.foreach.select import Operation, select
from slalom.ir.sweeps import MULTIPLIED, SUMMED, Sweep
from slalom.ir.symbol import Symbol

Lists = dict[str, list[Tensor]]
"""Name (``param``, ``grad``, a state) -> tensors, one a place; all lists are equally long."""


class Written(NamedTuple):
    """A sweep as a function of torch's operations; see :func:`function_of`.

    Attributes:
        call: ``call(tensors, scalars)``: the new values of its outputs.
        in_place: whether it makes no temporary value.
    """

    call: Callable[[Lists, Sequence[Any]], Lists]
    in_place: bool


@lru_cache(1024)
def function_of(
    sweep: Sweep, dtype: torch.dtype, late: tuple[int, ...], borrowed: frozenset[str],
    together: bool,
) -> Written:  # fmt: skip
    """``call(tensors, scalars)``: the new values of the outputs of a sweep, in such lists.

    ``scalars`` are those of ``sweep.scalars``, of which those at the places ``late`` are tensors
    of one element, or lists of tensors that differ from place to place, the others floats; see
    :func:`within`. All tensors of a place have the
    ``dtype``, in which everything is computed. Lists not in ``borrowed`` may be overwritten, and
    hold new values of their own output where that saved a pass over memory. ``together`` says that
    ``torch._foreach_*`` may be used, which asks for plain tensors.
    """
    return _Writer(sweep, dtype, late, borrowed, together).function()


def within(scalars: Sequence[Any], dtype: torch.dtype) -> list[Any]:
    """The scalars as numbers torch takes: comparisons as 0 or 1, infinite beyond the dtype."""
    return [
        s if type(s) is float and -_LARGEST <= s <= _LARGEST else _within(s, dtype) for s in scalars
    ]


def _within(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, float) and dtype == torch.float32 and abs(value) > _LARGEST:
        return math.copysign(math.inf, value)
    return value


_LARGEST = torch.finfo(torch.float32).max


class _Writer:
    """Writes line by line; a line stands for a list of tensors, each a variable."""

    def __init__(
        self, sweep: Sweep, dtype: torch.dtype, late: tuple[int, ...],
        borrowed: frozenset[str], together: bool,
    ):  # fmt: skip
        self.body, self.dtype = sweep.fused, dtype
        self.borrowed, self.together = borrowed, together
        self.space: dict[str, Any] = {
            "dtype": dtype,
            "each": _each,
            "full": _full,
            "fill": _fill,
            "minus": _minus,
        }
        self.scalars = {id(s): f"s{i}" for i, s in enumerate(sweep.scalars)}
        self.late = {id(sweep.scalars[i]) for i in late}
        self.in_place = True
        self.worked_in: set[int] = set()  # values that a product has for itself
        self.names: dict[int, str] = {}  # of the values that are still needed
        self.home: dict[int, str | None] = {}  # whose memory a value lies in, None: its own
        self.lines = [f"{', '.join(['_', *self.scalars.values()])}, = (None, *scalars)"]
        for node in self.body.nodes:
            if node.op == "tensor":
                name = self.names[id(node)] = f"x{len(self.names)}"
                self.home[id(node)] = node.args[0]
                self.lines.append(f"{name} = tensors[{node.args[0]!r}]")

    def function(self) -> Written:
        for operation in select(self.body):
            self.do(operation)
        results = [f"{n!r}: {self.output(n, s)}" for n, s in self.body.outputs.items()]
        lines = [*self.lines, f"return {{{', '.join(results)}}}"]
        text = "def function(tensors, scalars):\n" + "".join(f"    {line}\n" for line in lines)
        exec(compile(text, "<a rule in torch's operations>", "exec"), self.space)
        in_place = all(
            s.is_element and self.home[id(s)] == name for name, s in self.body.outputs.items()
        )
        return Written(self.space["function"], in_place and self.in_place)

    def do(self, operation: Operation) -> None:
        first = operation.operands[0]
        if operation.name == "spread":
            result = id(operation.result)
            self.names[result], self.home[result] = f"v{len(self.lines)}", None
            self.lines.append(f"{self.names[result]} = fill({self.text(first)}, tensors['param'])")
            return
        if operation.name == "lerp" and self.late & {
            id(operation.scale),
            id(operation.operands[2]),
        }:
            x, y, factor = operation.operands
            product = Symbol(x.graph, "mul", (factor, x), None)
            self.do(Operation("mul", product, (x, factor), dead=operation.dead))
            self.do(replace(operation, name="add", operands=(product, y), dead=True))
            return
        over = operation.dead and self.home[id(first)] not in self.borrowed
        text, over = self.compute(operation, over)
        result = id(operation.result)
        if over:
            self.lines.append(text)
            self.names[result], self.home[result] = self.names[id(first)], self.home[id(first)]
        else:
            self.in_place = False
            self.names[result], self.home[result] = f"v{len(self.lines)}", None
            self.lines.append(f"{self.names[result]} = {text}")
        for gone in (*operation.last, *((first,) if operation.dead else ())):
            name = self.names.pop(id(gone))
            if name not in self.names.values():
                self.lines.append(f"{name} = None")  # its memory is free from here on

    def compute(self, operation: Operation, over: bool) -> tuple[str, bool]:
        """A call that computes the operation, and whether it overwrites the first operand."""
        name, (first, *rest) = operation.name, operation.operands
        x, sign = self.names[id(first)], "-" if operation.negative else ""
        scale = None if operation.scale is None else self.text(operation.scale)
        if operation.scale is not None and id(operation.scale) in self.late:
            # torch takes a factor only as a number
            product, _ = self.call("mul", False, self.names[id(rest[0])], [operation.scale])
            self.in_place = False
            self.lines.append(f"p{len(self.lines)} = {product}")
            others, scale = [f"p{len(self.lines) - 1}", *map(self.text, rest[1:])], None
        else:
            others = [self.text(r) for r in rest]
        factor = f"{sign}{scale or '1.0'}"
        if name in ("addcmul", "addcdiv"):
            return self.written(name, over, x, others, value=factor)
        if name == "lerp":
            return self.written(name, over, x, [others[0], factor])
        if name == "add":
            if not rest[0].is_element:
                return self.call("add", over, x, rest, sign)
            if scale is None:
                return self.written("sub" if sign else "add", over, x, others)
            return self.written("add", over, x, others, alpha=factor)
        if name == "rsub":  # scalar - x
            turned, inside = self.call("neg", over, x, [])
            if inside:
                self.lines.append(turned)
                return self.call("add", True, x, rest)
            self.lines.append(f"n{len(self.lines)} = {turned}")
            own = f"n{len(self.lines) - 1}"
            self.lines.append(self.call("add", True, own, rest)[0])
            return own, False
        if name == "rdiv":  # scalar / x: its reciprocal times the scalar would be rounded twice
            return self.each(torch.div, f"full({others[0]}, {x}, dtype)", [x]), False
        if name == "ratan2":
            return self.each(torch.atan2, f"full({others[0]}, {x}, dtype)", [x]), False
        if name in _TOGETHER:
            return self.call(name, over, x, rest)
        if name == "where":  # of two numbers torch would make the default dtype
            others = [
                o if r.is_element else f"full({o}, {x}, dtype)"
                for r, o in zip(rest, others, strict=True)
            ]
        return self.each(_ALONE[name], x, others), False

    def call(
        self, name: str, over: bool, x: str, rest: Sequence[Symbol], sign: str = ""
    ) -> tuple[str, bool]:
        others = [
            f"minus({self.text(r)})" if sign and id(r) in self.late else sign + self.text(r)
            for r in rest
        ]
        late = any(id(r) in self.late for r in rest)
        return self.written(name, over, x, others, apart=late and name not in _MIXED)

    def written(
        self, name: str, over: bool, x: str, others: Sequence[str], apart: bool = False,
        **options: str,
    ) -> tuple[str, bool]:  # fmt: skip
        """A call of one of torch's operations; ``apart`` where it has none for lists."""
        extreme = name in ("maximum", "minimum")
        if self.together and not apart:
            own = f"{name}{'_' if over else ''}"
            self.space[own] = getattr(torch, f"_foreach_{own}")
            given = [x, *others, *(f"{n}={v}" for n, v in options.items())]
            return f"{own}({', '.join(given)})", over
        over = over and not extreme
        method = _ALONE[name] if extreme else getattr(Tensor, name + "_" if over else name)
        return self.each(method, x, others, **options), over

    def each(
        self, function: Callable[..., Any], x: str, others: Sequence[str], **options: str
    ) -> str:
        """The call of a function tensor by tensor."""
        name = f"f{len(self.space)}"
        self.space[name] = function
        given = [x, *others, *(f"{n}={v}" for n, v in options.items())]
        return f"each({name}, {', '.join(given)})"

    def text(self, symbol: Symbol) -> str:
        """The variable of an expression, or a number."""
        if symbol.is_element:
            return self.names[id(symbol)]
        if symbol.op != "constant":
            return self.scalars[id(symbol)]
        name = f"c{len(self.space)}"
        self.space[name] = _within(symbol.args[0], self.dtype)
        return name

    def output(self, name: str, symbol: Symbol) -> str:
        if not symbol.is_element:
            return f"fill({self.text(symbol)}, tensors[{name!r}])"
        own = self.names[id(symbol)]
        shared = name.startswith(MULTIPLIED) and id(symbol) in self.worked_in
        if name.startswith(MULTIPLIED):  # a product works in its operand's memory
            self.worked_in.add(id(symbol))
        if not shared and (self.home[id(symbol)] in (None, name) or name.startswith(SUMMED)):
            return own
        # it lies where another output is about to be written, or in a gradient
        return self.each(Tensor.clone, own, [])


def _each(function: Callable[..., Any], x: Any, *others: Any, **options: Any) -> list[Tensor]:
    """The function over lists (or tuples, which torch makes), with what is none given to all."""
    columns = [o if isinstance(o, list | tuple) else [o] * len(x) for o in others]
    return [function(*own, **options) for own in zip(x, *columns, strict=True)]


def _full(value: Any, like: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    if isinstance(value, list):
        return value
    return [torch.as_tensor(value, dtype=dtype, device=like[0].device)] * len(like)


def _fill(value: Any, like: list[Tensor]) -> list[Tensor]:
    values = value if isinstance(value, list) else [value] * len(like)
    return [torch.zeros_like(t).add_(v) for t, v in zip(like, values, strict=True)]


def _minus(value: Any) -> Any:
    return [-v for v in value] if isinstance(value, list) else -value


_TOGETHER = frozenset({"mul", "div", "maximum", "minimum", "sqrt", "abs", "neg", "sign"})
"""Operations that torch has for lists; the others are done tensor by tensor."""

_MIXED = frozenset({"add", "mul", "div"})
"""Those of them that take a tensor of one element beside a list."""


def _maximum(x: Tensor, y: Any) -> Tensor:
    return torch.maximum(x, torch.as_tensor(y, dtype=x.dtype, device=x.device))


def _minimum(x: Tensor, y: Any) -> Tensor:
    return torch.minimum(x, torch.as_tensor(y, dtype=x.dtype, device=x.device))


def _atan2(y: Tensor, x: Any) -> Tensor:
    return torch.atan2(y, torch.as_tensor(x, dtype=y.dtype, device=y.device))


def _where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """:func:`torch.where`, on many elements of the CPU by their bits.

    Torch takes a branch for each element there: ten times as long where nobody foresees which.
    """
    dtype = x.dtype
    if (
        condition.numel() < 8192 or condition.dtype != torch.bool
        or dtype != y.dtype or (bits := _BITS.get(dtype)) is None
        or any(type(t) not in _PLAIN or t.device.type != "cpu" for t in (condition, x, y))
    ):  # fmt: skip
        return torch.where(condition, x, y)
    x, y = x.view(bits), y.view(bits)
    return condition.to(bits).neg_().bitwise_and_(x ^ y).bitwise_xor_(y).view(dtype)


_PLAIN = (Tensor, torch.nn.Parameter)
_BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


def _either(x: Tensor, condition: Tensor, y: Any) -> Tensor:
    return torch.where(_truth(condition, x), x, y)


def _or_else(x: Tensor, condition: Tensor, y: Any) -> Tensor:
    return torch.where(_truth(condition, x).logical_not(), x, y)


def _truth(condition: Any, like: Tensor) -> Tensor:
    """What is not 0; of a summary that is the same for all tensors it is a number."""
    return torch.as_tensor(condition != 0, device=like.device)


_ALONE: Mapping[str, Callable[..., Any]] = {
    "gt": torch.gt, "ge": torch.ge, "lt": torch.lt, "le": torch.le, "eq": torch.eq, "ne": torch.ne,
    "and": torch.logical_and, "or": torch.logical_or, "not": torch.logical_not,
    "where": _where, "either": _either, "or_else": _or_else,
    "maximum": _maximum, "minimum": _minimum, "atan2": _atan2,
}  # fmt: skip
