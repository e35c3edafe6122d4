"""The tensors of a step as machine code looks at them, in the host's memory or a device's.

A launch is built once for a plan. In a step one call looks at every tensor: it reads torch's
objects, which lie in the host's memory wherever their elements do.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from slalom.backends.alive import Alive, handles
from slalom.backends.base import Counts, Look, Slot
from slalom.backends.kinds import by_kind
from slalom.backends.layout import like, meet, same_layout
from slalom.backends.llvm.anatomy import anatomy_beside
from slalom.backends.llvm.driver import CHANGED, Table, driver
from slalom.backends.llvm.looked import LOOK, SEGMENT, looks
from slalom.backends.llvm.memory import NAMES
from slalom.backends.llvm.observers import observed
from slalom.backends.llvm.operands import Operands
from slalom.backends.llvm.torch_c import device_code, dtype_code, holder_offset

_grad = attrgetter("grad")


class Gathered:
    """What machine code looks at of slots; :class:`Unavailable` is raised where there is none.

    It has what a :class:`slalom.backends.base.Launch` has to do but the update itself.
    """

    def __init__(self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts):
        self.counts = counts
        self._driver = driver()
        self.places = np.array([s.place for s in slots], np.intp)
        n, places = len(slots), self.places
        self._local = np.full(len(counts.values), -1, np.intp)
        self._local[places] = np.arange(n)
        params = [s.param for s in slots]
        self._params, self._absent = handles(params), handles(absent)
        # Of a parameter all that matters is looked at; one that comes to lie where it lay may
        # take its place.
        kept = [t for s in slots for t in (*s.state.values(), *s.kept) if t is not None]
        self._alive = Alive(kept if holder_offset() else [*kept, *params, *absent])
        self._states = by_kind(slots, lambda s: tuple(s.state))
        n_states = np.array(list(map(len, self._states)), np.intp)
        n_kept = np.array(by_kind(slots, lambda s: len(s.kept)), np.intp)
        n_alive = n_states + by_kind(slots, lambda s: sum(t is not None for t in s.kept))
        self._first_state = np.cumsum(n_alive) - n_alive  # of each slot where they begin

        written = [t for s in slots for t in (s.param, *s.state.values())]
        self._bytes = np.array([t.nbytes for t in written], np.uint64)
        runs = _runs(np.array([t.data_ptr() for t in written], np.uint64), self._bytes)
        grads = list(map(_grad, params))
        in_place = self._readable(slots, grads, runs)
        read_as = by_kind(slots, self._read_as)
        self._copied = [
            (i, grad.layout, read_as[i])
            for i, (grad, here) in enumerate(zip(grads, in_place, strict=True))
            if grad is not None and not here
        ]
        self._copies: list[Tensor] = []
        self._grad_dtypes = read_as
        copied = np.zeros(n, np.intp)
        copied[[i for i, *_ in self._copied]] = 1
        lengths = 1 + copied + n_states + n_kept
        firsts = np.cumsum(lengths) - lengths
        self._copies_at = firsts[copied == 1] + 1
        own_copy: Sequence[tuple[None, ...]] = [(), (None,)]  # of which the driver looks at nothing
        looked = [
            t
            for s, is_copied in zip(slots, copied.tolist(), strict=True)
            for t in (s.param, *own_copy[is_copied], *s.state.values(), *s.kept)
        ]
        # Of each the look whose shape and strides it has: that of its parameter, but for what is
        # smaller, and numbers, which have those of the first.
        beside = np.repeat(firsts, lengths)
        kept_at = np.flatnonzero(
            np.arange(len(looked)) - beside >= np.repeat(lengths - n_kept, lengths)
        )
        is_number = [(t := looked[i]) is not None and not t.dim() for i in kept_at.tolist()]
        numbers = kept_at[np.array(is_number, bool)]
        beside[kept_at] = kept_at
        beside[numbers] = numbers[:1]
        wrote = np.ones(len(looked), bool)
        wrote[kept_at] = wrote[self._copies_at] = False
        self._wrote = np.flatnonzero(wrote)
        for i, slot in enumerate(slots):
            if slot.small:
                first = firsts[i] + 1 + copied[i]
                small = [first + k for k, name in enumerate(slot.state) if name in slot.small]
                beside[small] = small
        first_absent = len(looked)
        every = np.arange(first_absent, first_absent + len(absent))
        self._looks, self._sizes = looks([*looked, *absent], np.append(beside, every))
        devices = by_kind(slots, lambda s: device_code(s.param.device))
        self._looks["device"][:first_absent] = np.repeat(devices, lengths)
        self._looks["device"][kept_at] = 0
        base = self._looks.ctypes.data

        self._segments = np.zeros(n + 1, SEGMENT)
        own = self._segments[:n]
        own["states"], own["kept"], own["copied"] = n_states, n_kept, copied
        self._operands = Operands(slots)
        self._first_array, self._arrays = self._operands.arrays(slots)
        own["looks"] = base + LOOK.itemsize * firsts
        own["arrays"] = self._arrays.ctypes.data + 8 * self._first_array
        own["values"] = counts.values.ctypes.data + counts.values.strides[0] * places
        own["present"] = counts.present.ctypes.data + 8 * places
        codes = {dtype: (dtype_code(dtype), dtype.itemsize) for dtype in set(read_as)}
        each = np.array([*map(codes.__getitem__, read_as)], np.int64).reshape(-1, 2)
        own["grad_dtype"], itemsize = each.T
        numel = np.array([p.numel() for p in params], np.int64)
        own["numel"] = numel * by_kind(slots, lambda s: 1 + s.param.is_complex())
        own["bytes"], own["itemsize"] = numel * itemsize, np.where(numel, itemsize, 0)
        self._grads = (ctypes.c_void_p * (n + len(absent) + 1))()
        self._anatomy = anatomy_beside(params[0]) if params and self._driver.anatomy else None
        self._table = Table(
            self._driver.torch, ctypes.addressof(self._anatomy) if self._anatomy else None,
            self._segments.ctypes.data, n, base + LOOK.itemsize * first_absent, len(absent),
            ctypes.addressof(self._grads), 0, 0, None, 0, 0, 0, True,
        )  # fmt: skip
        self._tell_written(runs)
        self._address = ctypes.addressof(self._table)
        not_made = [t for s in slots if not s.made for t in s.state.values()]
        self._inference = any(t.is_inference() for t in (*params, *not_made))
        self._sure = True

    def _reads(self, dtype: torch.dtype) -> bool:
        """Whether gradients of a dtype are read as they are."""
        return dtype in NAMES

    def _read_as(self, slot: Slot) -> torch.dtype:
        """The dtype of a slot's gradient when it is read."""
        grad = slot.param.grad
        if grad is None or not self._reads(grad.dtype):
            return slot.param.dtype
        return grad.dtype if grad.is_complex() == slot.param.is_complex() else slot.param.dtype

    def _readable(
        self, slots: Sequence[Slot], grads: Sequence[Tensor | None], written: np.ndarray
    ) -> Sequence[bool]:
        """Whether each gradient can be read where it lies, beside its parameter and not written."""
        found = [
            g is None or s.kind is not None or (self._reads(g.dtype) and _beside(s.param, g))
            for s, g in zip(slots, grads, strict=True)
        ]
        at = [i for i, g in enumerate(grads) if g is not None and found[i]]
        here: list[Any] = [grads[i] for i in at]
        begins = np.array([g.data_ptr() for g in here], np.uint64)
        spans = np.column_stack([begins, begins + np.array([g.nbytes for g in here], np.uint64)])
        for i in np.flatnonzero(meet(written, spans)).tolist():
            found[at[i]] = False
        return found

    def gather(self) -> Look:
        sure, self._sure = self._sure, False
        look = self._look(sure)
        self._sure = look is not Look.STALE
        return look

    def _look(self, sure: bool) -> Look:
        """See :meth:`gather`; ``sure`` if the last look was seen to its end."""
        if not self._alive.all or (self._copied and not self._copy_gradients()):
            return Look.STALE
        if observed() or (self._inference and not torch.is_inference_mode_enabled()):
            return Look.STALE
        if (self._driver.asks or not self._anatomy) and not self._ask():
            return Look.STALE
        found = self._driver.gather(self._address)
        if found > CHANGED or (found >= 0 and not sure):  # MOVED, now or when it was cut short
            written = self._now_written()
            if written is None:
                return Look.STALE
            self._tell_written(written)
            self._arrays[self._first_array + 1] = 0  # every gradient is looked at as if new
            again = self._driver.gather(self._address)
            if again > CHANGED:  # a gradient lies in what is written
                return Look.STALE
            found = found & CHANGED | again
        return Look.STALE if found < 0 else Look.CHANGED if found & CHANGED else Look.SAME

    def written(self) -> np.ndarray:
        return self._written

    def read(self) -> np.ndarray:
        own = self._segments[:-1]
        begins = self._arrays[self._first_array + 1]
        spans = np.column_stack([begins, begins + own["bytes"].astype(np.uint64)])
        here = (self.counts.present[self.places] != 0) & (own["copied"] == 0)
        return spans[here]

    def let_go(self) -> None:
        self._copies = []

    def _updated(self) -> None:
        """Tell autograd that all was updated that was gathered, and count the update."""
        self._tell_python()
        self._driver.updated(self._address)

    def _tell_python(self) -> None:
        """Tell autograd of an update where the driver cannot."""
        if "bump_version" in self._driver.asks:
            increment_version([*self._params[:], *self._alive.keep()])

    def _state(self, name: str, member: int) -> Tensor:
        """The state of a name of a segment, which is there in a step."""
        return self._alive.one(self._first_state[member] + self._states[member].index(name))

    def _keep_gradients(self) -> list[Any]:
        return list(map(_grad, self._params[:]))

    def _copy_gradients(self) -> bool:
        """Copy the gradients that cannot be read where they lie; False if one is not as it was."""
        self._copies = []
        for at, (i, layout, dtype) in zip(self._copies_at.tolist(), self._copied, strict=True):
            param = self._params[i]
            grad = param.grad
            if grad is None:
                continue
            if grad.layout != layout or type(grad) not in (Tensor, torch.nn.Parameter):
                return False
            if grad.shape != param.shape or grad.is_complex() != dtype.is_complex:
                return False
            with torch.no_grad():
                copy = self._copy(i, param, grad, dtype)
            self._copies.append(copy)
            self._looks["address"][at] = copy.data_ptr()
        return True

    def _copy(self, member: int, param: Tensor, grad: Tensor, dtype: torch.dtype) -> Tensor:
        """A gradient beside its parameter in memory.

        Made anew in each step: torch's allocator sees to what streams and graphs do with it.
        """
        return like(param, grad, dtype)

    def _ask(self) -> bool:
        """Find out in Python what this build of torch does not tell; False where it is amiss."""
        params = [*self._params[:], *self._absent[:]]
        grads = [p.grad for p in params]
        for i, grad in enumerate(grads):
            self._grads[i] = None if grad is None else grad._cdata
        copied = {i for i, *_ in self._copied}
        read = [g for i, g in enumerate(grads) if i not in copied]
        kept = [*params, *read, *self._alive.keep()]
        tensors = [t for t in kept if t is not None and t.layout == torch.strided]
        return all(
            type(t) in (Tensor, torch.nn.Parameter) and not (t.is_neg() or t.is_conj())
            for t in tensors
        )

    def _now_written(self) -> np.ndarray | None:
        """The runs of memory that are written now; None if two of them overlap."""
        begins = self._looks["address"][self._wrote]
        runs = _runs(begins, self._bytes)
        return None if (runs[1:, 0] < runs[:-1, 1]).any() else runs

    def _tell_written(self, written: np.ndarray) -> None:
        self._written = written
        self._table.written, self._table.n_written = written.ctypes.data, len(written)


def _beside(param: Tensor, grad: Tensor) -> bool:
    """Whether a gradient lies as its parameter does, and holds what it stands for."""
    return (
        grad.layout is torch.strided
        and grad.is_complex() == param.is_complex()
        and grad.device == param.device
        and not grad.is_neg()
        and not grad.is_conj()
        and not grad._is_zerotensor()
        and same_layout(param, grad)
    )


def _runs(begins: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The runs of memory that dense tensors lie in, in order."""
    order = np.argsort(begins, kind="stable")
    order = order[sizes[order] > 0]
    return np.column_stack([begins[order], begins[order] + sizes[order]])
