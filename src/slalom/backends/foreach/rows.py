"""Updates by scalars that lie on a device, with torch's operations."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from slalom.backends.base import Work
from slalom.backends.layout import is_dense
from slalom.backends.narrow import Opened, is_narrow
from slalom.backends.rounding import place_of, rounded
from slalom.backends.spread import Spread
from slalom.ir.program import Program
from slalom.ir.symbol import Symbol
from slalom.ir.tensors import across, elements_asked
from slalom.rules.definition import Rule

Asked = list[tuple[Symbol, Tensor]]
Turn = Generator[Asked, list[Tensor], None]
"""The update of one slot: at each crossing it tells its numbers, and is sent what they became."""


@torch.no_grad()
def update_by_rows(works: Sequence[Work]) -> None:
    """See :meth:`slalom.backends.base.Backend.run_rows`: every program, and of each what serves."""
    turns: dict[Rule, list[tuple[int, Turn]]] = {}
    for work in works:
        for slot, row in zip(work.slots, work.rows, strict=True):
            assert slot.param.grad is not None
            own = {"param": slot.param, "grad": slot.param.grad, **slot.state}
            turn = serve(work.programs, own, row, work.chance, slot.spread)
            turns.setdefault(work.programs[0].rule, []).append((slot.group, turn))
    for own in turns.values():
        finish(own)


def finish(turns: Iterable[tuple[int, Turn]]) -> None:
    """Go through updates of one rule to their ends; of each its group."""
    met = [(group, turn, asked) for group, turn in turns if (asked := next(turn, None)) is not None]
    while met:
        met = list(_meet(met))


def _meet(met: Sequence[tuple[int, Turn, Asked]]) -> Iterator[tuple[int, Turn, Asked]]:
    """Bring slots to their next crossing, or to their end.

    Each lets go of what it computed before one, so that a single one is at work at a time.
    """
    told: list[dict[Any, Tensor]] = []
    for asked in zip(*(own for *_, own in met), strict=True):
        numbers: dict[Any, list[Tensor]] = {}
        for (group, *_), (node, number) in zip(met, asked, strict=True):
            numbers.setdefault(group if node.args[2] == "group" else None, []).append(number)
        kind = asked[0][0].args[1]
        told.append({company: across(kind, own) for company, own in numbers.items()})
    for group, turn, asked in met:
        answers = [
            of[group if node.args[2] == "group" else None].to(number.device)
            for of, (node, number) in zip(told, asked, strict=True)
        ]
        with suppress(StopIteration):
            yield group, turn, turn.send(answers)


def serve(
    programs: Sequence[Program], own: Mapping[str, Tensor], row: Tensor, chance: bool = False,
    spread: Spread | None = None,
) -> Turn:  # fmt: skip
    """Update the tensors of one slot, by name, by the program that its row names.

    ``spread`` is how the tensor is distributed of which these are parts, if they are.
    """
    narrow = is_narrow(own)
    given = Opened(own).tensors if narrow else own
    real = {n: torch.view_as_real(t) if t.is_complex() else t for n, t in given.items()}
    large = [t.dtype for n, t in real.items() if n not in programs[0].rule.shapes]
    widest = reduce(torch.promote_types, large, torch.float32)
    wide = {n: t.to(widest) for n, t in real.items()}
    which, noise, *scalars = row.unbind()
    scalars = [s.to(widest) for s in scalars]
    noise = noise.to(torch.int64) if chance else None
    if spread is not None:  # complex numbers are pairs
        pair = wide["param"].shape[given["param"].dim() :]
        spread = replace(spread, shape=torch.Size([*spread.shape, *pair]))
    turns = [elements_asked(p, wide, scalars[: len(p.scalars)], spread) for p in programs]
    told: Any = None
    for crossing in programs[0].crossings:
        asked = [[_whole(v) for v in turn.send(told)] for turn in turns]
        chosen = asked[0]
        for k, other in enumerate(asked):
            pairs = zip(other, chosen, strict=True)
            chosen = [torch.where(which == k, a, b) for a, b in pairs]
        answers = yield list(zip(crossing.nodes, chosen, strict=True))
        told = [a.to(widest) for a in answers]
    stored = {n: torch.view_as_real(t) if t.is_complex() else t for n, t in own.items()}
    results: dict[str, Tensor] = {}
    for k, (program, turn) in enumerate(zip(programs, turns, strict=True)):
        try:
            turn.send(told)
        except StopIteration as end:
            found: dict[str, Tensor] = end.value
        else:
            raise AssertionError(f"{program.rule.name} asks more than its crossings say")
        for name, value in _stored(program, own if narrow else stored, found, noise).items():
            now = results.get(name, stored[name])
            results[name] = torch.where(which == k, value, now)
    for name, value in results.items():
        if hasattr(stored[name], "full_tensor"):
            stored[name].copy_(value)
        else:
            torch._foreach_copy_([stored[name]], [value])  # pyright: ignore[reportPrivateImportUsage]


def _stored(
    program: Program, own: Mapping[str, Tensor], found: Mapping[str, Tensor], noise: Tensor | None
) -> Mapping[str, Tensor]:
    """What is kept of new values: rounded, and as codes or with a remainder where it is so kept."""
    kept, opened = dict(own), None
    if is_narrow(own):
        kept = {n: t.clone() for n, t in own.items() if n != "grad"}
        opened = Opened(kept)
    for name, value in found.items():
        now = kept[name] if opened is None else opened.tensors[name]
        if noise is not None and now.dtype == torch.bfloat16:
            value = rounded(value, noise, place_of(program.rule, name), _places(now))
        new = value.to(now.dtype)
        if opened is None or now is kept[name]:
            kept[name] = new
        else:  # it is put back in another form
            opened.tensors[name] = new
    if opened is None:
        return {n: kept[n] for n in found}
    opened.close(program.rule, program.writes, noise)
    return kept


def _places(tensor: Tensor) -> Tensor:
    """The number of each element: as it lies in memory where the tensor is dense."""
    numbers = torch.arange(tensor.numel(), device=tensor.device)
    if not is_dense(tensor):
        return numbers.view(tensor.shape)
    places = torch.empty_like(tensor, dtype=torch.int64)
    places.as_strided((tensor.numel(),), (1,)).copy_(numbers)
    return places


def _whole(value: Any) -> Tensor:
    return value.full_tensor() if hasattr(value, "full_tensor") else value
