"""Rewritings of a traced rule: what is hoisted out of the loop, and what is one multiply-add."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from slalom.ir.operations import DECOMPOSITIONS, ELEMENTS, PRODUCTS, SUMS
from slalom.ir.symbol import Symbol

FUSED = {"fma": "{0} * {1} + {2}", "fms": "{0} * {1} - {2}", "fnma": "{2} - {0} * {1}"}
"""The multiply-adds that :func:`fuse` makes, of three operands each, rounded once."""


@dataclass(frozen=True, eq=False)
class Body:
    """What runs once per element.

    Attributes:
        outputs: name (``param`` or a state) -> its new value. A value may be a scalar, which every
            element then gets, or the old value of another tensor.
    """

    outputs: dict[str, Symbol]

    @cached_property
    def nodes(self) -> list[Symbol]:
        """Every element expression, operands before their users; not those below summaries."""
        roots = (s for s in self.outputs.values() if s.is_element)
        return list(ordered(roots, lambda n: n.is_element))

    @cached_property
    def operands(self) -> list[Symbol]:
        """What elements and outputs are made of that is no element; constants apart."""
        below = (a for n in self.nodes for a in n.args if isinstance(a, Symbol))
        used = dict.fromkeys((*below, *self.outputs.values()))
        return [a for a in used if not a.is_element and a.op != "constant"]

    @cached_property
    def uses(self) -> Counter[Symbol]:
        """How often each expression is an operand or an output."""
        found = Counter(a for n in self.nodes for a in n.args if isinstance(a, Symbol))
        found.update(self.outputs.values())
        return found


def ordered(
    roots: Iterable[Symbol], which: Callable[[Symbol], bool] = lambda _: True
) -> Iterator[Symbol]:
    """Every node below the roots once, operands first; ``which`` says where to go on downwards."""
    seen: set[int] = set()
    stack: list[tuple[Symbol, bool]] = [(r, False) for r in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            below = (a for a in reversed(node.args) if isinstance(a, Symbol) and which(a))
            stack.extend((a, False) for a in below)


def structure(outputs: Mapping[str, Symbol]) -> tuple[Any, ...]:
    """What two graphs have in common where they compute the same in the same way."""
    numbers: dict[int, int] = {}
    nodes: list[tuple[Any, ...]] = []
    for node in ordered(outputs.values()):
        nodes.append(
            (node.op, *(numbers[id(a)] if isinstance(a, Symbol) else repr(a) for a in node.args))
        )
        numbers[id(node)] = len(nodes)
    return (*nodes, *((name, numbers[id(s)]) for name, s in outputs.items()))


def hoist(outputs: Mapping[str, Symbol]) -> dict[str, Symbol]:
    """The same values with less work per element: scalar factors are gathered and hoisted.

    ``x / s`` becomes ``x * (1 / s)`` and ``s * (t * x)`` becomes ``(s * t) * x``; s and t are
    scalars in double precision, so each rewrite costs at most one rounding of the result. A
    summary is no divisor that may be turned, since nobody knows how small it is.
    """
    done: dict[Symbol, Symbol] = {}
    for node in ordered(outputs.values()):
        if node.is_known or not any(isinstance(a, Symbol) for a in node.args):
            done[node] = node
            continue
        op, args = node.op, [done[a] if isinstance(a, Symbol) else a for a in node.args]
        make = node.graph.make
        if op in SUMS:
            done[node] = node.graph.sum(op, args[0], node.args[1])
            continue
        if op == "across":
            done[node] = node.graph.across(*args)
            continue
        if op == "spread":
            done[node] = node.graph.spread(*args)
            continue
        if op in PRODUCTS:
            done[node] = _product(node, args)
            continue
        if op in DECOMPOSITIONS:
            done[node] = node.graph.decomposed(op, *args)
            continue
        if not node.is_element:
            done[node] = make(op, *args)
            continue
        if op == "div" and args[1].is_known:
            op, args = "mul", [args[0], make("div", 1.0, args[1])]
        if op == "neg":
            op, args = "mul", [make("neg", 1.0), args[0]]
        if op == "mul":
            factor = [a for a in args if not a.is_element]
            rest = [a for a in args if a.is_element]
            inner = rest[0]
            if (
                factor
                and inner.op == "mul"
                and not inner.args[0].is_element
                and (factor[0].along | inner.args[0].along != ELEMENTS)
            ):
                factor, rest = [make("mul", factor[0], inner.args[0])], [inner.args[1]]
            args = factor + rest  # a scalar factor always stands first
        done[node] = make(op, *args)
    return {name: done[symbol] for name, symbol in outputs.items()}


def _product(node: Symbol, args: list[Any]) -> Symbol:
    """An operation on matrices, which divides by a summary itself, since it copies its operand."""
    operand, dtype, length, *numbers = args
    divides = node.op == "orthogonal" and operand.op == "div" and length.value == 1
    divisor = operand.args[1] if divides else None
    if divisor is not None and divisor.is_summary:
        operand, length = operand.args
    return node.graph.product(node.op, operand, dtype, length, *numbers)


def fuse(body: Body) -> Body:
    """The same with each sum of a product and something as one multiply-add (:data:`FUSED`).

    A product that is used elsewhere too stays a product. Of two products the right one is fused.
    """
    done: dict[Symbol, Symbol] = {}
    for node in body.nodes:
        args = [done.get(a, a) if isinstance(a, Symbol) else a for a in node.args]
        if node.op in ("add", "sub"):
            op, args = _multiply_add(node, args, body.uses)
        else:
            op = node.op
        done[node] = node if op == "tensor" else Symbol(node.graph, op, tuple(args), None)
    return Body({name: done.get(symbol, symbol) for name, symbol in body.outputs.items()})


def _multiply_add(node: Symbol, args: list[Any], uses: Counter[Symbol]) -> tuple[str, list[Any]]:
    for place in (1, 0):
        product = node.args[place]
        if product.op == "mul" and product.is_element and uses[product] == 1:
            op = "fma" if node.op == "add" else "fnma" if place == 1 else "fms"
            return op, [*args[place].args, args[1 - place]]
    return node.op, args
