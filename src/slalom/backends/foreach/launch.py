"""Updates by torch's own operations: any device, any dtype, any layout, any kind of tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import repeat

import torch
from torch import Tensor

from slalom.backends.base import Counts, Row, Rows, Slot
from slalom.backends.foreach.write import Lists, Written, function_of, within
from slalom.backends.general import Batch, GeneralLaunch, Pick, picker
from slalom.backends.layout import is_dense, is_lazy_view, like, same_layout
from slalom.backends.rounding import place_of, rounded

CHUNK = {"cpu": 1 << 19}
"""Elements that are in work at once on a device, each temporary value of them 4 or 8 bytes."""

CHUNK_ELSEWHERE = 1 << 25
"""The same on other devices, where operations on little cost as much as on much."""

_ORDINARY = (Tensor, torch.nn.Parameter)


class ForeachLaunch(GeneralLaunch):
    """Slots updated by the operations of torch, many of them at once.

    In chunks where there are temporary values, so that beside what is kept no more memory is taken
    than a few of these (each rule's own number, at most some ten) of :data:`CHUNK` elements: 2 MiB
    each in float32.
    """

    def __init__(self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts):
        super().__init__(slots, absent, counts)
        self.sizes = [s.param.numel() for s in slots]
        self.kinds = [
            (
                s.by_rows, s.alone, any(map(is_lazy_view, (s.param, *s.state.values()))),
                s.param.device,
                *((type(t) in _ORDINARY, t.dtype) for t in (s.param, *s.state.values())),
            )
            for s in slots
        ]  # fmt: skip
        self._parts: dict[Row, list[_Part]] = {}

    def assign(self, rows: Rows) -> None:
        super().assign(rows)
        # Here and not in the update, so that what is refused is refused before anything is changed.
        self._parts = {row: self._divided(row, batch) for row, batch in self.batches()}

    def update(self, row: Row, batch: Batch) -> None:
        enabled = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)  # as torch.no_grad() does, which takes 5 us
        try:
            self._update(row, batch)
        finally:
            torch._C._set_grad_enabled(enabled)

    def _update(self, row: Row, batch: Batch) -> None:
        tensors = _lists(batch)
        for part in self._parts[row]:
            for at in part.single:
                part.update_slot({n: t[at] for n, t in tensors.items()})
            for pick in part.chunks:
                part.update({n: pick(t) for n, t in tensors.items()})

    def _divided(self, row: Row, batch: Batch) -> list[_Part]:
        """The slots of a row by what can be updated at once."""
        tensors = _lists(batch)
        kinds = [
            (self.kinds[i], type(g), g.dtype, g.layout, g.device)
            for i, g in zip(batch.slots, batch.grads, strict=True)
        ]
        parts = []
        for kind in dict.fromkeys(kinds):
            members = [i for i, k in enumerate(kinds) if k == kind]
            (by_rows, alone, lazy, *_), *_ = kind
            first = {n: t[members[0]] for n, t in tensors.items()}
            part = _Part(
                row, {n: t.dtype for n, t in first.items()}, first["param"].device,
                all(type(t) in _ORDINARY for t in first.values()), by_rows,
            )  # fmt: skip
            chunks = [[i] for i in members]
            if part.together and not (by_rows or alone or lazy or row.noise is not None):
                chunks = _chunks(members, [self.sizes[i] for i in batch.slots], part.most)
            part.single = [i for i, *more in chunks if not more]
            part.chunks = [picker(chunk, len(kinds)) for chunk in chunks if len(chunk) > 1]
            parts.append(part)
        return parts


def _lists(batch: Batch) -> Lists:
    return {"param": batch.params, "grad": batch.grads, **batch.states}


@dataclass
class _Part:
    """Slots of one row whose tensors are of the same kinds.

    Attributes:
        row: with their program and scalars.
        dtypes, device: of their tensors, by name, and of all of them.
        together: whether all are plain tensors, which ``torch._foreach_*`` takes.
        by_rows: whether their gradients touch some of their rows alone.
        single: which slots of the row are updated alone.
        chunks: what takes, from a list over all slots of the row, those that are in work at once.
        most: elements that are in work at once.
    """

    row: Row
    dtypes: Mapping[str, torch.dtype]
    device: torch.device
    together: bool
    by_rows: bool
    single: Sequence[int] = ()
    chunks: Sequence[Pick] = ()

    def __post_init__(self) -> None:
        assert self.row.program is not None
        self._program = self.row.program
        real = self.dtypes
        self._complex = self.together and any(d.is_complex for d in real.values())
        if self._complex:  # complex numbers are worked at as pairs of reals
            real = {n: d.to_real() if d.is_complex else d for n, d in real.items()}
        self._widest = reduce(torch.promote_types, real.values(), torch.float32)
        self._narrow = {n for n, d in real.items() if d != self._widest}
        # What stays as it is, and is no memory to work in.
        self._kept = frozenset(real.keys() - set(self._program.writes) - self._narrow)
        self.most = CHUNK.get(self.device.type, CHUNK_ELSEWHERE)
        if self._function(()).in_place and not self._narrow:
            self.most = 1 << 62

    def _function(self, late: tuple[int, ...]) -> Written:
        return function_of(self._program, self._widest, late, self._kept, self.together)

    def update(self, tensors: Lists, places: Tensor | None = None) -> None:
        """Update tensors in place, lists of them by name.

        Arithmetic is done in the widest of the dtypes, and at least in float32; what is narrower
        is rounded once, bfloat16 by chance where the row has random bits and the ``places`` are
        given.
        """
        if self.together and tensors["grad"][0].layout != torch.strided:
            tensors["grad"] = [g.to_dense() for g in tensors["grad"]]
        if self._complex:
            tensors = {n: list(map(_as_reals, own)) for n, own in tensors.items()}
        wide = tensors
        if self._narrow:
            wide = {
                n: [t.to(self._widest) for t in own] if n in self._narrow else own
                for n, own in tensors.items()
            }
        scalars = within(self.row.values[: len(self._program.scalars)], self._widest)
        late = tuple([i for i, s in enumerate(scalars) if isinstance(s, Tensor)])
        for name, values in self._function(late).call(wide, scalars).items():
            own = tensors[name]
            if values is own:
                continue
            if self.row.noise is not None and places is not None and own[0].dtype == torch.bfloat16:
                array = place_of(self.row.rule, name)
                values = [rounded(v, self.row.noise, array, places) for v in values]
            if self.together:
                torch._foreach_copy_(own, values)  # pyright: ignore[reportPrivateImportUsage]
            else:
                for tensor, value in zip(own, values, strict=True):
                    tensor.copy_(value)

    def update_slot(self, slot: dict[str, Tensor]) -> None:
        """Update the tensors of one slot, of whatever kind they are."""
        viewed = {n: t for n, t in slot.items() if is_lazy_view(t)}
        slot |= {n: t.resolve_conj().resolve_neg() for n, t in viewed.items()}
        if self.by_rows and slot["grad"].sparse_dim():
            self._update_rows(slot)
        elif self.together:
            for piece, places in _pieces(slot, self.most, self.row.noise is not None):
                self.update(piece, places)
        else:
            self.update({n: [t] for n, t in slot.items()})
        for name in viewed.keys() & set(self._program.writes):
            viewed[name].copy_(slot[name])

    def _update_rows(self, slot: dict[str, Tensor]) -> None:
        """Update the rows that a sparse gradient touches; the others stay as they are."""
        param, grad = slot["param"], slot["grad"].coalesce()
        rows = tuple(grad.indices())
        touched: Lists = {n: [grad.values() if n == "grad" else t[rows]] for n, t in slot.items()}
        places = None
        if self.row.noise is not None:
            places = torch.arange(param.numel(), device=param.device).view(param.shape)[rows]
        self.update(touched, places)
        for name in self._program.writes:
            slot[name][rows] = touched[name][0]


def _as_reals(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


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


def _pieces(
    tensors: dict[str, Tensor], most: int, numbered: bool
) -> Iterator[tuple[Lists, Tensor | None]]:
    """One slot in pieces of bounded size; with the places of their elements if ``numbered``.

    A place is where an element of a dense parameter lies in memory, so that what is drawn for it
    does not depend on the layout, and its number in order for any other.
    """
    if tensors["grad"].layout != torch.strided:
        tensors["grad"] = tensors["grad"].to_dense()
    tensors = {n: _as_reals(t) for n, t in tensors.items()}
    param = tensors["param"]
    if numbered and is_dense(param) and not same_layout(param, tensors["grad"]):
        tensors["grad"] = like(param, tensors["grad"])
    size = param.numel()
    if size <= most and not numbered:
        yield {n: [t] for n, t in tensors.items()}, None
        return
    axis, rows = 0, min(most, size)
    numbers = torch.arange(size, device=param.device) if numbered else None
    if is_dense(param) and all(same_layout(param, t) for t in tensors.values()):
        tensors = {n: t.as_strided((size,), (1,)) for n, t in tensors.items()}
    else:
        axis = max(range(param.dim()), key=lambda a: param.shape[a])
        rows = max(1, most // max(1, size // param.shape[axis]))
        numbers = None if numbers is None else numbers.view(param.shape)
    split = {n: t.split(rows, axis) for n, t in tensors.items()}
    places = repeat(None) if numbers is None else numbers.split(rows, axis)
    for *own, of_piece in zip(*split.values(), places, strict=False):
        yield {n: [t] for n, t in zip(split, own, strict=True)}, of_piece
