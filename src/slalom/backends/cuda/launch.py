"""The tensors of a step as kernels see them: tables on the GPU, and one launch for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from slalom.backends.base import BEFORE, Counts, Look, Rows, Slot
from slalom.backends.cuda.driver import CudaError
from slalom.backends.cuda.gpu import Gpu, Mirror
from slalom.backends.cuda.kernel import AHEAD, CHUNK, kernel, width
from slalom.backends.cuda.proof import proven
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.general import GeneralLaunch, elements
from slalom.backends.layout import like, same_layout
from slalom.backends.llvm.elements import NAMES, Arrays
from slalom.backends.llvm.observers import observed
from slalom.backends.row import Row
from slalom.ir.program import Program

_address = attrgetter("data_ptr")


class CudaLaunch(GeneralLaunch):
    """Slots that kernels serve, on one GPU or several; ``gpu_of`` finds that of a device."""

    def __init__(
        self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts,
        gpu_of: Callable[[torch.device], Gpu],
    ):  # fmt: skip
        super().__init__(slots, absent, counts)
        self._gpus = [gpu_of(s.param.device) for s in slots]
        self._numels = [s.param.numel() * (2 if s.param.is_complex() else 1) for s in slots]
        self._kinds: list[dict[str, str]] = []
        for slot in slots:
            grad = slot.param if slot.param.grad is None else slot.param.grad
            tensors = {"param": slot.param, "grad": grad, **slot.state}
            self._kinds.append({n: NAMES[t.dtype] for n, t in tensors.items()})
        self._crooked: list[int] = []
        self._works: list[_Work] = []

    def gather(self) -> Look:
        if observed():
            return Look.STALE
        look = super().gather()
        if look is Look.STALE or self._now is None:
            return look
        params, grads, _ = self._now
        if look is Look.CHANGED:
            pairs = enumerate(zip(params, grads, strict=True))
            self._crooked = [
                i for i, (p, g) in pairs if g is not None and not same_layout(p, g)
            ]  # fmt: skip
        with torch.no_grad():
            for i in self._crooked:
                if grads[i] is not None:
                    grads[i] = like(params[i], grads[i])
        return look

    def assign(self, rows: Rows) -> None:
        super().assign(rows)
        found: dict[tuple[Gpu, Program, Arrays, bool], list[tuple[Row, list[int]]]] = {}
        for own in self._rows:
            program = own.row.program
            assert program is not None
            names = ("param", "grad", *program.live_state)
            members: dict[Any, list[int]] = {}
            for i in own.slots:
                arrays = tuple((n, self._kinds[i][n]) for n in names)
                key = self._gpus[i], program, arrays, own.row.noise is not None
                members.setdefault(key, []).append(i)
            for key, slots in members.items():
                found.setdefault(key, []).append((own.row, slots))
        self._works = [
            _Work(*key, rows=own, numels=self._numels, lies=self._lies_of)
            for key, own in found.items()
        ]

    def square_sum(self) -> float | Tensor:
        assert self._now is not None
        sums: dict[Gpu, list[Tensor]] = {}
        for gpu, grad in zip(self._gpus, self._now[1], strict=True):
            if grad is not None and grad.numel():
                sums.setdefault(gpu, []).append(elements(grad))
        totals: list[Tensor] = []
        for grads in sums.values():
            norms = torch._foreach_norm(grads, 2, dtype=torch.float64)  # pyright: ignore[reportPrivateImportUsage]
            totals.append(torch.stack(list(norms)).square().sum())
        return sum(t.to(totals[0].device) for t in totals) if totals else 0.0

    def run(self, late: Mapping[str, Any]) -> None:
        assert self._now is not None
        started, lie = False, [0 if g is None else g.data_ptr() for g in self._now[1]]
        try:
            for work in self._works:
                work.run(lie)
                started = True
        except CudaError as error:
            whole = "some parameters were updated and others not: load the last checkpoint"
            raise CudaError(f"{error}; {whole if started else 'nothing was updated'}") from error
        params, _, states = self._now
        increment_version([params[i] for w in self._works for i in w.slots])
        increment_version(states)
        for own in self._rows:
            self._count(own)

    def _lies_of(self, name: str, i: int) -> int:
        """Where a slot's parameter or state lies; the launch is stale when one moves."""
        place = i if name == "param" else len(self.places) + self._state_at[i][name]
        return self._lies[place] or 0


class _Work:
    """What one kernel updates: tensors of one GPU whose elements go through the same program."""

    def __init__(
        self, gpu: Gpu, program: Program, arrays: Arrays, stochastic: bool,
        rows: Sequence[tuple[Row, list[int]]], numels: Sequence[int],
        lies: Callable[[str, int], int],
    ):  # fmt: skip
        self._gpu, self._rows, self._scalars = gpu, [row for row, _ in rows], len(program.scalars)
        self.slots = [i for _, slots in rows for i in slots]
        text = _text(program, arrays, gpu.target, stochastic)
        self._function = proven(gpu, text, [program], arrays)
        counts = [numels[i] for i in self.slots]
        chunks = [
            np.int64(place << 32) + np.arange(-(-count // CHUNK), dtype=np.int64)
            for place, count in enumerate(counts)
        ]
        self._blocks = Mirror(gpu, np.concatenate(chunks), fixed=True)
        self._segments = Mirror(gpu, np.zeros((len(counts), AHEAD + len(arrays)), np.int64))
        self._segments.host[:, 0] = counts
        self._segments.host[:, 1] = [k for k, (_, slots) in enumerate(rows) for _ in slots]
        for column, (name, _) in enumerate(arrays, AHEAD):
            if name != "grad":
                own = np.array([lies(name, i) for i in self.slots], np.uint64)
                self._segments.host[:, column] = own.view(np.int64)
        self._table = Mirror(gpu, np.zeros((len(rows), width([program]))))

    def run(self, grads: Sequence[int]) -> None:
        """Bring the tables up to date and start the kernel, on the current stream.

        ``grads`` are the addresses of the gradients of all slots.
        """
        own = np.array([grads[i] for i in self.slots], np.uint64)
        self._segments.host[:, AHEAD + 1] = own.view(np.int64)  # the gradient stands second
        late: list[tuple[int, Tensor]] = []
        for k, row in enumerate(self._rows):
            own = self._table.host[k]
            own[1] = row.noise or 0
            for i, value in enumerate(row.values[: self._scalars], BEFORE):
                if isinstance(value, Tensor):
                    late.append((k * len(own) + i, value))
                    own[i] = math.nan  # or a number after it might be what was sent before it
                else:
                    own[i] = value
        blocks = self._blocks.host.size
        if not blocks:
            return
        gpu, tables = self._gpu, (self._segments, self._blocks, self._table)
        stream = gpu.stream()
        with gpu.driver.current():
            for table in tables:
                table.send(stream)
        for place, value in late:
            self._table.put(place, value)
        with gpu.driver.current():
            given = [table.address for table in tables]
            gpu.driver.launch(self._function, blocks, THREADS, given, stream)


@lru_cache(256)
def _text(program: Program, arrays: Arrays, target: Target, stochastic: bool) -> str:
    return kernel([program], arrays, target, stochastic=stochastic)
