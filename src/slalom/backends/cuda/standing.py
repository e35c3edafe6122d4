"""Steps whose counts, rates and branches stay on the GPU, made again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends.base import Counts, Look
from slalom.backends.cuda.driver import CudaError
from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.launch import Gathering
from slalom.backends.cuda.members import real_shape
from slalom.backends.cuda.proof import known
from slalom.backends.cuda.tables import COUNT, KeptAt, Shown, Tables, Values
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
                names, shape = tuple(team.inputs), real_shape(slot.param)
                self._shown.append(Shown(number, team.programs, names, types, share, shape))
        super().__init__(watched, absent, Counts(watched))
        self._tables: tuple[Any, Tables] | None = None

    def look(self) -> bool:
        found = self.gather()
        if found is Look.CHANGED:
            self._tables = None
        return found is not Look.STALE

    def prepare(self, values: Values, told: Global) -> None:
        forms = tuple(tuple(map(_form, own)) for own in values)
        found, divides = (None if t is None else _form(t) for t in (told.found, told.divides))
        key = forms, found, divides, told.clip_norm is not None, told.skips
        if self._tables is None or self._tables[0] != key:
            tables = self._made(key, self._kept_at)
            known(self._gpu, tables.texts, lambda: self._wrong(key, values, told))
            self._tables = key, tables

    def update(self, values: Values, told: Global) -> None:
        if not self.counts.present.any():
            return
        self.prepare(values, told)
        assert self._tables is not None
        kept = self._keep_gradients()  # another thread may drop them meanwhile
        try:
            self._tables[1].update(values, told, self._addresses)
        except CudaError as error:
            raise CudaError(
                f"{error}; of this step some parameters may have been updated and others not: load "
                "the last checkpoint"
            ) from error
        del kept
        self._updated()

    def _made(self, key: Any, kept_at: KeptAt) -> Tables:
        present = self._present().tolist()
        return Tables(
            self._gpu, self._shown, self._kinds, present, self._places_of, kept_at, *key
        )  # fmt: skip

    def _kept_at(self, number: int, members: Sequence[int]) -> np.ndarray:
        return self._addresses[self._places_of([f"{COUNT}{number}"], members)[:, 0]]

    def _wrong(self, key: Any, values: Values, told: Global) -> str | None:
        """Why the rows that the GPU makes are not to be used; None where they are."""
        of = values, told, self._addresses, self._keep_gradients()
        return differing_rows(self._gpu, self._shown, partial(self._made, key), *of)


def _form(value: float | Tensor) -> str:
    """The kind of an input, as :class:`Asked` has it. Raises :class:`Unavailable`."""
    if not isinstance(value, Tensor):
        return "value"
    if value.dtype not in TYPES:
        raise Unavailable(f"a number of the step is a tensor of {value.dtype}")
    return TYPES[value.dtype]
