"""What every launch has to do but the update itself, asked of torch tensor by tensor."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends.base import Counts, Handle, Launch, Look, Row, Rows, Slot, read, write
from slalom.backends.layout import is_lazy_view, span


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


class GeneralLaunch(Launch):
    """A launch for tensors of any kind: :meth:`update` is all that is left to write.

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
        self._absent = list(map(Handle, absent))
        self._params = [Handle(s.param) for s in slots]
        self._states = [{name: weakref.ref(t) for name, t in s.state.items()} for s in slots]
        self._kept = [[None if t is None else weakref.ref(t) for t in s.kept] for s in slots]
        self._kinds = [None if s.param.grad is None else _kind(s.param.grad) for s in slots]
        self._facts = list(map(_facts, _tensors(slots)))
        self._written = _Runs(_tensors(slots))
        # Of each gradient where it was seen last, and whether it lies in what is written.
        self._seen = [None if s.param.grad is None else _place(s.param.grad) for s in slots]
        self._lent = [place is not None and place in self._written for place in self._seen]
        self._now: tuple[list[Any], list[Any], list[dict[str, Any]], list[list[Any]]] | None = None
        self._rows: list[tuple[Row, list[int]]] = []

    def gather(self) -> Look:
        params = [r() for r in self._params]
        states = [{name: r() for name, r in s.items()} for s in self._states]
        kept = [[r if r is None else r() for r in k] for k in self._kept]
        tensors: list[Any] = [
            t for p, s in zip(params, states, strict=True) for t in (p, *s.values())
        ]
        if any(t is None for t in tensors) or list(map(_facts, tensors)) != self._facts:
            return Look.STALE
        if any(r().grad is not None for r in self._absent):
            return Look.STALE
        grads = [p.grad for p in params]
        found = Look.SAME
        for i, (grad, known) in enumerate(zip(grads, self._kinds, strict=True)):
            if grad is None:
                continue
            kind = _kind(grad)
            if grad.shape != params[i].shape or kind != (known or _ordinary(params[i])):
                return Look.STALE
            self._kinds[i] = kind
            if (place := _place(grad)) != self._seen[i]:
                if (place in self._written) != self._lent[i]:
                    return Look.STALE
                self._seen[i] = place
        for place, grad, tensors in zip(self.places.tolist(), grads, kept, strict=True):
            values, present = self.counts.values[place], int(grad is not None)
            then = values.tolist()[: len(tensors)]
            now = [v if t is None else read(t) for t, v in zip(tensors, then, strict=True)]
            if present != self.counts.present[place] or now != then:
                values[: len(now)], self.counts.present[place] = now, present
                found = Look.CHANGED
        with torch.no_grad():  # what is written first must not be read as a gradient later
            grads = [
                g.clone() if lent and g is not None else g
                for g, lent in zip(grads, self._lent, strict=True)
            ]
        self._now = params, grads, states, kept
        return found

    def assign(self, rows: Rows) -> None:
        self._rows = [(row, [self._local[p] for p in places.tolist()]) for row, places in rows]

    def square_sum(self) -> float | Tensor:
        assert self._now is not None
        return square_sum(g for g in self._now[1] if g is not None)

    def run(self, late: Mapping[str, Any]) -> None:
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
        self._now = None

    @abstractmethod
    def update(self, row: Row, batch: Batch) -> None:
        """Update these parameters and their states by ``row.program`` with ``row.values``.

        Where they are not written by torch's own operations, autograd is to be told so with
        :func:`torch.autograd.graph.increment_version`.
        """

    def _count(self, row: Row, members: Sequence[int], kept: Sequence[Sequence[Any]]) -> None:
        new = [row.count + 1, *map(float, row.next_numbers)]
        for i, tensors in zip(members, kept, strict=True):
            values = self.counts.values[self.places[i]]
            for j, (tensor, value) in enumerate(zip(tensors, new, strict=True)):
                values[j] = value if tensor is None else write(tensor, value)


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


Place = tuple[int, tuple[int, ...], tuple[int, ...], int]
"""Where a tensor lies: address, shape, strides, bytes of an element."""


def _kind(grad: Tensor) -> tuple[Any, ...]:
    """What else of a gradient a backend may have asked before the launch was made."""
    unusual = type(grad) is Tensor and (is_lazy_view(grad) or grad._is_zerotensor())
    return type(grad), grad.layout, grad.dtype, grad.device, unusual


def _ordinary(param: Tensor) -> tuple[Any, ...]:
    """The kind that no backend refuses which serves the parameter."""
    return Tensor, torch.strided, param.dtype, param.device, False


def _place(tensor: Tensor) -> Place | None:
    """None of a tensor without memory of its own, or of another layout."""
    if tensor.layout != torch.strided:
        return None
    try:
        return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.element_size()
    except RuntimeError:
        return None


class _Runs:
    """The runs of memory that some tensors lie in, gaps included."""

    def __init__(self, tensors: Iterable[Tensor]):
        spans = [span(t) for t in tensors if _place(t) is not None]
        self._begins, self._ends = [], []
        for begin, end in sorted(s for s in spans if s[0] < s[1]):
            if self._ends and begin < self._ends[-1]:
                self._ends[-1] = max(end, self._ends[-1])
            else:
                self._begins.append(begin)
                self._ends.append(end)

    def __contains__(self, place: Place | None) -> bool:
        """Whether something at this place shares memory with one of them."""
        if place is None:
            return False
        address, shape, strides, size = place
        reach = sum(st * (n - 1) for st, n in zip(strides, shape, strict=True))
        end = address + (reach + 1) * size
        after = bisect_right(self._ends, address)
        return 0 not in shape and after < len(self._ends) and self._begins[after] < end


def _facts(tensor: Tensor) -> tuple[Any, ...]:
    """What a launch relies on: where the elements lie (None without memory), and how."""
    try:
        address = tensor.data_ptr()
    except RuntimeError:
        address = None
    lazy = is_lazy_view(tensor)
    return address, tensor.dtype, tensor.device, tensor.shape, tensor.stride(), lazy
