"""Updates by torch's own operations: any device, any dtype, any layout, any kind of tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from slalom.backends.base import Counts, Row, Slot
from slalom.backends.foreach.evaluate import Lists, evaluate
from slalom.backends.general import Batch, GeneralLaunch
from slalom.backends.layout import is_dense, is_lazy_view, same_layout
from slalom.backends.rounding import place_of, rounded

CHUNK = {"cpu": 1 << 18}
"""Elements that are in work at once on a device, each temporary value of them 4 or 8 bytes."""

CHUNK_ELSEWHERE = 1 << 25
"""The same on other devices, where operations on little cost as much as on much."""

_ORDINARY = (Tensor, torch.nn.Parameter)


class ForeachLaunch(GeneralLaunch):
    """Slots updated by the operations of torch, many of them at once.

    In chunks, so that beside what is kept no more memory is taken than a few temporary values
    (each rule's own number, at most some ten) of :data:`CHUNK` elements: 1 MiB each in float32.
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

    @torch.no_grad()
    def update(self, row: Row, batch: Batch) -> None:
        assert row.program is not None
        tensors: Lists = {"param": batch.params, "grad": batch.grads, **batch.states}
        kinds = [
            (self.kinds[i], type(g), g.dtype, g.layout, g.device)
            for i, g in zip(batch.slots, batch.grads, strict=True)
        ]
        for kind in dict.fromkeys(kinds):
            members = [i for i, k in enumerate(kinds) if k == kind]
            (by_rows, alone, lazy, *_), of_grad, *_ = kind
            first = [t[members[0]] for t in tensors.values()]
            ordinary = of_grad in _ORDINARY and all(type(t) in _ORDINARY for t in first)
            one_by_one = by_rows or alone or lazy or row.noise is not None
            if ordinary and not one_by_one:
                sizes = [self.sizes[batch.slots[i]] for i in members]
                part = {n: [t[i] for i in members] for n, t in tensors.items()}
                for chunk in _chunks(part, sizes):
                    _update(row, chunk)
                continue
            for i in members:
                slot = {n: [t[i]] for n, t in tensors.items()}
                viewed = {n: own for n, own in slot.items() if is_lazy_view(own[0])}
                slot |= {n: [t.resolve_conj().resolve_neg()] for n, (t,) in viewed.items()}
                if by_rows:
                    _update_rows(row, slot)
                elif ordinary:
                    for piece, places in _pieces(slot, row.noise is not None):
                        _update(row, piece, places)
                else:
                    _update(row, slot, together=False)
                for name in viewed.keys() & set(row.program.writes):
                    viewed[name][0].copy_(slot[name][0])


def _chunks(tensors: Lists, sizes: Sequence[int]) -> Iterator[Lists]:
    """The tensors, or parts of them, in portions of bounded size; all are of one kind."""
    if tensors["grad"][0].layout != torch.strided:
        tensors = {**tensors, "grad": [g.to_dense() for g in tensors["grad"]]}
    most = _most(tensors["param"][0])
    start = total = 0
    for i, size in enumerate(sizes):
        if total + size > most:
            if i > start:
                yield {n: t[start:i] for n, t in tensors.items()}
            start, total = i, 0
            if size > most:
                for piece, _ in _pieces({n: [t[i]] for n, t in tensors.items()}, False):
                    yield piece
                start = i + 1
                continue
        total += size
    if start < len(sizes):
        yield {n: t[start:] for n, t in tensors.items()}


def _pieces(slot: Lists, numbered: bool) -> Iterator[tuple[Lists, Tensor | None]]:
    """One slot in pieces of bounded size; with the places of their elements if ``numbered``.

    A place is where an element of a dense parameter lies in memory, so that what is drawn for it
    does not depend on the layout, and its number in order for any other.
    """
    tensors = {n: t for n, (t,) in slot.items()}
    if tensors["grad"].layout != torch.strided:
        tensors["grad"] = tensors["grad"].to_dense()
    if tensors["param"].is_complex():
        tensors = {n: torch.view_as_real(t.resolve_conj()) for n, t in tensors.items()}
    param = tensors["param"]
    most, size = _most(param), param.numel()
    if size <= most and not numbered:
        yield {n: [t] for n, t in tensors.items()}, None
    elif is_dense(param) and all(same_layout(param, t) for t in tensors.values()):
        flat = {n: t.as_strided((size,), (1,)) for n, t in tensors.items()}
        for start in range(0, size, most):
            end = min(start + most, size)
            places = torch.arange(start, end, device=param.device) if numbered else None
            yield {n: [t[start:end]] for n, t in flat.items()}, places
    else:
        axis = max(range(param.dim()), key=lambda a: param.shape[a])
        rows = max(1, most // max(1, size // param.shape[axis]))
        count = -(-param.shape[axis] // rows)
        numbers: Sequence[Tensor | None] = [None] * count
        if numbered:
            numbers = torch.arange(size, device=param.device).view(param.shape).split(rows, axis)
        split = {n: t.split(rows, axis) for n, t in tensors.items()}
        for i in range(count):
            yield {n: [parts[i]] for n, parts in split.items()}, numbers[i]


def _most(param: Tensor) -> int:
    return CHUNK.get(param.device.type, CHUNK_ELSEWHERE)


def _update(
    row: Row, tensors: Lists, places: Tensor | None = None, *, together: bool = True
) -> None:
    """Update tensors of one kind in place.

    Arithmetic is done in the widest of the dtypes, and at least in float32; what is narrower is
    rounded once, bfloat16 by chance where the row has random bits and the ``places`` are given.
    """
    assert row.program is not None
    if together and tensors["param"][0].is_complex():
        tensors = {
            n: [torch.view_as_real(t.resolve_conj()) for t in own] for n, own in tensors.items()
        }
    widest = reduce(torch.promote_types, (t[0].dtype for t in tensors.values()), torch.float32)
    lists: Lists = {
        n: own if own[0].dtype == widest else [t.to(widest) for t in own]
        for n, own in tensors.items()
    }
    kept = tensors.keys() - set(row.program.writes)  # it stays as it is, and no memory to work in
    borrowed = {n for n in kept if lists[n] is tensors[n]}
    results = evaluate(row.program, row.values, lists, borrowed, together)
    for name, values in results.items():
        own = tensors[name]
        if values is own:
            continue
        if row.noise is not None and places is not None and own[0].dtype == torch.bfloat16:
            array = place_of(row.rule, name)
            values = [rounded(v, row.noise, array, places) for v in values]
        if together:
            torch._foreach_copy_(own, values)  # pyright: ignore[reportPrivateImportUsage]
        else:
            for tensor, value in zip(own, values, strict=True):
                tensor.copy_(value)


def _update_rows(row: Row, slot: Lists) -> None:
    """Update the rows that a sparse gradient touches; the others stay as they are."""
    assert row.program is not None
    (param,), (grad,) = slot["param"], slot["grad"]
    grad = grad.coalesce()
    rows: Any = tuple(grad.indices())
    touched: Lists = {n: [grad.values() if n == "grad" else t[rows]] for n, (t,) in slot.items()}
    places = None
    if row.noise is not None:
        places = torch.arange(param.numel(), device=param.device).view(param.shape)[rows]
    _update(row, touched, places)
    for name in row.program.writes:
        slot[name][0][rows] = touched[name][0]
