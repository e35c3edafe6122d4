"""A program evaluated by torch's operations: its scalars where they live on a device, its elements.

For steps that a graph records: nothing here asks a tensor for its value.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from slalom.ir.operations import (
    COLUMNS,
    COMPARISONS,
    ELEMENTS,
    KEPT,
    PRODUCTS,
    ROWS,
    SCALAR_OPS,
    SUMS,
    evaluate,
)
from slalom.ir.passes import ordered
from slalom.ir.program import Program
from slalom.ir.sums import summed
from slalom.ir.symbol import Symbol
from slalom.rules import matrices


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


def rows_of(
    programs: Sequence[Program], inputs: Mapping[str, Any], counts: Tensor,
    numbers: Sequence[Tensor], skip: Tensor,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:  # fmt: skip
    """The scalars of several tensors' updates: which program serves each, its scalars, its numbers.

    ``inputs`` are as :class:`Values` has them, ``counts`` how often each was updated before and
    ``numbers`` what its rule keeps beside that, float64 of shape (tensors,), as what is returned
    is. Of what is skipped (a bool, or one of each) the program is -1, and numbers stay.
    """
    values = Values(inputs)
    which = torch.full_like(counts, -1.0)
    columns = [torch.zeros_like(counts)] * max(len(p.scalars) for p in programs)
    after = list(numbers)
    for k, program in enumerate(programs):
        serves = skip.logical_not().expand(counts.shape)
        serves = serves & values.serves(program, counts == 0)
        which = torch.where(serves, float(k), which)
        for own, symbols in ((columns, program.scalars), (after, program.numbers)):
            for j, symbol in enumerate(symbols):
                own[j] = torch.where(serves, _as_column(values(symbol), which), own[j])
    return which, columns, after


def _as_column(value: Any, like: Tensor) -> Tensor:
    if not isinstance(value, Tensor):
        return torch.full_like(like, float(value))
    return value.to(like.dtype).expand(like.shape)


def _applied(op: str, args: list[Any]) -> Any:
    if not any(isinstance(a, Tensor) for a in args):
        if op in _LOGIC:
            return not args[0] if op == "not" else (all if op == "and" else any)(args)
        try:
            return evaluate(op, *args)
        except ValueError:  # of a branch that is not taken, perhaps
            return float("nan")
    if op in _LOGIC:
        return _LOGIC[op](*args)
    if op not in COMPARISONS and op != "where":  # a truth counts as 0 or 1, in double precision
        args = [a.double() if isinstance(a, Tensor) and a.dtype == torch.bool else a for a in args]
    return SCALAR_OPS[op](*args)


class Summaries:
    """The summaries of tensors: what is made of sums over them, in double precision.

    Args:
        known: the values of the program's scalars, floats or tensors.
        kept: the states that are summaries, by name, in float64.
        shapes: of the tensors. Of several all summaries are one number each, and the values of
            :meth:`__call__` float64 tensors of shape (tensors,).
        device: of the tensors.
        over: makes of sums over parts of tensors, which a process holds, those over all parts, of
            sums along these axes (as bits).
    """

    def __init__(
        self, known: Mapping[Symbol, Any], kept: Mapping[str, Tensor], shapes: Sequence[torch.Size],
        device: torch.device, over: Callable[[Tensor, int], Tensor] | None = None,
    ):  # fmt: skip
        self._over = over
        self._values: dict[int, Any] = {id(symbol): value for symbol, value in known.items()}
        self._kept, self._shapes, self._device = kept, shapes, device

    def tell(self, total: Symbol, value: Tensor) -> None:
        """Put down a sum over elements, or what was made of a number of each of several tensors."""
        self._values[id(total)] = value

    def __call__(self, symbol: Symbol) -> Any:
        """The value of a summary whose sums were told."""
        values = self._values
        if id(symbol) not in values:
            for node in ordered([symbol], lambda n: id(n) not in values):
                values[id(node)] = self._value(node)
        return values[id(symbol)]

    def _value(self, node: Symbol) -> Any:
        if node.op == "constant":
            return node.args[0]
        if node.op in KEPT:
            return self._kept[node.args[0]]
        if node.op == "size":
            return sizes(node.args[0], node.args[1], self._shapes, self._device)
        if node.op in SUMS:  # over rows or columns that are summaries
            found = summed(self._values[id(node.args[0])], node.op == "squares", 0)
            return found if self._over is None else self._over(found, node.args[0].along)
        return _applied(node.op, [self._values[id(a)] for a in node.args])


def sizes(
    along: int, least: int, shapes: Sequence[torch.Size], device: torch.device
) -> Tensor | float:
    """How many elements, rows or columns there are, ``least`` at the least: 1 to divide totals.

    Of equal shapes one number, else a tensor of one of each.
    """
    found = []
    for shape in shapes:
        rows, columns = math.prod(shape[:1]), math.prod(shape[1:])
        many = {0: 1, ROWS: rows, COLUMNS: columns, ELEMENTS: rows * columns}
        found.append(max(least, many[along]))
    if len(set(found)) == 1:
        return float(found[0])
    dtype = torch.float32 if device.type == "mps" else torch.float64
    return torch.tensor(found, dtype=dtype, device=device)


def across(kind: str, values: Sequence[Tensor]) -> Tensor:
    """One of :data:`CROSSINGS` of these numbers, in double precision, on the first one's device."""
    device = values[0].device
    wide = torch.float32 if device.type == "mps" else torch.float64
    joined = torch.stack([v.to(device, wide).reshape(()) for v in values])
    return joined.sum() if kind == "total" else joined.amax()


def multiplied(
    product: Symbol, operands: Sequence[Tensor], value: Callable[[Symbol], Any]
) -> tuple[Tensor, ...]:
    """An operation on whole matrices of tensors of one shape and dtype, all of them as one batch.

    Their lengths apart: of what is given divided by them. ``value`` gives that of a scalar.
    """
    dtype: Any = product.args[1]
    numbers = [a.args[0] if a.op == "constant" else value(a) for a in product.args[3:]]
    return matrices.batched(PRODUCTS[product.op], operands, dtype, numbers).unbind()


_LOGIC = {"and": torch.logical_and, "or": torch.logical_or, "not": torch.logical_not}


Asked = Generator[list[Any], list[Any], dict[str, Tensor]]
"""What :func:`elements` is of a program with crossings: at each it gives a number for every thing
asked for there, and is sent what became of them; it ends with the new values."""


class Whole(Protocol):
    """A tensor of which a process has a part, as :class:`slalom.backends.spread.Spread` is."""

    @property
    def shape(self) -> torch.Size:
        """Of the whole."""
        ...

    def summed(self, values: Sequence[Tensor], axes: int) -> Sequence[Tensor]:
        """What sums over the parts, along these axes (as bits), are over the whole."""
        ...

    def multiplied(self, operand: Tensor, work: Callable[[Sequence[Tensor]], Any]) -> Tensor:
        """The part of the result of an operation on the whole matrix."""
        ...


def elements_asked(
    program: Program, tensors: Mapping[str, Tensor], scalars: Iterable[Any],
    whole: Whole | None = None,
) -> Asked:  # fmt: skip
    """The new values of a program's outputs, and of its small states, for one parameter.

    ``tensors`` are it, its gradient and its states by name, all of one dtype, which ``scalars``
    (those of ``program.scalars``, tensors of one element) have too. Elements that nothing needs any
    more are let go, and computed again where they are asked for behind a crossing.
    """
    values: dict[int, Any] = {
        id(symbol): scalar for symbol, scalar in zip(program.scalars, scalars, strict=True)
    }
    results = {**program.outputs, **program.small}
    for crossing in program.crossings:
        _evaluate([n.args[0] for n in crossing.nodes], values, tensors, whole)
        told = yield [values[id(n.args[0])] for n in crossing.nodes]
        values |= {id(n): value for n, value in zip(crossing.nodes, told, strict=True)}
    _evaluate(results.values(), values, tensors, whole)
    return {
        name: torch.zeros_like(tensors[name]) + values[id(symbol)]
        for name, symbol in results.items()
    }


def _evaluate(
    symbols: Iterable[Symbol], values: dict[int, Any], tensors: Mapping[str, Tensor],
    whole: Whole | None,
) -> None:  # fmt: skip
    """Put the values of these and of what they are made of among those that are known."""
    like = tensors["param"]
    roots = [s for s in symbols if id(s) not in values]
    order = list(ordered(roots, lambda n: id(n) not in values))
    users = Counter(id(a) for n in order for a in n.args if isinstance(a, Symbol) and a.is_element)
    users.update(map(id, roots))  # who is asked for it outlives its users here
    for node in order:
        if node.op == "constant":
            values[id(node)] = node.args[0]
        elif node.op == "tensor" or node.op in KEPT:
            values[id(node)] = tensors[node.args[0]]
        elif node.op == "size":
            shape = like.shape if whole is None else whole.shape
            values[id(node)] = sizes(node.args[0], node.args[1], [shape], like.device)
        elif node.op in SUMS:
            value = values[id(node.args[0])]
            left = node.args[1] if node.args[0].is_element else 0
            found = summed(value, node.op == "squares", left)
            if whole is not None:
                (found,) = whole.summed([found], node.args[0].along & ~left)
            values[id(node)] = found.to(value.dtype)
        elif node.op in PRODUCTS:
            operand, _, length, *_ = node.args
            own = values[id(operand)]
            if length.op != "constant":
                own = own / values[id(length)]
            work = partial(multiplied, node, value=lambda s: values[id(s)])
            (found,) = work([own]) if whole is None else [whole.multiplied(own, work)]
            values[id(node)] = found.to(own.dtype)
        elif node.op == "spread":
            values[id(node)] = values[id(node.args[0])].expand_as(like)
        else:
            operation = _LOGIC.get(node.op) or SCALAR_OPS[node.op]
            values[id(node)] = operation(*(values[id(a)] for a in node.args))
        for own in (id(a) for a in node.args if isinstance(a, Symbol) and a.is_element):
            users[own] -= 1
            if not users[own]:
                values.pop(own, None)
