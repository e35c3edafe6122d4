"""Square matrices of tensors of which each process holds a part: at work where their owner is.

Each process keeps some rows of each square. What is done with the squares of a tensor between two
sweeps is its owner's, to whom they go before the first sweep and from whom those that have changed
come back after the last; operands come and go in between, as :mod:`slalom.backends.spread` has it.
So no process ever holds more of them whole than what it owns of a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from slalom.backends.spread import Exchange, Spread, owners_of
from slalom.ir.program import Program
from slalom.ir.squares import Squares
from slalom.ir.symbol import Symbol

Lists = Mapping[str, Sequence[Tensor]]
"""By name, one tensor for each parameter."""


class OwnedSquares:
    """What :class:`slalom.ir.squares.Squares` is, of tensors that are distributed.

    Every process of their mesh is to make the same calls.

    Args:
        program: of the update.
        kept: of each state that is a square matrix this process's rows, one for each tensor.
        spreads: how the tensors are distributed, all over one mesh in one way.
        scalar: the value of one of the program's scalars.
    """

    def __init__(
        self, program: Program, kept: Lists, spreads: Sequence[Spread],
        scalar: Callable[[Symbol], Any],
    ):  # fmt: skip
        self._spreads, self._changing = spreads, set(program.squares)
        self._kept = _AtOwners(kept, spreads, Spread.of_square)
        self._squares = Squares(program, self._kept.whole, scalar)

    def multiply(self, products: Mapping[str, Sequence[Symbol]], operands: Lists) -> None:
        """Do the operations of a sweep on operands of which these are the parts."""
        asked = {n: own for n, own in products.items() if own[-1].op != "orthogonal"}
        if not asked:
            return
        there = _AtOwners({n: operands[n] for n in asked}, self._spreads, lambda spread, _: spread)
        self._squares.multiply(asked, there.whole)
        there.return_to_parts({n for n, own in asked.items() if own[-1].op == "between"})

    def keep(self) -> None:
        """Put down what the states become."""
        self._squares.keep()
        self._kept.return_to_parts(self._changing)


class _AtOwners:
    """Matrices of which there are parts, where their owners are.

    Args:
        parts: by name, one for each of some tensors.
        spreads: how these are distributed.
        of: how a matrix is that goes with such a tensor, and of which this is the part.

    Attributes:
        whole: by name, the matrices of the tensors that this process owns.
    """

    def __init__(
        self, parts: Lists, spreads: Sequence[Spread], of: Callable[[Spread, Tensor], Spread]
    ):
        self._places = [(name, i) for name in parts for i in range(len(spreads))]
        self._parts = [parts[name][i] for name, i in self._places]
        ways = [of(spreads[i], parts[name][i]) for name, i in self._places]
        owners = owners_of(spreads)
        self._exchange = Exchange(
            spreads[0].mesh, [owners[i] for _, i in self._places], self._parts[0]
        )
        came = self._exchange.come(
            dict(enumerate(self._parts)), self._exchange.cuts(self._parts, ways)
        )
        self._came = list(came)
        self.whole: dict[str, list[Tensor]] = {name: [] for name in parts}
        for k, matrix in came.items():
            self.whole[self._places[k][0]].append(matrix)

    def return_to_parts(self, names: Collection[str]) -> None:
        """Put what became of the matrices of these names into the parts, wherever these are."""
        matrices = {name: iter(own) for name, own in self.whole.items()}
        done = {k: next(matrices[self._places[k][0]]) for k in self._came}
        back = self._exchange.go_back(done, lambda k: self._places[k][0] in names)
        for k, part in back.items():
            if self._places[k][0] in names:
                self._parts[k].copy_(part)
