"""What every launch has to do but the update itself, asked of torch's tensors from Python.

A look costs half a microsecond a tensor: torch's accessors are mapped over lists of tensors, and
whole lists are compared with those of the last step.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ctypes import c_float
from dataclasses import dataclass
from itertools import count, repeat
from operator import attrgetter, is_, itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends.alive import Alive, handles
from slalom.backends.base import Counts, Launch, Look, Rows, Slot, beside
from slalom.backends.counters import is_counter, number_in
from slalom.backends.crossings import check_crossings
from slalom.backends.layout import is_freed, meet, merged
from slalom.backends.looks import addresses, alike_to, facts, forms, ordinary, reach, spans
from slalom.backends.narrow import owner
from slalom.backends.row import Row


@dataclass
class Batch:
    """The tensors of some slots in a step, side by side.

    Attributes:
        slots: the places of the slots in their launch.
        params, grads: their parameters and gradients.
        states: name -> their states of that name, for every live state and what belongs to it.
    """

    slots: Sequence[int]
    params: list[Tensor]
    grads: list[Tensor]
    states: dict[str, list[Tensor]]


class GeneralLaunch(Launch):
    """A launch for tensors of any kind: :meth:`run` is all that is left to write.

    Args:
        slots: what to update, in order.
        absent: parameters without a gradient or a slot; the launch is stale when one gets one.
        counts: of all slots of the plan; those of this launch stand at their ``place``.
    """

    def __init__(self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts):
        self.counts = counts
        self.places = np.array([s.place for s in slots], np.intp)
        self.by_rows = [s.by_rows for s in slots]
        self.alone = [s.alone for s in slots]
        self.names = [s.name for s in slots]
        self._local = {s.place: i for i, s in enumerate(slots)}
        self._absent = handles(absent)
        self._params = handles([s.param for s in slots])
        self._states = Alive(t for s in slots for t in s.state.values())
        number = count()
        self._state_at = [{name: next(number) for name in s.state} for s in slots]
        counters = [
            (i, j, t) for i, s in enumerate(slots) for j, t in enumerate(s.kept) if t is not None
        ]
        self._counters = Alive(t for *_, t in counters)
        self._counter_at = {(i, j): k for k, (i, j, _) in enumerate(counters)}
        self._value_at = (  # in the table of counts
            np.array([slots[i].place for i, *_ in counters], np.intp),
            np.array([j for _, j, _ in counters], np.intp),
        )
        self._counter_dtypes = [t.dtype for *_, t in counters]
        self._numbers: list[Any] = []  # where the numbers of the counters lie
        self._numbers_lie: Any = None
        self._then: list[float] = []  # and what they were

        written = [*(s.param for s in slots), *self._states.keep()]
        self._facts, self._alike = facts(written), alike_to(written)
        self._lies = addresses(written)
        self._written = merged(spans(written))
        # Of each gradient what was seen of it last, and whether it lies in what is written.
        grads: list[Any] = [s.param.grad for s in slots]
        present = [i for i, g in enumerate(grads) if g is not None]
        self._forms: list[Any] = [None] * len(slots)
        self._reach = np.zeros(len(slots), np.uint64)
        for i, form in zip(present, forms([grads[i] for i in present]), strict=True):
            self._forms[i], self._reach[i] = form, reach(grads[i])
        self._grads_alike = alike_to([])
        self._gone: list[bool] = []
        self._lie: list[int | None] = []
        self._lent = np.zeros(len(slots), bool)
        self._lent[present] = self._lies_in_written(present, addresses([grads[i] for i in present]))
        self._some_lent = bool(self._lent.any())
        self._now: tuple[Sequence[Any], list[Any], list[Any]] | None = None
        self._rows: list[_Assigned] = []

    def gather(self) -> Look:
        if not (self._states.all and self._counters.all):
            return Look.STALE
        params, states = self._params[:], self._states.keep()
        written = [*params, *states]
        alike = self._alike(*written)
        if addresses(written, alike) != self._lies:
            return Look.STALE
        if not alike and facts(written) != self._facts:
            return Look.STALE
        if len(self._absent) and any(p.grad is not None for p in self._absent):
            return Look.STALE
        grads: list[Any] = list(map(_grad, params))
        looks = self._look_at_gradients(params, grads), self._look_at_counters()
        if Look.STALE in looks:
            return Look.STALE
        if self._some_lent:
            with torch.no_grad():  # what is written first must not be read as a gradient later
                grads = [
                    g.clone() if lent and g is not None else g
                    for g, lent in zip(grads, self._lent.tolist(), strict=True)
                ]
        self._now = params, grads, states
        return Look.CHANGED if Look.CHANGED in looks else Look.SAME

    def _look_at_gradients(self, params: Sequence[Any], grads: Sequence[Any]) -> Look:
        found, own, present = Look.SAME, grads, range(len(grads))
        gone = list(map(is_, grads, repeat(None)))
        if gone != self._gone:
            self.counts.present[self.places] = np.logical_not(gone)
            found, self._gone = Look.CHANGED, gone
        if whole := not any(gone):
            alike = self._grads_alike(*grads)
        else:
            present = [i for i, absent in enumerate(gone) if not absent]
            own, alike = [grads[i] for i in present], False
        if not alike:
            self._lie = []  # what is seen now counts when all of it was looked at
            for i, form in zip(present, forms(own), strict=True):
                if form == self._forms[i]:
                    continue
                known = self._forms[i]
                if form[0] != (known[0] if known else ordinary(params[i])):
                    return Look.STALE
                if grads[i].shape != params[i].shape:
                    return Look.STALE
                self._forms[i], self._reach[i] = form, reach(grads[i])
                found = Look.CHANGED
        lie = addresses(own, alike)
        if lie != self._lie:
            if 0 in lie and any(map(is_freed, own)):
                return Look.STALE
            if (self._lies_in_written(present, lie) != self._lent[present]).any():
                return Look.STALE
            if whole and not alike:
                self._grads_alike = alike_to(grads)
            self._lie = lie
        return found

    def _look_at_counters(self) -> Look:
        if not self._counter_at:
            return Look.SAME
        counters = self._counters.keep()
        lie = addresses(counters), list(map(_dtype, counters))
        if lie != self._numbers_lie:
            if lie[1] != self._counter_dtypes or not all(map(is_counter, counters)):
                return Look.STALE
            self._numbers, self._numbers_lie = list(map(number_in, counters)), lie
        now = list(map(_value, self._numbers))
        if now == self._then:
            return Look.SAME
        self.counts.values[self._value_at], self._then = now, now
        return Look.CHANGED

    def _lies_in_written(self, slots: Sequence[int], addresses: Sequence[int | None]) -> np.ndarray:
        return meet(self._written, self._runs(slots, addresses))

    def _runs(self, slots: Sequence[int], addresses: Sequence[int | None]) -> np.ndarray:
        begins = np.array([a or 0 for a in addresses], np.uint64)
        return np.column_stack([begins, begins + self._reach[slots]])

    def written(self) -> np.ndarray:
        return self._written

    def read(self) -> np.ndarray:
        present = [i for i, gone in enumerate(self._gone) if not gone]
        return self._runs(present, self._lie)[~self._lent[present]]

    def assign(self, rows: Rows) -> None:
        self._rows = [self._assigned(row, places.tolist()) for row, places in rows]
        check_crossings((row.rule, row.program) for row, _ in rows)

    def _assigned(self, row: Row, places: Sequence[int]) -> _Assigned:
        assert row.program is not None
        slots = [self._local[p] for p in places]
        together = len(places) == places[-1] - places[0] + 1
        where = slice(places[0], places[-1] + 1) if together else np.array(places, np.intp)
        # those of a row have states of the same names
        live = {"param", *row.program.live_state}
        names = [n for n in self._state_at[slots[0]] if n in live or owner(n, live) in live]
        states = {n: [self._state_at[i][n] for i in slots] for n in names}
        numbers = range(1 + len(row.rule.numbers))
        counters = [
            [at for i in slots if (at := self._counter_at.get((i, j))) is not None] for j in numbers
        ]
        return _Assigned(
            row, slots, where, picker(slots, len(self.places)),
            {n: picker(own, sum(map(len, self._state_at))) for n, own in states.items()},
            counters,
        )  # fmt: skip

    def square_sum(self) -> float | Tensor:
        assert self._now is not None
        return square_sum(g for g in self._now[1] if g is not None)

    def let_go(self) -> None:
        self._now = None

    def _count(self, own: _Assigned) -> None:
        for j, new in enumerate([own.row.count + 1, *map(float, own.row.next_numbers)]):
            self.counts.values[own.where, j] = new
            if not (kept := own.counters[j]):
                continue
            # Where a counter has perhaps not kept all of it, the next look finds a change.
            exact = c_float(new).value == new
            for at in kept:
                self._numbers[at].value = new
                self._then[at] = new if exact else math.nan


class RowsLaunch(GeneralLaunch):
    """A general launch that updates row after row: :meth:`update` is all that is left to write."""

    def batches(self) -> Iterator[tuple[Row, Batch]]:
        """Every row with what it is to update, as gathered."""
        return ((own.row, self._batch(own)) for own in self._rows)

    def _batch(self, own: _Assigned) -> Batch:
        assert self._now is not None
        params, grads, states = self._now
        return Batch(
            own.slots, own.pick(params), own.pick(grads),
            {n: pick(states) for n, pick in own.pick_states.items()},
        )  # fmt: skip

    def run(self, late: Mapping[str, Any]) -> None:
        for rows in meeting(self._rows):
            self.update_together([(own.row, self._batch(own)) for own in rows])
            for own in rows:
                self._count(own)

    def update_together(self, rows: Sequence[tuple[Row, Batch]]) -> None:
        """Update several rows: those of one rule that asks all tensors together for something."""
        for row, batch in rows:
            self.update(row, batch)

    @abstractmethod
    def update(self, row: Row, batch: Batch) -> None:
        """Update these parameters and their states by ``row.program`` with ``row.values``.

        Where they are not written by torch's own operations, autograd is to be told so with
        :func:`torch.autograd.graph.increment_version`.
        """


def meeting(rows: Sequence[_Assigned]) -> list[list[_Assigned]]:
    """Rows one by one, but for those of one rule that asks all of its tensors for something."""
    found: dict[Any, list[_Assigned]] = {}
    for own in rows:
        assert own.row.program is not None
        found.setdefault(own.row.rule if own.row.program.crossings else own.row, []).append(own)
    return list(found.values())


Pick = Callable[[Sequence[Any]], list[Any]]
"""Takes some items of a sequence, as a list."""


@dataclass(frozen=True)
class _Assigned:
    """A row with the slots that have it.

    Attributes:
        row: their scalars.
        slots: their places in the launch.
        where: their places in the step, as an index.
        pick, pick_states: take what is theirs from a list over all slots, over all states.
        counters: of the count and each number, which counters keep it.
    """

    row: Row
    slots: Sequence[int]
    where: slice | np.ndarray
    pick: Pick
    pick_states: Mapping[str, Pick]
    counters: Sequence[Sequence[int]]


def picker(places: Sequence[int], length: int) -> Pick:
    """What takes the items at these places from a list of this length."""
    if places == list(range(length)):
        return list
    if len(places) < 2:
        return lambda items: [items[p] for p in places]
    get = itemgetter(*places)
    return lambda items: list(get(items))


def square_sum(grads: Iterable[Tensor]) -> float | Tensor:
    """The sum of all squares in double precision, on a device if the first gradient is on one."""
    total: float | Tensor = 0.0
    for grad in grads:
        norm = torch.linalg.vector_norm(elements(grad), dtype=_widest(grad))
        square = norm * norm if norm.device.type != "cpu" else norm.item() ** 2
        total = total + beside(square, total)
    return total


def _widest(grad: Tensor) -> torch.dtype:
    return torch.float32 if grad.device.type == "mps" else torch.float64


def elements(grad: Tensor) -> Tensor:
    """The numbers of a gradient of any layout, complex ones as pairs of reals."""
    grad = grad.detach()
    grad = grad if grad.layout == torch.strided else grad.coalesce().values()
    return torch.view_as_real(grad.resolve_conj()) if grad.is_complex() else grad


_grad, _dtype, _value = attrgetter("grad"), attrgetter("dtype"), attrgetter("value")
