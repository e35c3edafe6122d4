"""The tables of a step whose scalars the GPU makes itself, and its launches: mostly two.

The first makes the rows (:mod:`slalom.backends.cuda.scalars`), and measures the gradients where
their norm is asked for (:mod:`slalom.backends.cuda.norm`); the second updates. What is sent once
lies apart from what may change from step to step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends.cuda.codes import scales_of
from slalom.backends.cuda.gpu import Gpu, Mirror
from slalom.backends.cuda.kernel import AHEAD, width
from slalom.backends.cuda.meeting import Meeting, in_turns
from slalom.backends.cuda.members import Kernels, Table, forms, met
from slalom.backends.cuda.norm import norm_kernel
from slalom.backends.cuda.proof import proven
from slalom.backends.cuda.scalars import WORDS, Asked, Head, rows_kernel
from slalom.backends.cuda.target import THREADS, Target
from slalom.backends.cuda.work import Places
from slalom.backends.llvm.memory import Arrays
from slalom.backends.narrow import owner
from slalom.backends.standing import Global
from slalom.ir.program import Program

COUNT = "@count"
"""How counts are called among what is looked at of a slot, with a 0 behind it; numbers go on."""

KeptAt = Callable[[int, Sequence[int]], np.ndarray]
"""Where the count (0) or a number (1, ...) of some slots lies: int64."""

Values = Sequence[Sequence[float | Tensor]]
"""Of each team the values of its inputs."""


@dataclass(frozen=True)
class Shown:
    """What tables show of a slot: the number of its team, and what that says of it.

    Attributes:
        types: of the count and the numbers of the rule.
        share: from which its random bits come; None where nothing is rounded by chance.
    """

    team: int
    programs: tuple[Program, ...]
    inputs: tuple[str, ...]
    types: tuple[str, ...]
    share: int | None
    shape: torch.Size


class _Words:
    """Tables of int64, one behind the other."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self.size = 0

    def add(self, part: np.ndarray) -> int:
        """Put a table behind the others; how many bytes lie before it."""
        begin = self.size
        self._parts.append(part)
        self.size += part.nbytes
        return begin

    def joined(self) -> np.ndarray:
        return np.concatenate([part.ravel() for part in self._parts])


@dataclass
class Family:
    """Slots whose rows one kernel makes.

    Attributes:
        teams: the numbers of theirs, each of which has a row of inputs.
        slots: their places.
        words, head, rows: where their words, their inputs and their rows begin.
    """

    asked: Asked
    teams: Sequence[int]
    slots: Sequence[int]
    words: int
    head: int
    rows: int


@dataclass
class _Work:
    """Slots of a family that kernels update together: those of one mixture of types."""

    family: Family
    arrays: Arrays
    kernels: Kernels
    functions: Sequence[int]
    table: Table
    slots: Sequence[int]
    places: np.ndarray
    fixed: int
    moving: int
    scratch: int


class _Company:
    """Works whose tensors are asked together, or one; ``fixed`` gets the table of their crossings.

    Attributes:
        starts: of each crossing how many blocks it takes, and where its words begin.
    """

    def __init__(self, works: Sequence[_Work], fixed: _Words, shown: Sequence[Shown]):
        self.works, self.starts = works, []
        if works[0].kernels.crossings:
            meeting = Meeting([
                work.table.asked(work.fixed, work.slots, [shown[i].team for i in work.slots])
                for work in works
            ])  # fmt: skip
            begin = fixed.add(meeting.words)
            self.starts = [(blocks, begin + 8 * first) for blocks, first in meeting.starts]


class Tables:
    """What kernels read, and keep for one another.

    Args:
        shown: of every slot.
        kinds: of every slot's tensors, by name, LLVM's name of the type.
        present: the places of those that have a gradient.
        places_of: where addresses stand in what :meth:`update` is given.
        kept_at: where the counts (0) and numbers of slots lie, which never move.
        forms: of each team the kinds of its inputs.
        found, divides, clips, skips: see :class:`Asked`.

    Attributes:
        families: the slots, by what their rows are made of.
        texts: the kernels that make rows.
    """

    def __init__(
        self, gpu: Gpu, shown: Sequence[Shown], kinds: Sequence[Mapping[str, str]],
        present: Sequence[int],
        places_of: Places, kept_at: KeptAt,
        forms: Sequence[Sequence[str]], found: str | None,
        divides: str | None, clips: bool, skips: bool,
    ):  # fmt: skip
        self._gpu, self._shown, self._kinds = gpu, shown, kinds
        self._places_of, self._kept_at = places_of, kept_at
        fixed, moving, self._scratch = _Words(), _Words(), 0
        fixed.add(np.zeros(2, np.int64))  # a counter, and the place of the sum of all squares
        of: dict[Asked, list[int]] = {}
        for i in present:
            own = shown[i]
            inputs = tuple(zip(own.inputs, forms[own.team], strict=True))
            chance = own.share is not None
            asked = Asked(own.programs, inputs, own.types, chance, found, divides, clips, skips)
            of.setdefault(asked, []).append(i)
        self.families, self._works = [], []
        for asked, slots in of.items():
            self._begin(asked, slots, fixed, moving)
        self._works = [work for work in self._works if work.table.blocks]
        together: dict[Any, list[_Work]] = {}
        for work in self._works:
            company = work.family.asked.programs[0].rule if work.kernels.crossings else id(work)
            together.setdefault(company, []).append(work)
        self._companies = [_Company(own, fixed, self._shown) for own in together.values()]
        self._parts = sum(work.table.blocks for work in self._works)
        self._partials, self._scratch = self._scratch, self._scratch + 8 * self._parts
        self._fixed = Mirror(gpu, fixed.joined(), fixed=True, beside=self._scratch)
        self._moving = Mirror(gpu, moving.joined())
        self._norms, target = [], gpu.target
        if (clips or skips) and self._works:
            last = self._works[-1]
            for work in self._works:
                rows_of = self.families[0].asked if work is last else None
                self._norms.append(_norm_text(work.arrays, work.family.asked, rows_of, target))
        self._alone = self.families[bool(self._norms) :]  # which the norm's launch makes no rows of
        self._rows = [_rows_text(family.asked, target) for family in self._alone]
        self.texts = [*self._norms, *self._rows]

    def _begin(
        self, asked: Asked, slots: Sequence[int], fixed: _Words, moving: _Words
    ) -> None:  # fmt: skip
        """Lay out a family."""
        shown = self._shown
        teams = list(dict.fromkeys(shown[i].team for i in slots))
        words = np.zeros((len(slots), asked.words), np.int64)
        words[:, 0] = [shown[i].share or 0 for i in slots]
        words[:, 1] = [teams.index(shown[i].team) for i in slots]
        for k in range(len(asked.kinds)):
            words[:, 2 + k] = self._kept_at(k, slots)
        head = np.zeros(WORDS + len(teams) * len(asked.inputs), np.int64)
        begins = fixed.add(words), moving.add(head), self._scratch
        family = Family(asked, teams, slots, *begins)
        self.families.append(family)
        self._scratch += 8 * len(slots) * width(asked.programs)
        alike: dict[Any, list[int]] = {}
        live = {"param", "grad", *(n for p in asked.programs for n in p.live_state)}
        for row, i in enumerate(slots):
            kinds = self._kinds[i].items()
            arrays = tuple((n, k) for n, k in kinds if n in live or owner(n, live) in live)
            programs = forms(asked.programs, shown[i].shape)
            alike.setdefault((programs, arrays), []).append(row)
        for (programs, arrays), rows in alike.items():
            own = [slots[row] for row in rows]
            kernels = _kernels(programs, arrays, self._gpu.target, asked.chance)
            functions = proven(self._gpu, kernels, programs, arrays)
            table = Table(kernels, arrays, [shown[i].shape for i in own], rows)
            names = [name for name, _ in arrays]
            begins = fixed.add(table.fixed), moving.add(table.segments), self._scratch
            places = self._places_of(names, own)
            self._works.append(
                _Work(family, arrays, kernels, functions, table, own, places, *begins)
            )
            self._scratch += table.scratch

    def update(self, values: Values, told: Global, addresses: np.ndarray) -> None:
        """Make the rows and update, on the current stream.

        ``addresses`` (int64) are those of all arrays of all slots, as they lie now.
        """
        stream = self._gpu.stream()
        at = self.make_rows(values, told, addresses, stream)
        driver = self._gpu.driver

        def start(turn: int) -> None:
            for work, launches in zip(company.works, of_works, strict=True):
                for function, (own, blocks, given) in zip(work.functions, launches, strict=True):
                    if own == turn:
                        driver.launch(function, blocks, THREADS, given, stream)

        def meet(i: int) -> None:
            blocks, begin = company.starts[i]
            driver.launch(met(self._gpu), blocks, THREADS, [at.fixed + begin, at.fixed], stream)

        with driver.current():
            for company in self._companies:
                of_works = [
                    work.table.launches(
                        at.fixed + work.fixed, at.moving + work.moving, at.scratch + work.scratch,
                        at.scratch + work.family.rows,
                    )
                    for work in company.works
                ]  # fmt: skip
                in_turns(len(company.starts), start, meet)

    def make_rows(
        self, values: Values, told: Global, addresses: np.ndarray, stream: int
    ) -> _Place:  # fmt: skip
        """The first launches, and where the tables lie."""
        gpu = self._gpu
        self._fill(values, told, addresses)
        loaded = [gpu.function(text) for text in self.texts]
        at = self._send(stream)
        square, begin = at.fixed + 8, 0
        with gpu.driver.current():
            for function, work in zip(loaded, self._works if self._norms else (), strict=False):
                family, partials = self.families[0], at.scratch + self._partials
                given = [
                    at.moving + work.moving, at.fixed + work.fixed, at.scratch + family.rows,
                    partials + 8 * begin, partials, at.fixed, at.fixed + family.words,
                    at.moving + family.head,
                ]  # fmt: skip
                gpu.driver.launch(function, work.table.blocks, THREADS, given, stream)
                begin += work.table.blocks
            for function, family in zip(loaded[len(self._norms) :], self._alone, strict=True):
                given = [
                    at.fixed + family.words, at.moving + family.head, at.scratch + family.rows,
                    square,
                ]  # fmt: skip
                blocks = -(-len(family.slots) // THREADS)
                gpu.driver.launch(function, blocks, THREADS, given, stream)
        return at

    def _fill(self, values: Values, told: Global, addresses: np.ndarray) -> None:
        """Put down inputs and addresses."""
        host = self._moving.host
        doubles = host.view(np.float64)
        for family in self.families:
            begin = family.head // 8
            host[begin + Head.SLOTS] = len(family.slots)
            for place, tensor in ((Head.FOUND, told.found), (Head.DIVIDES, told.divides)):
                host[begin + place] = 0 if tensor is None else tensor.data_ptr()
            doubles[begin + Head.BOUND] = told.clip_norm or 0.0
            host[begin + Head.BLOCKS] = self._works[-1].table.blocks if self._works else 0
            host[begin + Head.PARTS] = self._parts
            at = begin + WORDS
            for team in family.teams:
                for value in values[team]:
                    if isinstance(value, Tensor):
                        host[at] = value.data_ptr()
                    else:
                        doubles[at] = value
                    at += 1
        for work in self._works:
            begin, many = work.moving // 8, AHEAD + len(work.arrays)
            own = host[begin : begin + work.table.segments.size].reshape(-1, many)
            own[:, AHEAD:] = addresses[work.places]

    def _send(self, stream: int) -> _Place:
        """Bring the tables to the GPU; in a graph, to memory of its own in each replay."""
        gpu = self._gpu
        if not gpu.capturing():
            with gpu.driver.current():
                self._fixed.send(stream)
                self._moving.send(stream)
            return _Place(self._fixed.address, self._moving.address, self._fixed.end, ())
        content = self._fixed.host.tobytes() + self._moving.host.tobytes()
        memory, scratch = gpu.empty(len(content)), gpu.empty(self._scratch)
        address = memory.data_ptr()
        with gpu.driver.current():
            gpu.upload_recorded(address, content, stream)
        moving = address + self._fixed.host.nbytes
        return _Place(address, moving, scratch.data_ptr(), (memory, scratch))

    def read_rows(self, family: Family, at: _Place) -> Tensor:
        """The rows of a family, float64 of shape (slots, words), once they were made."""
        assert at.scratch == self._fixed.end
        wide = width(family.asked.programs)
        found = self._fixed.beside().view(torch.float64)[family.rows // 8 :]
        return found[: len(family.slots) * wide].view(-1, wide)


@dataclass
class _Place:
    """Where the tables lie on the GPU, and what keeps them there until all is started."""

    fixed: int
    moving: int
    scratch: int
    kept: Any


@lru_cache(256)
def _kernels(
    programs: tuple[Program, ...], arrays: Arrays, target: Target, chance: bool
) -> Kernels:  # fmt: skip
    return Kernels.of(programs, arrays, target, chance)


@lru_cache(256)
def _norm_text(arrays: Arrays, of: Asked, rows_of: Asked | None, target: Target) -> str:
    small = {*of.programs[0].rule.shapes, *scales_of(arrays)}
    return norm_kernel(arrays, small, width(of.programs), rows_of, target)


@lru_cache(256)
def _rows_text(asked: Asked, target: Target) -> str:
    return rows_kernel(asked, target)
