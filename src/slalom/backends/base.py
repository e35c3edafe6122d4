"""What a backend is: the seam between the plan of a step and the devices that run it.

A :class:`Backend` says which parameters it can serve and makes a :class:`Launch` of them. A launch
looks at its tensors in every step, is given the scalars by rows, and updates all of them.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends.rounding import noise_of
from slalom.ir.program import Program, program_for
from slalom.rules.rule import Rule


class Unavailable(RuntimeError):  # noqa: N818 - a state of affairs, not a mistake
    """A backend cannot work here, or not any longer; the message says why."""


class RefusedTensorError(RuntimeError):
    """A tensor that no way of updating can serve; the message says which and why."""


@dataclass(frozen=True, eq=False)
class Slot:
    """One parameter of a step with the tensors kept for it.

    Attributes:
        param: the parameter; its gradient is looked up in every step and may be absent.
        state: the live states of its rule by name, each of the parameter's shape.
        kept: its step count and the numbers of its rule, tensors of one element; None in place of
            a count that the state does not hold.
        count: how often it was updated, where ``kept[0]`` is None.
        group: the place of its parameter group.
        place: its own place in the step.
        by_rows: its gradient is sparse, and what that does not touch stays as it is.
        alone: it shares memory with another parameter, so they are updated one after the other.
        name: how messages call it.
    """

    param: Tensor
    state: Mapping[str, Tensor]
    kept: Sequence[Tensor | None]
    count: float
    group: int
    place: int
    by_rows: bool = False
    alone: bool = False
    name: str = "a parameter"


class Look(Enum):
    """What a look at the tensors of a launch found."""

    SAME = 0
    """All as in the last step."""
    CHANGED = 1
    """Other gradients are present, or counts or numbers are other than they were left."""
    STALE = 2
    """Something is not what the launch was made for; nothing may be run."""


class Counts:
    """How often each parameter was updated, and the numbers of its rule: one row a slot.

    Attributes:
        values: float64 of shape (slots, 1 + most numbers): the counts, and behind them the
            numbers, as last read or written.
        present: int64 of shape (slots,): whether the slot has a gradient in this step.
    """

    def __init__(self, slots: Sequence[Slot]):
        width = max((len(s.kept) for s in slots), default=1)
        self.values = np.zeros((len(slots), width))
        self.present = np.zeros(len(slots), np.int64)
        for i, slot in enumerate(slots):
            self.values[i, : len(slot.kept)] = [
                slot.count if t is None else t.item() for t in slot.kept
            ]


class Row:
    """The scalars of the parameters of one group with one step count and equal numbers.

    Attributes:
        rule: the group's rule, behind the treatment of its gradients.
        group: the group's place.
        program: the trace that serves the next step.
        count: how often these parameters were updated before.
        numbers: the present values of the rule's numbers.
        values: the scalars of the step in the order of ``program.scalars``, then the new numbers.
        noise: random bits of the step, where something is rounded by chance; else None.
    """

    values: Sequence[Any]
    noise: int | None = None

    def __init__(self, rule: Rule, group: int, count: float, numbers: Sequence[float]):
        self.rule, self.group = rule, group
        self.count, self.numbers = count, numbers
        names = [n for n in rule.hypers if n not in rule.late]
        self._own = itemgetter(*names) if len(names) > 1 else lambda o: [o[n] for n in names]
        self.program: Program | None = None

    def choose(self, options: Mapping[str, Any], late: Mapping[str, Any]) -> Program:
        """Find the program for the options as they are now."""
        self.program = program_for(
            self.rule, {**options, **late}, self.count + 1, self.count == 0, *self.numbers
        )
        return self.program

    def fill(self, options: Mapping[str, Any], late: Mapping[str, Any]) -> bool:
        """Compute the scalars of the next step; False if the program does not serve it."""
        assert self.program is not None
        values = self.program.row(
            self.count + 1,
            self.count == 0,
            *self._own(options),
            *(late[name] for name in self.rule.late),
            *self.numbers,
        )
        if values is None:
            return False
        self.values = values
        return True

    def draw(self, seed: int, place: int) -> None:
        """Take the random bits of the next step of the one parameter that has this row."""
        self.noise = noise_of(seed, int(self.count), place)

    @property
    def next_numbers(self) -> Sequence[Any]:
        """What the rule's numbers become in this step."""
        assert self.program is not None
        return self.values[len(self.program.scalars) :]


Rows = Sequence[tuple[Row, np.ndarray]]
"""Rows, each with the places (in the step) of the slots that have it."""


@dataclass
class Batch:
    """The tensors of some slots in a step, side by side.

    Attributes:
        slots: the places of the slots in their launch.
        params, grads: their parameters and gradients.
        states: name -> their states of that name, for every live state.
    """

    slots: Sequence[int]
    params: list[Tensor]
    grads: list[Tensor]
    states: dict[str, list[Tensor]]


class Launch(ABC):
    """The tensors of some slots, ready to be updated in step after step by one backend.

    It keeps no tensor of the user's alive between two steps: what is dropped elsewhere is freed at
    once, and the launch with its plan is then out of date. What is not overridden here serves any
    device; :meth:`update` is all that a backend has to write.

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
        self._absent = list(map(weakref.ref, absent))
        self._params = [weakref.ref(s.param) for s in slots]
        self._states = [{name: weakref.ref(t) for name, t in s.state.items()} for s in slots]
        self._kept = [[None if t is None else weakref.ref(t) for t in s.kept] for s in slots]
        self._layouts = [None if s.param.grad is None else s.param.grad.layout for s in slots]
        self._addresses = list(map(address, _tensors(slots)))
        self._now: tuple[list[Any], list[Any], list[dict[str, Any]], list[list[Any]]] | None = None
        self._rows: list[tuple[Row, list[int]]] = []

    def gather(self) -> Look:
        """Look at every tensor, and put down which gradients and counts there are."""
        params = [r() for r in self._params]
        states = [{name: r() for name, r in s.items()} for s in self._states]
        kept = [[r if r is None else r() for r in k] for k in self._kept]
        tensors = [t for p, s in zip(params, states, strict=True) for t in (p, *s.values())]
        if any(t is None for t in tensors) or list(map(address, tensors)) != self._addresses:
            return Look.STALE
        if any(p is not None and p.grad is not None for p in (r() for r in self._absent)):
            return Look.STALE
        grads = [p.grad for p in params]  # type: ignore[union-attr]
        found = Look.SAME
        for i, (grad, known) in enumerate(zip(grads, self._layouts, strict=True)):
            if grad is not None and grad.layout != known:
                if known is not None:
                    return Look.STALE
                self._layouts[i] = grad.layout
        for place, grad, tensors in zip(self.places.tolist(), grads, kept, strict=True):
            values, present = self.counts.values[place], int(grad is not None)
            then = values.tolist()[: len(tensors)]
            now = [v if t is None else t.item() for t, v in zip(tensors, then, strict=True)]
            if present != self.counts.present[place] or now != then:
                values[: len(now)], self.counts.present[place] = now, present
                found = Look.CHANGED
        self._now = params, grads, states, kept
        return found

    def assign(self, rows: Rows) -> None:
        """Give the present slots their scalars, until they are assigned anew.

        Raises :class:`Unavailable`, and nothing may be run, where no code can be made.
        """
        self._rows = [(row, [self._local[p] for p in places.tolist()]) for row, places in rows]

    def square_sum(self) -> float | Tensor:
        """The sum of the squares of all gradients, in double precision, as gathered just before."""
        assert self._now is not None
        return square_sum(g for g in self._now[1] if g is not None)

    def run(self, late: Mapping[str, Any]) -> None:
        """Update every present slot and count the update; the gradients are those gathered.

        ``late`` are the late scalars by name; the rows were filled with them.
        """
        assert self._now is not None
        params, grads, states, kept = self._now
        for row, members in self._rows:
            assert row.program is not None
            batch = Batch(
                members, [params[i] for i in members], [grads[i] for i in members],
                {n: [states[i][n] for i in members] for n in row.program.live_state},
            )  # fmt: skip
            self.update(row, batch)
            self._count(row, members, [kept[i] for i in members])

    def let_go(self) -> None:
        """Forget what was gathered."""
        self._now = None

    @abstractmethod
    def update(self, row: Row, batch: Batch) -> None:
        """Update these parameters and their states by ``row.program`` with ``row.values``."""

    def _count(self, row: Row, members: Sequence[int], kept: Sequence[Sequence[Any]]) -> None:
        numbers = [float(n) for n in row.next_numbers]
        steps = [k[0] for k in kept if k[0] is not None]
        with torch.no_grad():
            if steps:
                torch._foreach_add_(steps, 1.0)
            for i, tensors in zip(members, kept, strict=True):
                values = self.counts.values[self.places[i]]
                values[0] = row.count + 1
                for j, number in enumerate(numbers, 1):
                    values[j] = tensors[j].fill_(number).item()  # rounded, as it is kept


class Backend(ABC):
    """One way of running programs: machine code for a device, or the operations of a library.

    Attributes:
        name: what :func:`slalom.explain` calls it.
    """

    name: str

    @abstractmethod
    def refuses(self, slot: Slot) -> str | None:
        """Why this backend cannot serve a slot; None if it can."""

    @abstractmethod
    def prepare(
        self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts
    ) -> Launch:
        """A :class:`Launch` of these slots, none of which it refuses."""

    def watch(self, groups: Any, states: Any, tensors: Any) -> Any:
        """See :class:`slalom.engine.watch.Watch`: the same, faster; None if there is no such."""
        return None


def square_sum(grads: Iterable[Tensor]) -> float | Tensor:
    """The sum of all squares in double precision, on the gradients' own device where it is one."""
    total: float | Tensor = 0.0
    for grad in grads:
        norm = torch.linalg.vector_norm(elements(grad), dtype=_widest(grad))
        total = total + (norm * norm if norm.device.type != "cpu" else norm.item() ** 2)
    return total


def _widest(grad: Tensor) -> torch.dtype:
    return torch.float32 if grad.device.type == "mps" else torch.float64


def elements(grad: Tensor) -> Tensor:
    """The numbers of a gradient of any layout, complex ones as pairs of reals."""
    grad = grad.detach()
    grad = grad if grad.layout == torch.strided else grad.coalesce().values()
    return torch.view_as_real(grad.resolve_conj()) if grad.is_complex() else grad


def _tensors(slots: Iterable[Slot]) -> Iterable[Tensor]:
    return (t for s in slots for t in (s.param, *s.state.values()))


def address(tensor: Tensor) -> int | None:
    """Where a tensor's elements lie; None where it has no memory of its own."""
    try:
        return tensor.data_ptr()
    except RuntimeError:
        return None
