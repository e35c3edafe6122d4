"""Updates by scalars that lie on a device, with torch's operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor

from slalom.backends.base import BEFORE, Slot
from slalom.ir.program import Program
from slalom.ir.tensors import elements


@torch.no_grad()
def update_by_rows(slots: Sequence[Slot], programs: Sequence[Program], rows: Tensor) -> None:
    """See :meth:`slalom.backends.base.Backend.run_rows`: every program, and of each what serves."""
    for slot, row in zip(slots, rows, strict=True):
        grad = slot.param.grad
        assert grad is not None
        serve(programs, {"param": slot.param, "grad": grad, **slot.state}, row)


def serve(programs: Sequence[Program], own: Mapping[str, Tensor], row: Tensor) -> None:
    """Update the tensors of one slot, by name, by the program that its row names."""
    real = {n: torch.view_as_real(t) if t.is_complex() else t for n, t in own.items()}
    large = [t.dtype for n, t in real.items() if n not in programs[0].rule.shapes]
    widest = reduce(torch.promote_types, large, torch.float32)
    wide = {n: t.to(widest) for n, t in real.items()}
    which, scalars = row.unbind()[0], row.to(widest).unbind()[BEFORE:]
    results = dict(real)
    for k, program in enumerate(programs):
        found = elements(program, wide, scalars[: len(program.scalars)])
        for name, value in found.items():
            now = results[name]
            results[name] = torch.where(which == k, value.to(now.dtype), now)
    names = dict.fromkeys(n for p in programs for n in (*p.writes, *p.small))
    old, new = [real[n] for n in names], [results[n] for n in names]
    if old:
        torch._foreach_copy_(old, new)  # pyright: ignore[reportPrivateImportUsage]
