"""Rules that look at whole tensors, by torch's operations: sweep after sweep, sums in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from slalom.backends.base import RefusedTensorError
from slalom.backends.foreach.part import Part, as_reals, pieces
from slalom.backends.foreach.write import Lists
from slalom.backends.layout import is_lazy_view
from slalom.ir.program import Program
from slalom.ir.sweeps import Sweep
from slalom.ir.symbol import Symbol
from slalom.ir.tensors import Summaries


def update_by_sweeps(part: Part, tensors: Lists) -> None:
    """Update the slots of a part; ``tensors`` are lists over all slots of its row."""
    if part.program.matrix:
        for unit in part.units:
            for i in unit:
                _Together(part, tensors, [[i]], by_rows=True).run()
    else:
        _Together(part, tensors, part.units, by_rows=False).run()


def refuse_distributed(program: Program, param: Tensor) -> None:
    """Raise :class:`RefusedTensorError` for a distributed tensor whose rows would be summed up."""
    if hasattr(param, "full_tensor") and program.matrix:
        raise RefusedTensorError(
            f"{program.rule.class_name} sums up rows or columns, which is not served of a DTensor; "
            "use it where parameters are whole, under DDP for example"
        )


class _Together:
    """Slots whose summaries are computed at once: many with one number each, or one of any kind."""

    def __init__(
        self, part: Part, tensors: Lists, units: Sequence[Sequence[int]], *, by_rows: bool
    ):
        self._part, self._program, self._by_rows = part, part.program, by_rows
        members = [i for unit in units for i in unit]
        place = {i: k for k, i in enumerate(members)}
        self._units = [[place[i] for i in unit] for unit in units]
        small = part.program.rule.shapes
        self._tensors = {n: [t[i] for i in members] for n, t in tensors.items() if n not in small}
        self._small = {n: [t[i] for i in members] for n, t in tensors.items() if n in small}
        self._tensors["grad"] = [
            g if g.layout == torch.strided or not part.together else g.to_dense()
            for g in self._tensors["grad"]
        ]
        self._viewed: list[tuple[str, int, Tensor]] = []
        for name, own in self._tensors.items():
            for k, tensor in enumerate(own):
                if is_lazy_view(tensor):
                    self._viewed.append((name, k, tensor))
                    own[k] = tensor.resolve_conj().resolve_neg()

    def run(self) -> None:
        """Sweep, and put down what the small states become."""
        program, params = self._program, self._tensors["param"]
        if not params:
            return
        self._device = params[0].device
        shapes = [as_reals(p).shape if self._part.together else p.shape for p in params]
        known = dict(zip(program.scalars, self._part.row.values, strict=False))
        kept = {n: self._joined([t.detach() for t in own]) for n, own in self._small.items()}
        self._summaries = Summaries(known, kept, shapes, self._device)
        for sweep in self._part.sweeps:
            self._sweep(sweep)
        for name, symbol in program.small.items():
            for state, value in zip(self._small[name], self._each(symbol, None), strict=True):
                state.copy_(value)
        for name, k, tensor in self._viewed:
            if name in program.writes:
                tensor.copy_(self._tensors[name][k])

    def _sweep(self, sweep: Sweep) -> None:
        widest = self._part.widest
        values = [
            self._summaries(s) if s.is_known else self._each(s, widest) for s in sweep.scalars
        ]
        found: list[list[Tensor]] = [[] for _ in sweep.sums]
        for unit in self._units:
            own = [[v[k] for k in unit] if isinstance(v, list) else v for v in values]
            if len(unit) > 1:
                tensors = {n: [t[k] for k in unit] for n, t in self._tensors.items()}
                sums = self._part.sweep(sweep, own, tensors)
            else:
                sums = self._alone(sweep, own, {n: t[unit[0]] for n, t in self._tensors.items()})
            for total, more in zip(found, sums, strict=True):
                total += more
        for symbol, own in zip(sweep.sums, found, strict=True):
            self._summaries.tell(symbol, self._joined(own))

    def _alone(
        self, sweep: Sweep, values: Sequence[Any], slot: dict[str, Tensor]
    ) -> list[list[Tensor]]:
        """The sums of a sweep over one slot, in pieces where that is possible."""
        part = self._part
        if not part.together:
            return part.sweep(sweep, values, {n: [t] for n, t in slot.items()})
        found: list[list[Tensor]] = [[] for _ in sweep.sums]
        begin = 0
        for piece, places in pieces(slot, part.most, part.row.noise is not None, self._by_rows):
            own = values
            if self._by_rows:
                rows = len(piece["param"][0]) if piece["param"][0].dim() else 1
                pairs = zip(sweep.scalars, values, strict=True)
                own = [self._rows_of(s, v, begin, rows) for s, v in pairs]
                begin += rows
            sums = part.sweep(sweep, own, piece, places)
            for total, more in zip(found, sums, strict=True):
                total += more
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

    def _each(self, symbol: Symbol, dtype: torch.dtype | None) -> list[Any]:
        """The value of a summary for each slot."""
        value, n = self._summaries(symbol), len(self._tensors["param"])
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
