"""Rows that a GPU makes are compared with those by torch's operations before they serve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends.base import BEFORE
from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.proof import DTYPES
from slalom.backends.cuda.tables import Family, KeptAt, Shown, Tables, Values
from slalom.backends.general import square_sum
from slalom.backends.rounding import noises_from
from slalom.backends.standing import Global
from slalom.ir.tensors import rows_of
from slalom.rules.treated import SCALE

COUNTS = (0.0, 1.0, 2.0, 5.0, 41.0, 1000.0)
"""How often tensors were updated, in turn."""

NEAR = 1e-7
"""What numbers may differ by, relatively. Two ways of rounding differ by some 1e-15, which rules
make more of that subtract what is next to equal."""

DIFFERENT = (
    "the scalars of its kernels were tried on this GPU and are other than torch's operations make "
    "them; please report this"
)


def differing_rows(
    gpu: Gpu, shown: Sequence[Shown], make: Callable[[KeptAt], Tables], values: Values,
    told: Global, addresses: np.ndarray, grads: Sequence[Tensor | None],
) -> str | None:  # fmt: skip
    """Why rows that the GPU makes are not to be used; None where they are.

    ``make`` makes tables by where counts and numbers lie, which are drawn here; all else is that of
    the step.
    """
    draws = torch.Generator("cpu").manual_seed(0)
    drawn: list[list[Tensor]] = []
    for i, own in enumerate(shown):
        numbers = torch.rand(len(own.types), generator=draws, device="cpu").double() * 0.8 + 0.1
        numbers[0] = COUNTS[i % len(COUNTS)]
        drawn.append([
            n.to(DTYPES[kind]).to(gpu.device) for n, kind in zip(numbers, own.types, strict=True)
        ])  # fmt: skip

    def instead(number: int, members: Sequence[int]) -> np.ndarray:
        return np.array([drawn[i][number].data_ptr() for i in members], np.uint64).view(np.int64)

    tables = make(instead)
    present = [g for g in grads if g is not None and g.numel()]
    square = torch.as_tensor(square_sum(present), dtype=torch.float64, device="cpu")
    for skipped in (False, True) if told.found is not None else (False,):
        if told.found is not None:
            told = replace(told, found=torch.full_like(told.found, float(skipped)))
        before = [[t.cpu().double() for t in own] for own in drawn]
        at = tables.make_rows(values, told, addresses, gpu.stream())
        gpu.wait()
        after = [[t.cpu().double() for t in own] for own in drawn]
        scale, skip = _treated(told, square)
        for family in tables.families:
            found = tables.read_rows(family, at).cpu()
            if not _agree(family, shown, found, before, after, values, scale, skip):
                return DIFFERENT
    return None


def _treated(told: Global, square: Tensor) -> tuple[Tensor | None, Tensor]:
    """What gradients are multiplied by, and whether the step is skipped."""
    scale, skip = None, torch.tensor(False, device="cpu")
    if told.divides is not None:
        scale = 1.0 / told.divides.cpu().double().reshape(())
    if told.clip_norm is not None:
        scale = torch.ones((), dtype=torch.float64, device="cpu") if scale is None else scale
        scale = scale * (told.clip_norm / (square.sqrt() * scale.abs() + 1e-6)).clamp(max=1.0)
    if told.skips:
        skip = skip | ~square.isfinite()
    if told.found is not None:
        skip = skip | (told.found.cpu().reshape(()) > 0)
    return scale, skip


def _agree(
    family: Family, shown: Sequence[Shown], found: Tensor, before: Sequence[Sequence[Tensor]],
    after: Sequence[Sequence[Tensor]], values: Values, scale: Tensor | None, skip: Tensor,
) -> bool:  # fmt: skip
    """Whether the rows of a family are as they should be, and counts and numbers behind them."""
    programs = family.asked.programs
    for team in family.teams:
        rows = [row for row, i in enumerate(family.slots) if shown[i].team == team]
        slots = [family.slots[row] for row in rows]
        counts, *numbers = (
            torch.stack(own) for own in zip(*(before[i] for i in slots), strict=True)
        )
        inputs: dict[str, Any] = {
            name: v.cpu().double().reshape(()) if isinstance(v, Tensor) else v
            for (name, _), v in zip(family.asked.inputs, values[team], strict=True)
        }
        inputs |= {"step": counts + 1, **dict(zip(programs[0].rule.numbers, numbers, strict=True))}
        inputs |= {} if scale is None else {SCALE: scale}
        which, columns, numbers = rows_of(programs, inputs, counts, numbers, skip)
        noise = torch.zeros_like(counts)
        if family.asked.chance:
            shares = torch.tensor([shown[i].share for i in slots], device="cpu")
            noise = noises_from(shares, counts).double()
        expected = torch.stack([which, noise, *columns], 1)
        own = found[rows]
        if not torch.equal(own[:, :BEFORE], expected[:, :BEFORE]):
            return False
        counted = counts + (1.0 - skip.double())
        now = zip(
            zip(*(after[i] for i in slots), strict=True), [counted, *numbers],
            family.asked.kinds, strict=True,
        )  # fmt: skip
        pairs = [(own, expected, NEAR)]
        pairs += [
            (torch.stack(a), b.to(DTYPES[kind]).double(), 1e-6 if kind == "float" else NEAR)
            for a, b, kind in now
        ]
        if not all(torch.allclose(a, b, near, 0.0, equal_nan=True) for a, b, near in pairs):
            return False
    return True
