"""Kernels whose scalars lie on the GPU: steps that a graph can record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from slalom.backends.base import Slot, Work
from slalom.backends.cuda.driver import CudaError
from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.meeting import refuse_apart
from slalom.backends.cuda.members import Kernels, Prepared, forms, prepared_together, real_shape
from slalom.backends.cuda.proof import proven
from slalom.backends.cuda.target import Target
from slalom.backends.layout import like, same_layout
from slalom.backends.llvm.memory import KEPT, Arrays
from slalom.backends.narrow import owner
from slalom.ir.program import Program


def update_by_rows(works: Sequence[Work], gpu_of: Callable[[torch.device], Gpu]) -> None:
    """See :meth:`slalom.backends.base.Backend.run_rows`; one launch for all that share code."""
    alike: dict[Any, list[Work]] = {}
    for work in works:
        key = work.programs, work.chance, gpu_of(work.slots[0].param.device)
        alike.setdefault(key, []).append(work)
    ready: dict[Any, list[Prepared]] = {}  # before any starts: what is refused changes nothing
    for (programs, chance, gpu), own in alike.items():
        rows = own[0].rows if len(own) == 1 else torch.cat([work.rows for work in own])
        slots = [slot for work in own for slot in work.slots]
        for (own_programs, arrays), members in _kinds(programs, slots).items():
            kernels = _kernels(own_programs, arrays, gpu.target, chance)
            functions = proven(gpu, kernels, own_programs, arrays)
            order, groups = ([at(slots[place]) for place, _ in members] for at in (_place, _group))
            own = Prepared(gpu, kernels, functions, arrays, members, rows, order, groups)
            key = (own_programs[0].rule if kernels.crossings else own), gpu
            ready.setdefault(key, []).append(own)
    refuse_apart([(rule, gpu) for (rule, gpu), own in ready.items() if own[0].asked.crossings])
    starts = [prepared_together(gpu, own) for (_, gpu), own in ready.items()]
    try:
        for start in starts:
            start()
    except CudaError as error:
        raise CudaError(
            f"{error}; of this step some parameters may have been updated and others not: load the "
            "last checkpoint"
        ) from error
    slots = [slot for work in works for slot in work.slots]
    increment_version([s.param for s in slots])
    increment_version([t for s in slots for t in s.state.values()])


def _kinds(
    programs: Sequence[Program], slots: Sequence[Slot]
) -> dict[tuple[tuple[Program, ...], Arrays], Any]:
    """The members of each mixture of dtypes: the number of its row and the tensors of each.

    And of each form of the programs; see :func:`slalom.backends.cuda.members.forms`.
    """
    live = {n for p in programs for n in p.live_state}
    names = {"param", "grad", *live}
    found: dict[Any, list[tuple[int, list[Tensor]]]] = {}
    for place, slot in enumerate(slots):
        grad = slot.param.grad
        assert grad is not None
        with torch.no_grad():
            grad = grad if same_layout(slot.param, grad) else like(slot.param, grad)
        own = {"param": slot.param, "grad": grad, **slot.state}
        own = {n: t for n, t in own.items() if n in names or owner(n, names) in names}
        arrays = tuple((n, KEPT[t.dtype]) for n, t in own.items())
        key = forms(programs, real_shape(slot.param)), arrays
        found.setdefault(key, []).append((place, list(own.values())))
    return found


@lru_cache(256)
def _kernels(
    programs: tuple[Program, ...], arrays: Arrays, target: Target, chance: bool
) -> Kernels:  # fmt: skip
    return Kernels.of(programs, arrays, target, chance)


_place, _group = attrgetter("place"), attrgetter("group")
