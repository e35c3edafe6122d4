"""Updates by torch's own operations: any device, any dtype, any layout, any kind of tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from slalom.backends.base import Counts, Rows, Slot
from slalom.backends.foreach.part import Part
from slalom.backends.foreach.sweeping import meet, update_by_sweeps
from slalom.backends.foreach.write import Lists
from slalom.backends.general import Batch, RowsLaunch, picker
from slalom.backends.layout import is_lazy_view
from slalom.backends.narrow import Opened, is_narrow
from slalom.backends.refusals import refuse_narrow, refuse_no_matrix
from slalom.backends.row import Row

_ORDINARY = (Tensor, torch.nn.Parameter)


class ForeachLaunch(RowsLaunch):
    """Slots updated by the operations of torch, many of them at once.

    In chunks where there are temporary values, so that beside what is kept no more memory is taken
    than a few of these (each rule's own number, at most some ten) of
    :data:`slalom.backends.foreach.part.CHUNK` elements: 2 MiB each in float32. Tensors that are
    kept in fewer bits than they are computed in are opened as a whole, one slot after the other, or
    all of a step where its rule sums.
    """

    def __init__(self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts):
        super().__init__(slots, absent, counts)
        self.spreads = [s.spread for s in slots]
        self.sizes = [s.param.numel() for s in slots]
        self.kinds = [
            (
                s.by_rows, s.alone, any(map(is_lazy_view, (s.param, *s.state.values()))),
                s.param.device, None if s.spread is None else s.spread.way,
                *((type(t) in _ORDINARY, t.dtype) for t in (s.param, *s.state.values())),
            )
            for s in slots
        ]  # fmt: skip
        self._parts: dict[Row, list[Part]] = {}

    def assign(self, rows: Rows) -> None:
        super().assign(rows)
        # Here and not in the update, so that what is refused is refused before anything is changed.
        self._parts = {row: self._divided(row, batch) for row, batch in self.batches()}

    def update(self, row: Row, batch: Batch) -> None:
        self.update_together([(row, batch)])

    def update_together(self, rows: Sequence[tuple[Row, Batch]]) -> None:
        enabled = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)  # as torch.no_grad() does, which takes 5 us
        try:
            summing, opened = [], []
            for row, batch in rows:
                for part in self._parts[row]:
                    if part.program.sums:
                        own = _lists(batch)
                        if part.narrow:
                            slots = [Opened({n: t[i] for n, t in own.items()}) for i in part.narrow]
                            opened.append((part, slots))
                            own = {n: [s.tensors[n] for s in slots] for n in slots[0].tensors}
                        summing.append(update_by_sweeps(part, own))
            meet(summing)
            for part, slots in opened:
                for slot in slots:
                    slot.close(part.row.rule, part.program.writes, part.row.noise)
            for row, batch in rows:
                self._update(row, _lists(batch))
        finally:
            torch._C._set_grad_enabled(enabled)

    def _update(self, row: Row, tensors: Lists) -> None:
        for part in self._parts[row]:
            if part.program.sums:
                continue
            for at in part.narrow:
                part.update_narrow({n: t[at] for n, t in tensors.items()})
            for at in part.single:
                part.update_slot({n: t[at] for n, t in tensors.items()})
            for pick in part.chunks:
                part.update({n: pick(t) for n, t in tensors.items()})

    def _divided(self, row: Row, batch: Batch) -> list[Part]:
        """The slots of a row by what can be updated at once."""
        tensors = _lists(batch)
        kinds = [
            (self.kinds[i], type(g), g.dtype, g.layout, g.device)
            for i, g in zip(batch.slots, batch.grads, strict=True)
        ]
        parts: list[Part] = []
        for kind in dict.fromkeys(kinds):
            members = [i for i, k in enumerate(kinds) if k == kind]
            (by_rows, alone, lazy, *_), *_ = kind
            first = {n: t[members[0]] for n, t in tensors.items()}
            if row.program is not None and row.program.sums:
                refuse_no_matrix(row.program, first["param"])
            narrow = is_narrow(first)
            if narrow:
                refuse_narrow(first["param"])
                first = Opened(first).tensors
            spreads = {i: s for i in members if (s := self.spreads[batch.slots[i]]) is not None}
            part = Part(
                row, {n: t.dtype for n, t in first.items()}, first["param"].device,
                all(type(t) in _ORDINARY for t in first.values()), by_rows, spreads,
            )  # fmt: skip
            if narrow:
                part.narrow, part.units = members, [[i] for i in range(len(members))]
                parts.append(part)
                continue
            chunks = [[i] for i in members]
            part.many = part.together and not (by_rows or alone or lazy or row.noise is not None)
            if part.many:
                chunks = _chunks(members, [self.sizes[i] for i in batch.slots], part.most)
            part.units = chunks
            part.single = [i for i, *more in chunks if not more]
            part.chunks = [picker(chunk, len(kinds)) for chunk in chunks if len(chunk) > 1]
            parts.append(part)
        return parts


def _lists(batch: Batch) -> Lists:
    return {"param": batch.params, "grad": batch.grads, **batch.states}


def _chunks(places: Sequence[int], sizes: Sequence[int], most: int) -> list[list[int]]:
    """Places in runs of at most so many elements in all; what is larger has a run of its own."""
    chunks: list[list[int]] = []
    total = most
    for place in places:
        total += sizes[place]
        if total > most or not chunks:
            chunks.append([])
            total = sizes[place]
        chunks[-1].append(place)
    return chunks
