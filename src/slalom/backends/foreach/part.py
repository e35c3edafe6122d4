"""Tensors that are updated alike, by torch's operations, all at once or in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from slalom.backends.foreach.write import Lists, Written, function_of, within
from slalom.backends.general import Pick
from slalom.backends.layout import is_dense, is_lazy_view, like, same_layout
from slalom.backends.narrow import Opened, owner
from slalom.backends.rounding import place_of, rounded
from slalom.backends.row import Row
from slalom.backends.spread import Spread
from slalom.ir.sums import summed_each
from slalom.ir.sweeps import MULTIPLIED, SUMMED, Sweep

CHUNK = {"cpu": 1 << 19}
"""Elements that are in work at once on a device, each temporary value of them 4 or 8 bytes."""

CHUNK_ELSEWHERE = 1 << 25
"""The same on other devices, where operations on little cost as much as on much."""

_LATE = (Tensor, list)
"""What a scalar is that is not a number of the host: one on a device, or one for each tensor."""


@dataclass
class Part:
    """Slots of one row whose tensors are of the same kinds.

    Attributes:
        row: with their program and scalars.
        dtypes, device: of their tensors, by name, and of all of them.
        together: whether all are plain tensors, which ``torch._foreach_*`` takes.
        by_rows: whether their gradients touch some of their rows alone.
        spreads: of each of its slots how the tensor is distributed of which it has a part, all over
            one mesh in one way; none where they are whole.
        many: whether several of its slots may be in work at once.
        units: which of them are.
        single: which of them are updated alone.
        narrow: all of them, where they are opened and closed again one by one.
        chunks: what takes, from a list over all slots of the row, those that are in work at once.
        most: elements that are in work at once.
    """

    row: Row
    dtypes: Mapping[str, torch.dtype]
    device: torch.device
    together: bool
    by_rows: bool
    spreads: Mapping[int, Spread] = field(default_factory=dict)
    many: bool = False
    units: Sequence[Sequence[int]] = ()
    single: Sequence[int] = ()
    narrow: Sequence[int] = ()
    chunks: Sequence[Pick] = ()

    def __post_init__(self) -> None:
        assert self.row.program is not None
        program = self.program = self.row.program
        real = {n: d for n, d in self.dtypes.items() if n not in program.rule.shapes}
        self._complex = self.together and any(d.is_complex for d in real.values())
        if self._complex:  # complex numbers are worked at as pairs of reals
            real = {n: d.to_real() if d.is_complex else d for n, d in real.items()}
        self._real = real
        self.widest = reduce(torch.promote_types, real.values(), torch.float32)
        self._narrow = {n for n, d in real.items() if d != self.widest}
        self._functions: dict[tuple[Sweep, tuple[int, ...]], Written] = {}
        self.sweeps = program.sweeps_apart if self._narrow else program.sweeps
        self.most = CHUNK.get(self.device.type, CHUNK_ELSEWHERE)
        in_place = not program.sums and self._function(program.sweeps[0], ()).in_place
        if in_place and not self._narrow:
            self.most = 1 << 62

    def _function(self, sweep: Sweep, late: tuple[int, ...]) -> Written:
        if (known := self._functions.get((sweep, late))) is None:
            # What stays as it is, and is no memory to work in.
            kept = frozenset(self._real.keys() - set(sweep.writes) - self._narrow)
            later = self.sweeps[self.sweeps.index(sweep) + 1 :] if sweep in self.sweeps else []
            kept |= {n for s in later for n in s.reads if n.startswith(MULTIPLIED)}
            known = function_of(sweep, self.widest, late, kept, self.together)
            self._functions[sweep, late] = known
        return known

    def values(self) -> Sequence[Any]:
        """Those of the row, and what is a tensor on the device of the part."""
        return [
            v.to(self.device, non_blocking=True) if isinstance(v, Tensor) else v
            for v in self.row.values
        ]

    def update(self, tensors: Lists, places: Tensor | None = None) -> None:
        """Update tensors in place, lists of them by name; see :meth:`sweep`."""
        self.sweep(self.program.sweeps[0], self.values(), tensors, places)

    def sweep(
        self, sweep: Sweep, values: Sequence[Any], tensors: Lists, places: Tensor | None = None
    ) -> list[Sequence[Tensor]]:
        """Do a sweep over tensors in place, lists of them by name; of each sum the value of each.

        Operands of operations on matrices are put among them, under the names of these.

        ``values`` are those of ``sweep.scalars``, with a list in place of what differs from tensor
        to tensor. Arithmetic is done in the widest of the dtypes, and at least in float32; what is
        narrower is rounded once, bfloat16 by chance where the row has random bits and the
        ``places`` are given.
        """
        given = tensors
        if self.together and tensors["grad"][0].layout != torch.strided:
            tensors["grad"] = [g.to_dense() for g in tensors["grad"]]
        if self._complex:
            tensors = {n: list(map(as_reals, own)) for n, own in tensors.items()}
        wide = tensors
        if self._narrow:
            wide = {
                n: [t.to(self.widest) for t in own] if n in self._narrow else own
                for n, own in tensors.items()
            }
        scalars = within(values[: len(sweep.scalars)], self.widest)
        late = tuple([i for i, s in enumerate(scalars) if isinstance(s, _LATE)])
        results = self._function(sweep, late).call(wide, scalars)
        sums = [
            summed_each(results.pop(f"{SUMMED}{i}"), total.op == "squares", total.args[1])
            for i, total in enumerate(sweep.sums)
        ]
        given |= {name: results.pop(name) for name in sweep.operands}
        for name, new in results.items():
            own = tensors[name]
            if new is own:
                continue
            if self.row.noise is not None and places is not None and own[0].dtype == torch.bfloat16:
                array = place_of(self.row.rule, name)
                new = [rounded(v, self.row.noise, array, places) for v in new]
            if self.together:
                torch._foreach_copy_(own, new)  # pyright: ignore[reportPrivateImportUsage]
            else:
                for tensor, value in zip(own, new, strict=True):
                    tensor.copy_(value)
        return sums

    def update_slot(self, slot: dict[str, Tensor]) -> None:
        """Update the tensors of one slot, of whatever kind they are."""
        viewed = {n: t for n, t in slot.items() if is_lazy_view(t)}
        slot |= {n: t.resolve_conj().resolve_neg() for n, t in viewed.items()}
        if self.by_rows and slot["grad"].sparse_dim():
            self._update_rows(slot)
        elif self.together:
            for piece, places in pieces(slot, self.most, self.row.noise is not None):
                self.update(piece, places)
        else:
            self.update({n: [t] for n, t in slot.items()})
        for name in viewed.keys() & set(self.program.writes):
            viewed[name].copy_(slot[name])

    def update_narrow(self, slot: dict[str, Tensor], places: Tensor | None = None) -> None:
        """Update the tensors of one slot of which some are kept in fewer bits."""
        if self.by_rows and slot["grad"].layout != torch.strided and slot["grad"].sparse_dim():
            self._update_rows(slot)
            return
        opened = Opened(slot)
        if places is None:
            self.update_slot(dict(opened.tensors))
        else:
            self.update({n: [t] for n, t in opened.tensors.items()}, places)
        opened.close(self.row.rule, self.program.writes, self.row.noise)

    def _update_rows(self, slot: dict[str, Tensor]) -> None:
        """Update the rows that a sparse gradient touches; the others stay as they are."""
        param, grad = slot["param"], slot["grad"].coalesce()
        rows = tuple(grad.indices())
        touched = {n: grad.values() if n == "grad" else t[rows] for n, t in slot.items()}
        places = None
        if self.row.noise is not None:
            places = torch.arange(param.numel(), device=param.device).view(param.shape)[rows]
        if self.narrow:
            self.update_narrow(touched, places)
        else:
            self.update({n: [t] for n, t in touched.items()}, places)
        for name, tensor in touched.items():
            if name in self.program.writes or owner(name, slot) in self.program.writes:
                slot[name][rows] = tensor


def as_reals(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def pieces(
    tensors: dict[str, Tensor], most: int, numbered: bool, by_rows: bool = False
) -> Iterator[tuple[Lists, Tensor | None]]:
    """One slot in pieces of bounded size; with the places of their elements if ``numbered``.

    A place is where an element of a dense parameter lies in memory, so that what is drawn for it
    does not depend on the layout, and its number in order for any other. ``by_rows``: the pieces
    are some whole rows each.
    """
    if tensors["grad"].layout != torch.strided:
        tensors["grad"] = tensors["grad"].to_dense()
    tensors = {n: as_reals(t) for n, t in tensors.items()}
    param = tensors["param"]
    if numbered and is_dense(param) and not same_layout(param, tensors["grad"]):
        tensors["grad"] = like(param, tensors["grad"])
    size = param.numel()
    if size <= most and not (numbered and param.dim()):
        first = torch.zeros_like(param, dtype=torch.int64) if numbered else None
        yield {n: [t] for n, t in tensors.items()}, first
        return
    axis, rows = 0, min(most, size)
    numbers = torch.arange(size, device=param.device) if numbered else None
    if by_rows and param.dim():
        axis, rows = 0, max(1, most // max(1, size // max(1, len(param))))
        if numbers is not None and is_dense(param):
            numbers = torch.empty_like(param, dtype=numbers.dtype)
            numbers.as_strided((size,), (1,)).copy_(torch.arange(size, device=param.device))
        numbers = None if numbers is None else numbers.view(param.shape)
    elif is_dense(param) and all(same_layout(param, t) for t in tensors.values()):
        tensors = {n: t.as_strided((size,), (1,)) for n, t in tensors.items()}
    else:
        axis = max(range(param.dim()), key=lambda a: param.shape[a])
        rows = max(1, most // max(1, size // param.shape[axis]))
        numbers = None if numbers is None else numbers.view(param.shape)
    split = {n: t.split(rows, axis) for n, t in tensors.items()}
    places = repeat(None) if numbers is None else numbers.split(rows, axis)
    for *own, of_piece in zip(*split.values(), places, strict=False):
        yield {n: [t] for n, t in zip(split, own, strict=True)}, of_piece
