"""Operations on matrices between two sweeps, for tensors of one shape one after another.

They were as fast so as in one batch: a product of 96 by 96 keeps a thread busy for longer than a
call of torch's takes, and copying the squares of many tensors to one place took up to as long as
multiplying by them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from slalom.ir.operations import DECOMPOSITIONS, SQUARES
from slalom.ir.passes import ordered
from slalom.ir.program import Program
from slalom.ir.symbol import Symbol
from slalom.rules import matrices


class Squares:
    """The square matrices of some tensors of one shape, in one update.

    Args:
        program: of the update.
        kept: the states that are square matrices, by name, one for each tensor. They have their
            new values after :meth:`keep`; what is only added to has it before.
        scalar: the value of one of the program's scalars.
        between, gram: what does these operations, as those of :mod:`slalom.rules.matrices` do.
    """

    def __init__(
        self, program: Program, kept: Mapping[str, Sequence[Tensor]],
        scalar: Callable[[Symbol], Any], between: Callable[..., Any] = matrices.between,
        gram: Callable[..., Any] = matrices.gram,
    ):  # fmt: skip
        self._between, self._gram = between, gram
        self._program, self._kept, self._scalar = program, kept, scalar
        self._known: dict[int, list[Tensor]] = {}

    def multiply(
        self, products: Mapping[str, Sequence[Symbol]], operands: Mapping[str, Sequence[Tensor]]
    ) -> None:
        """Do the operations of a sweep (``Sweep.products``); what gives elements works in place.

        But for ``orthogonal``, which takes no squares.
        ``operands`` are memory of one's own, by name, one for each tensor.
        """
        each = [(one, operands[n]) for n, own in products.items() for one in own]
        for one, own in each:
            if one.is_square:
                self._known[id(one)] = self._grown(one, own)
        for one, own in each:
            if one.op == "between":
                left, right = map(self, one.args[3:])
                for x, a, b in zip(own, left, right, strict=True):
                    if x.is_contiguous():
                        self._between(a, x, b, out=x)
                    else:
                        x.copy_(matrices.between(a, x, b))

    def keep(self) -> None:
        """Put down what the states become."""
        for name, symbol in self._program.squares.items():
            old, new = list(self._kept[name]), self(symbol)
            if any(a is not b for a, b in zip(old, new, strict=True)):
                torch._foreach_copy_(old, new)  # pyright: ignore[reportPrivateImportUsage]

    def __call__(self, symbol: Symbol) -> list[Tensor]:
        """A square matrix of each tensor."""
        known = self._known
        for node in ordered([symbol], lambda n: n.is_square and id(n) not in known):
            if id(node) not in known:
                known[id(node)] = self._made(node)
        return known[id(symbol)]

    def _made(self, node: Symbol) -> list[Tensor]:
        if node.op in SQUARES:
            return list(self._kept[node.args[0]])
        columns = [
            self._known[id(a)] if a.is_square else [self._number(a)] * len(self._of(node))
            for a in node.args
        ]
        return [DECOMPOSITIONS[node.op](*own) for own in zip(*columns, strict=True)]

    def _of(self, node: Symbol) -> list[Tensor]:
        return self._known[id(node.args[0])]

    def _grown(self, node: Symbol, operands: Sequence[Tensor]) -> list[Tensor]:
        axis, onto, keep, share = node.args[3:]
        numbers = [self._number(s) for s in (axis, keep, share)]
        alone = id(node) in _only_added_to(self._program)
        return [
            self._gram(x, numbers[0], square, *numbers[1:], in_place=alone)
            for x, square in zip(operands, self(onto), strict=True)
        ]

    def _number(self, symbol: Symbol) -> Any:
        return symbol.args[0] if symbol.op == "constant" else self._scalar(symbol)


@cache
def _only_added_to(program: Program) -> frozenset[int]:
    """The ``gram`` that may be added where its state lies, which nothing else asks for."""
    roots = [*program.outputs.values(), *program.between.values()]
    users: dict[int, list[Symbol]] = {}
    for node in ordered(roots):
        for operand in node.args:
            if isinstance(operand, Symbol) and operand.op in SQUARES:
                users.setdefault(id(operand), []).append(node)
    new = program.squares
    return frozenset(
        id(own[0])
        for own in users.values()
        if len(own) == 1 and own[0].op == "gram" and new.get(own[0].args[4].args[0]) is own[0]
    )
