"""Choose torch's operations for a program: as few passes over memory as ``_foreach_*`` allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from slalom.ir.passes import FUSED, Body
from slalom.ir.symbol import Symbol


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation over lists of tensors.

    Attributes:
        name: of the operation; ``addcmul`` and ``addcdiv`` are first + scale * second (* or /)
            third, ``add`` is first + scale * second, ``lerp`` is third * first + scale * second
            where the two factors sum to 1, ``either`` is first where the second holds and else
            the third, ``or_else`` the other way round.
        result: the expression that it computes.
        operands: expressions, of which the first may be overwritten if ``dead``.
        scale: a scalar factor, None for 1.
        negative: whether the factor is to be turned.
        dead: whether nothing needs the first operand's value afterwards.
        last: the operands, the first apart, that nothing needs afterwards.
    """

    name: str
    result: Symbol
    operands: tuple[Symbol, ...]
    scale: Symbol | None = None
    negative: bool = False
    dead: bool = False
    last: tuple[Symbol, ...] = ()


@cache
def select(body: Body) -> list[Operation]:
    """The operations that compute the outputs of a fused body, in order."""
    return list(_with_ends(body, _operations(body)))


def _operations(body: Body) -> list[Operation]:
    chosen: list[Operation] = []
    absorbed: Counter[Symbol] = Counter()  # how many of its users have a value as a part of them
    for node in reversed(body.nodes):  # users first: they decide
        if node.op != "tensor" and absorbed[node] < body.uses[node]:
            chosen += reversed(_choose(node, body, absorbed))
    return chosen[::-1]


def _choose(node: Symbol, body: Body, absorbed: Counter[Symbol]) -> list[Operation]:
    def own(symbol: Symbol, op: str) -> bool:
        """Whether it is such an operation between elements that only this node needs."""
        return symbol.op == op and symbol.is_element and body.uses[symbol] == 1

    def scaled(symbol: Symbol) -> tuple[Symbol | None, Symbol]:
        """A product with a scalar as both."""
        if symbol.op == "mul" and not symbol.args[0].is_element:
            absorbed[symbol] += 1
            return symbol.args
        return None, symbol

    op, args = node.op, node.args
    if op in FUSED:
        a, b, c = args
        if op == "fms" or not c.is_element:  # torch has no such operation: a product, then a sum
            product = Symbol(node.graph, "mul", (a, b), None)
            first = [Operation("mul", product, (b, a))]
            if op == "fnma":  # c is a scalar
                return [*first, Operation("rsub", node, (product, c))]
            return [*first, Operation("add", node, (product, c), negative=op == "fms")]
        negative = op == "fnma"
        if not a.is_element:
            if own(b, "div") and all(x.is_element for x in b.args):
                absorbed[b] += 1
                return [Operation("addcdiv", node, (c, *b.args), a, negative)]
            if not negative and c.op == "mul" and _sum_to_one(c.args[0], a):
                absorbed[c] += 1
                start, end = (c.args, (a, b)) if a.op == "sub" else ((a, b), c.args)
                return [Operation("lerp", node, (start[1], end[1], start[0]), end[0])]
            return [Operation("add", node, (c, b), a, negative)]
        scale, a = scaled(a)
        if scale is None:
            scale, b = scaled(b)
        return [Operation("addcmul", node, (c, a, b), scale, negative)]
    if op in ("add", "sub"):
        x, y = args
        if op == "add" and (not x.is_element or (y.is_element and own(x, "div"))):
            x, y = y, x
        if not x.is_element:
            return [Operation("rsub", node, (y, x))]
        if own(y, "div") and all(z.is_element for z in y.args):
            absorbed[y] += 1
            scale, numerator = scaled(y.args[0])
            return [Operation("addcdiv", node, (x, numerator, y.args[1]), scale, op == "sub")]
        return [Operation("add", node, (x, y), negative=op == "sub")]
    if op == "div" and not args[0].is_element:
        return [Operation("rdiv", node, (args[1], args[0]))]
    if op == "atan2" and not args[0].is_element:
        return [Operation("ratan2", node, (args[1], args[0]))]
    if op == "where" and not args[0].is_element:  # one condition for all of a tensor
        condition, x, y = args
        if x.is_element:
            return [Operation("either", node, (x, condition, y))]
        return [Operation("or_else", node, (y, condition, x))]
    if op in _TURNED and not args[0].is_element:
        op, args = _TURNED[op], args[::-1]
    return [Operation(op, node, tuple(args))]


def _sum_to_one(a: Symbol, b: Symbol) -> bool:
    """Whether one of two scalars is written as 1 minus the other."""
    return any(
        y.op == "sub" and y.args[1] is x and y.args[0].op == "constant" and y.args[0].args[0] == 1
        for x, y in ((a, b), (b, a))
    )


_TURNED = {
    "mul": "mul", "maximum": "maximum", "minimum": "minimum", "eq": "eq", "ne": "ne",
    "gt": "lt", "lt": "gt", "ge": "le", "le": "ge", "and": "and", "or": "or",
}  # fmt: skip
"""What an operation is when its operands change places."""


def _with_ends(body: Body, operations: list[Operation]) -> Iterator[Operation]:
    """The same, each knowing which values nobody needs after it."""
    needed = {id(s) for s in body.outputs.values()}
    ends: list[set[int]] = []
    for operation in reversed(operations):
        elements = {id(o) for o in operation.operands if o.is_element}
        ends.append(elements - needed)
        needed |= elements
    for operation, end in zip(operations, reversed(ends), strict=True):
        first, *rest = operation.operands
        yield Operation(
            operation.name, operation.result, operation.operands, operation.scale,
            operation.negative, id(first) in end,
            tuple(dict.fromkeys(r for r in rest if id(r) in end and r is not first)),
        )  # fmt: skip
