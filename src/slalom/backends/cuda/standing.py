"""Steps whose counts, rates and branches stay on the GPU, made again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from slalom.backends.base import Counts, Look
from slalom.backends.cuda.driver import CudaError
from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.launch import Gathering, kinds_of
from slalom.backends.cuda.members import real_shape
from slalom.backends.cuda.proof import known
from slalom.backends.cuda.tables import COUNT, Shown, Tables, Values
from slalom.backends.cuda.tried import differing_rows
from slalom.backends.refusals import Unavailable
from slalom.backends.standing import Global, Standing, Team

TYPES = {torch.float32: "float", torch.float64: "double"}
"""What counts and numbers of a step may be kept in."""


class CudaStanding(Gathering, Standing):
    """Teams on one GPU."""

    def __init__(self, teams: Sequence[Team], absent: Sequence[Tensor], gpu: Gpu):
        watched, self._gpu = [], gpu
        self._shown: list[Shown] = []
        for number, team in enumerate(teams):
            shares = [None] * len(team.slots) if team.shares is None else team.shares
            of_slots = zip(team.slots, shares, team.counts, *team.numbers, strict=True)
            for slot, share, *kept in of_slots:
                beside = {f"{COUNT}{k}": t for k, t in enumerate(kept)}
                own = {"state": {**slot.state, **beside}, "small": {*slot.small, *beside}}
                watched.append(replace(slot, place=len(watched), **own))
                types = tuple(TYPES[t.dtype] for t in kept)
                shape, kinds = real_shape(slot.param), kinds_of(slot)
                names = tuple(team.inputs)
                self._shown.append(Shown(number, team.programs, names, types, share, shape, kinds))
        super().__init__(watched, absent, Counts(watched))
        self._present: list[int] = []
        self._tables: tuple[Any, Tables] | None = None

    def look(self) -> bool:
        found = self.gather()
        if found is Look.STALE or self._now is None:
            return False
        if found is Look.CHANGED:
            self._present = [i for i, g in enumerate(self._now[1]) if g is not None]
            self._tables = None
        return True

    def prepare(self, values: Values, told: Global) -> None:
        assert self._now is not None
        forms = tuple(tuple(map(_form, own)) for own in values)
        found, divides = (None if t is None else _form(t) for t in (told.found, told.divides))
        key = forms, found, divides, told.clip_norm is not None, told.skips
        if self._tables is None or self._tables[0] != key:
            tables = Tables(self._gpu, self._shown, self._present, self._lies_of, *key)
            grads = self._now[1]
            known(self._gpu, tables.texts, lambda: self._wrong(key, values, told, grads))
            self._tables = key, tables

    def update(self, values: Values, told: Global) -> None:
        assert self._now is not None
        params, grads, states = self._now
        if not self._present:
            return
        self.prepare(values, told)
        assert self._tables is not None
        lie = [0 if g is None else g.data_ptr() for g in grads]
        try:
            self._tables[1].update(values, told, lie)
        except CudaError as error:
            raise CudaError(
                f"{error}; of this step some parameters may have been updated and others not: load "
                "the last checkpoint"
            ) from error
        increment_version([params[i] for i in self._present])
        increment_version(states)

    def run(self, late: Any) -> None:
        raise AssertionError("scalars are given by update()")

    def _wrong(self, key: Any, values: Values, told: Global, grads: Sequence[Any]) -> str | None:
        """Why the rows that the GPU makes are not to be used; None where they are."""

        def make(lies: Callable[[str, int], int]) -> Tables:
            return Tables(self._gpu, self._shown, self._present, lies, *key)

        of = self._lies_of, values, told, grads
        return differing_rows(self._gpu, self._shown, make, *of)


def _form(value: float | Tensor) -> str:
    """The kind of an input, as :class:`Asked` has it. Raises :class:`Unavailable`."""
    if not isinstance(value, Tensor):
        return "value"
    if value.dtype not in TYPES:
        raise Unavailable(f"a number of the step is a tensor of {value.dtype}")
    return TYPES[value.dtype]
