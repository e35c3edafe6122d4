"""Rules that look at whole tensors, by torch's operations: sweep after sweep, sums in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from slalom.backends.crossings import company
from slalom.backends.foreach.part import CHUNK_ELSEWHERE, Part, as_reals, pieces
from slalom.backends.foreach.write import Lists
from slalom.backends.layout import is_lazy_view
from slalom.backends.owned import OwnedSquares
from slalom.backends.row import Row
from slalom.backends.spread import multiplied_by_owner
from slalom.ir.operations import ELEMENTS
from slalom.ir.squares import Squares
from slalom.ir.sweeps import Crossing, Sweep
from slalom.ir.symbol import Symbol
from slalom.ir.tensors import Summaries, across, multiplied


def update_by_sweeps(part: Part, tensors: Lists) -> Meeting:
    """Update the slots of a part; ``tensors`` are lists over all slots of its row.

    To be run to its end: it stops where its program asks all tensors for numbers, one after another
    of which :func:`meet` brings together. All slots are at work then, else one turn after another.
    """
    crossings = part.program.crossings
    turns = ([_Together(part, tensors, units) for units in turn] for turn in _turns(part, tensors))
    for together in [list(turns)] if crossings else ([turn] for turn in turns):
        groups = [group for turn in together for group in turn]
        squares = [_squares_of(turn) for turn in together]
        for k, sweep in enumerate(part.sweeps):
            yield from (Met(part.row, c, groups) for c in crossings if c.before == k)
            for turn, own in zip(together, squares, strict=True):
                _tell(part, turn, sweep, [group.sweep(sweep) for group in turn])
                _multiply(turn, own, sweep.products)
        for own in squares:
            own.keep()
        for group in groups:
            group.end()


@dataclass
class Met:
    """Some slots at a crossing of their program."""

    row: Row
    crossing: Crossing
    groups: Sequence[_Together]


Meeting = Iterator[Met]


def meet(works: Sequence[Meeting]) -> None:
    """Run all of these to their ends, from crossing to crossing side by side."""
    while met := [m for work in works if (m := next(work, None)) is not None]:
        nodes = [m.crossing.nodes for m in met]
        for node in zip(*nodes, strict=True):
            values: dict[Any, list[Tensor]] = {}
            for m, own in zip(met, node, strict=True):
                found = values.setdefault(company(m.row, own), [])
                found += [v for group in m.groups for v in group.each(own.args[0])]
            for m, own in zip(met, node, strict=True):
                value = across(own.args[1], values[company(m.row, own)])
                for group in m.groups:
                    group.tell(own, value)


def _tell(
    part: Part, groups: Sequence[_Together], sweep: Sweep, found: Sequence[Sequence[Tensor]]
) -> None:
    """Put down the sums of a sweep over some groups; of parts of tensors, those over all parts."""
    for total, values in zip(sweep.sums, zip(*found, strict=True), strict=True):
        if part.spreads:
            values = part.spreads[groups[0].members[0]].summed(values, ELEMENTS & ~total.args[1])
        for group, value in zip(groups, values, strict=True):
            group.summaries.tell(total, value)


def _multiply(
    groups: Sequence[_Together], squares: Squares | OwnedSquares,
    products: Mapping[str, Sequence[Symbol]],
) -> None:  # fmt: skip
    """Put the results of operations on matrices into their operands.

    These are memory of their own, which need not be asked for again. Of parts of matrices each one
    is multiplied by its owner.
    """
    operands = {
        name: [tensor for group in groups for tensor in group.tensors[name]] for name in products
    }
    squares.multiply(products, operands)
    for name, (*_, product) in products.items():
        if product.op != "orthogonal":
            continue
        own = operands[name]
        if product.args[2].op != "constant":
            lengths = [length for group in groups for length in group.each(product.args[2])]
            torch._foreach_div_(own, lengths)  # pyright: ignore[reportPrivateImportUsage]
        spreads = [spread for group in groups for spread in group.spreads]
        work = partial(multiplied, product, value=groups[0].summaries)
        results = multiplied_by_owner(own, spreads, work) if spreads else work(own)
        torch._foreach_copy_(own, results)  # pyright: ignore[reportPrivateImportUsage]


def _squares_of(groups: Sequence[_Together]) -> Squares | OwnedSquares:
    first = groups[0]
    kept = {n: [t for group in groups for t in group.squares[n]] for n in first.squares}
    if kept and first.spreads:
        spreads = [spread for group in groups for spread in group.spreads]
        return OwnedSquares(first.program, kept, spreads, first.summaries)
    return Squares(first.program, kept, first.summaries)


def _turns(part: Part, tensors: Lists) -> Iterator[Sequence[Sequence[Sequence[int]]]]:
    """What is updated one after another: of each turn the units of every group.

    A group has one number a slot, or a single slot; slots whose matrices are multiplied in one
    batch have one turn, and so have parts of tensors, about which processes talk.
    """
    program, each = part.program, [i for unit in part.units for i in unit]
    if not program.matrix:
        yield [part.units]
    elif part.spreads:
        for several in _of_a_size(part, each):
            yield [[[i]] for i in several]
    elif not program.multiplies:
        yield from ([[[i]]] for i in each)
    else:
        for alike in _of_one_shape(part, each, tensors["param"]):
            yield [[[i]] for i in alike] if program.by_rows else [[alike]]


def _of_a_size(part: Part, places: Sequence[int]) -> Iterator[Sequence[int]]:
    """Slots of parts of tensors, of which each process may own as many as may be in work at once.

    Of the sizes of the whole tensors, so that all processes have the same.
    """
    most = max(part.most, CHUNK_ELSEWHERE) * next(iter(part.spreads.values())).mesh.size()
    several: list[int] = []
    taken = 0
    for i in places:
        size = part.spreads[i].shape.numel()
        if several and taken + size > most:
            yield several
            several, taken = [], 0
        several.append(i)
        taken += size
    yield several


def _of_one_shape(
    part: Part, places: Sequence[int], params: Sequence[Tensor]
) -> Iterator[Sequence[int]]:
    """Slots of tensors of one shape, as many as may be in work at once."""
    shapes: dict[torch.Size, list[int]] = {}
    for i in places:
        shapes.setdefault(params[i].shape, []).append(i)
    for shape, members in shapes.items():
        n = max(1, part.most // max(1, shape.numel())) if part.many else 1
        yield from (members[k : k + n] for k in range(0, len(members), n))


_WHOLE = 1 << 62
"""Elements that are in work at once where no tensor is taken in pieces."""


class _Together:
    """Slots whose summaries are computed at once: many with one number each, or one of any kind."""

    def __init__(self, part: Part, tensors: Lists, units: Sequence[Sequence[int]]):
        self._part, self.program = part, part.program
        whole, self._by_rows = part.program.multiplies, part.program.matrix
        self._most = _WHOLE if whole else part.most
        members = self.members = [i for unit in units for i in unit]
        self.spreads = [part.spreads[i] for i in members] if part.spreads else []
        place = {i: k for k, i in enumerate(members)}
        self._units = [[place[i] for i in unit] for unit in units]
        small = part.program.rule.shapes
        mine = {n: [t[i] for i in members] for n, t in tensors.items()}
        self.tensors = {n: own for n, own in mine.items() if n not in small}
        self.squares = {n: own for n, own in mine.items() if n in part.program.rule.squares}
        self._small = {n: o for n, o in mine.items() if n in small and n not in self.squares}
        self.tensors["grad"] = [
            g if g.layout == torch.strided or not part.together else g.to_dense()
            for g in self.tensors["grad"]
        ]
        self._viewed: list[tuple[str, int, Tensor]] = []
        for name, own in self.tensors.items():
            for k, tensor in enumerate(own):
                if is_lazy_view(tensor):
                    self._viewed.append((name, k, tensor))
                    own[k] = tensor.resolve_conj().resolve_neg()
        params = self.tensors["param"]
        self._device = params[0].device
        shapes = [as_reals(p).shape if part.together else p.shape for p in params]
        if self.spreads:  # and complex numbers are pairs there too
            pairs = zip(self.spreads, params, shapes, strict=True)
            shapes = [torch.Size([*s.shape, *own[p.dim() :]]) for s, p, own in pairs]
        known = dict(zip(part.program.scalars, part.values(), strict=False))
        # copies, since what one of them becomes may hang on what another was
        kept = {n: self._joined([t.detach().clone() for t in o]) for n, o in self._small.items()}
        self.summaries = Summaries(
            known, kept, shapes, self._device, self._over if self.spreads else None
        )

    def _over(self, value: Tensor, axes: int) -> Tensor:
        """A sum over parts, as one over all parts of a tensor."""
        return self.spreads[0].summed([value], axes)[0]

    def tell(self, across: Symbol, value: Tensor) -> None:
        """Put down what all tensors were asked for."""
        self.summaries.tell(across, value.to(self._device))

    def end(self) -> None:
        """Put down what the small states become."""
        program = self.program
        for name, symbol in program.small.items():
            for state, value in zip(self._small[name], self.each(symbol), strict=True):
                state.copy_(value)
        for name, k, tensor in self._viewed:
            if name in program.writes:
                tensor.copy_(self.tensors[name][k])

    def sweep(self, sweep: Sweep) -> list[Tensor]:
        """Do one sweep over all slots; of each sum its values.

        Operands of products are then among the tensors.
        """
        widest = self._part.widest
        values = [
            self.each(s, widest)
            if s.is_summary and isinstance(self.summaries(s), Tensor)
            else self.summaries(s)
            for s in sweep.scalars
        ]
        operands: dict[str, list[Tensor]] = {name: [] for name in sweep.operands}
        found: list[list[Tensor]] = [[] for _ in sweep.sums]
        for unit in self._units:
            own = [[v[k] for k in unit] if isinstance(v, list) else v for v in values]
            tensors = {n: [t[k] for k in unit] for n, t in self.tensors.items()}
            if len(unit) > 1 or not self._part.together:
                sums = self._part.sweep(sweep, own, tensors)
            else:
                sums = self._alone(sweep, own, tensors)
            for total, more in zip(found, sums, strict=True):
                total += more
            for name, all_of_them in operands.items():
                all_of_them += tensors[name]
        self.tensors |= operands
        return [self._joined(own) for own in found]

    def _alone(
        self, sweep: Sweep, values: Sequence[Any], tensors: Lists
    ) -> Sequence[Sequence[Tensor]]:
        """The sums of a sweep over one slot, in pieces; see :meth:`Part.sweep`."""
        part, slot = self._part, {n: own for n, (own,) in tensors.items()}
        found: list[list[Tensor]] = [[] for _ in sweep.sums]
        begin = 0
        for piece, places in pieces(slot, self._most, part.row.noise is not None, self._by_rows):
            own = values
            if self._by_rows:
                rows = len(piece["param"][0]) if piece["param"][0].dim() else 1
                pairs = zip(sweep.scalars, values, strict=True)
                own = [self._rows_of(s, v, begin, rows) for s, v in pairs]
                begin += rows
            sums = part.sweep(sweep, own, piece, places)
            for total, more in zip(found, sums, strict=True):
                total += more
            tensors |= {name: piece[name] for name in sweep.operands}
        return [[_whole(s, own)] for s, own in zip(sweep.sums, found, strict=True)]

    @staticmethod
    def _rows_of(symbol: Symbol, value: Any, begin: int, rows: int) -> Any:
        """What a summary is to some rows of its tensor."""
        if not isinstance(value, list) or not symbol.along & 1 or not value[0].dim():
            return value
        return [value[0][begin : begin + rows]]

    def _joined(self, own: Sequence[Tensor]) -> Tensor:
        """Numbers of many tensors as one tensor, in double precision; of one tensor what it is."""
        wide = torch.float32 if self._device.type == "mps" else torch.float64
        if len(own) == 1:
            return own[0].to(wide)
        return torch.stack(list(own)).to(wide)

    def each(self, symbol: Symbol, dtype: torch.dtype | None = None) -> list[Any]:
        """The value of a summary for each slot."""
        value, n = self.summaries(symbol), len(self.tensors["param"])
        if not isinstance(value, Tensor):
            return [torch.tensor(float(value), device=self._device, dtype=dtype)] * n
        value = value if dtype is None else value.to(dtype)
        return [value] if n == 1 else list(value.expand(n).unbind())


def _whole(total: Symbol, parts: Sequence[Tensor]) -> Tensor:
    """The sum over a tensor, of those over its pieces in order."""
    first, *others = parts
    if total.args[1] & 1 and first.dim():
        return torch.cat(list(parts))
    for other in others:
        first = first + other
    return first
