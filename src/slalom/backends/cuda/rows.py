"""Kernels whose scalars lie on the GPU: steps that a graph can record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from slalom.backends.base import Slot
from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.kernel import AHEAD, CHUNK, kernel
from slalom.backends.cuda.launch import NAMES
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.layout import like, same_layout
from slalom.backends.llvm.elements import Arrays
from slalom.ir.program import Program


def update_by_rows(
    slots: Sequence[Slot], programs: Sequence[Program], rows: Tensor,
    gpu_of: Callable[[torch.device], Gpu],
) -> None:  # fmt: skip
    """See :meth:`slalom.backends.base.Backend.run_rows`; one launch for each mixture of dtypes."""
    live = {n for p in programs for n in p.live_state}
    names = ["param", "grad", *(n for n in programs[0].rule.state if n in live)]
    works: dict[tuple[Gpu, Arrays], list[tuple[int, list[Tensor]]]] = {}
    for place, slot in enumerate(slots):
        grad = slot.param.grad
        assert grad is not None
        with torch.no_grad():
            grad = grad if same_layout(slot.param, grad) else like(slot.param, grad)
        own = {"param": slot.param, "grad": grad, **slot.state}
        tensors = [own[n] for n in names]
        arrays = tuple((n, NAMES[t.dtype]) for n, t in zip(names, tensors, strict=True))
        works.setdefault((gpu_of(slot.param.device), arrays), []).append((place, tensors))
    for (gpu, arrays), members in works.items():
        _launch(gpu, arrays, members, tuple(programs), rows)
    increment_version([s.param for s in slots])
    increment_version([t for s in slots for t in s.state.values()])


def _launch(
    gpu: Gpu, arrays: Arrays, members: Sequence[tuple[int, list[Tensor]]],
    programs: tuple[Program, ...], rows: Tensor,
) -> None:  # fmt: skip
    numels = [t[0].numel() * (2 if t[0].is_complex() else 1) for _, t in members]
    chunks = [
        np.int64(i << 32) + np.arange(-(-n // CHUNK), dtype=np.int64) for i, n in enumerate(numels)
    ]
    blocks = np.concatenate(chunks)
    if not blocks.size:
        return
    lie = [
        [n, place, *(x.data_ptr() for x in tensors)]
        for n, (place, tensors) in zip(numels, members, strict=True)
    ]
    segments = np.array(lie, np.uint64).view(np.int64)
    assert segments.shape[1] == AHEAD + len(arrays)
    content = np.concatenate([segments.ravel(), blocks]).tobytes()  # one copy for both
    memory = gpu.empty(len(content))
    address, text = memory.data_ptr(), _text(programs, arrays, gpu.target)
    function, stream, key = gpu.function(text), gpu.stream(), (text, id(members[0][1][0]))
    with gpu.driver.current():
        if gpu.capturing():
            gpu.upload_recorded(key, address, content, stream)
        else:
            gpu.upload(address, content, stream)
            gpu.reserve(key, len(content))
        given = [address, address + segments.nbytes, rows.data_ptr()]
        gpu.driver.launch(function, blocks.size, THREADS, given, stream)


@cache
def _text(programs: tuple[Program, ...], arrays: Arrays, target: Target) -> str:
    return kernel(programs, arrays, target, chosen=True)
