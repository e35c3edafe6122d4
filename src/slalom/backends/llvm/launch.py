"""The tensors of a step as machine code sees them: what is looked at, and what lies ready.

A launch is built once for a plan. In a step it makes one call that looks at every tensor, and one
that updates all and counts the update.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from math import prod
from operator import attrgetter
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from slalom.backends.alive import Alive, handles
from slalom.backends.base import Counts, Launch, Look, Rows, Slot
from slalom.backends.crossings import check_crossings
from slalom.backends.kinds import by_kind
from slalom.backends.layout import meet, same_layout
from slalom.backends.llvm.code import Code, machine_code
from slalom.backends.llvm.driver import BLOCK, CHANGED, LINE, Table, driver
from slalom.backends.llvm.jit import jit
from slalom.backends.llvm.looked import LOOK, SEGMENT, looks
from slalom.backends.llvm.meetings import Asked, Meetings
from slalom.backends.llvm.memory import KEPT, NAMES, Arrays
from slalom.backends.llvm.observers import observed
from slalom.backends.llvm.operands import Operands, computed
from slalom.backends.llvm.packing import packing
from slalom.backends.llvm.room import give
from slalom.backends.llvm.square import square
from slalom.backends.llvm.threads import ALL, LEAST, ONE, Threads
from slalom.backends.llvm.torch_c import dtype_code, holder_offset
from slalom.backends.row import Row
from slalom.ir.program import Program
from slalom.ir.vectors import of_vectors

_GRAINS = {ONE: 1 << 40, ALL: LEAST // 2 // LINE}
"""The lines that a thread has at least: those of a step are shared out where there are more."""

HELD = 1048576
"""Elements up to which a step holds the interpreter: it is over before another thread could run."""

_grad = attrgetter("grad")


class LlvmLaunch(Launch):
    """Slots that machine code serves. Raises :class:`Unavailable` where there is none."""

    skips = True

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
        in_place = _readable(slots, grads, runs)
        self._copies = [
            (torch.empty_like(params[i], requires_grad=False), i, grad.layout)
            for i, (grad, here) in enumerate(zip(grads, in_place, strict=True))
            if grad is not None and not here
        ]
        kinds: dict[tuple[Any, ...], int] = {}  # dtypes of parameter and gradient, states by name

        def kind_of(slot: Slot) -> int:
            i = self._local[slot.place]
            grad = grads[i]
            kind: tuple[Any, ...] = (
                slot.param.dtype,
                slot.param.dtype if grad is None or not in_place[i] else grad.dtype,
                *((name, tensor.dtype) for name, tensor in slot.state.items()),
                *((name, computed(slot)) for name in slot.operands),
            )
            return kinds.setdefault(kind, len(kinds))

        self._kind_of = np.array(by_kind(slots, kind_of), np.intp)
        copied = np.zeros(n, np.intp)
        copied[[i for _, i, _ in self._copies]] = 1
        lengths = 1 + copied + n_states + n_kept
        firsts = np.cumsum(lengths) - lengths
        buffers: list[tuple[Tensor, ...]] = [()] * n
        for buffer, i, _ in self._copies:
            buffers[i] = (buffer,)
        looked = [
            t
            for s, own in zip(slots, buffers, strict=True)
            for t in (s.param, *own, *s.state.values(), *s.kept)
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
        wrote[kept_at] = wrote[firsts[copied == 1] + 1] = False
        self._wrote = np.flatnonzero(wrote)
        for i, slot in enumerate(slots):
            if slot.small:
                first = firsts[i] + 1 + copied[i]
                small = [first + k for k, name in enumerate(slot.state) if name in slot.small]
                beside[small] = small
        first_absent = len(looked)
        every = np.arange(first_absent, first_absent + len(absent))
        self._looks, self._shapes = looks([*looked, *absent], np.append(beside, every))
        base = self._looks.ctypes.data
        self._kinds: list[Arrays] = [
            (
                ("param", NAMES[param]), ("grad", NAMES[grad]),
                *((name, KEPT[dtype]) for name, dtype in of_states),
            )
            for param, grad, *of_states in kinds
        ]  # fmt: skip

        self._segments = np.zeros(n + 1, SEGMENT)
        own = self._segments[:n]
        own["states"], own["kept"], own["copied"] = n_states, n_kept, copied
        self._operands = Operands(slots)
        self._first_array, self._arrays = self._operands.arrays(slots)
        own["looks"] = base + LOOK.itemsize * firsts
        own["arrays"] = self._arrays.ctypes.data + 8 * self._first_array
        own["values"] = counts.values.ctypes.data + counts.values.strides[0] * places
        own["present"] = counts.present.ctypes.data + 8 * places
        of_kind = [grad for _, grad, *_ in kinds]
        itemsize = np.array([dtype.itemsize for dtype in of_kind], np.int64)[self._kind_of]
        numel = np.array([p.numel() for p in params], np.int64)
        own["square"] = np.array([square(NAMES[d]) for d in of_kind], np.uint64)[self._kind_of]
        own["grad_dtype"] = np.array([dtype_code(d) for d in of_kind], np.int64)[self._kind_of]
        own["numel"] = numel * by_kind(slots, lambda s: 1 + s.param.is_complex())
        own["bytes"], own["itemsize"] = numel * itemsize, np.where(numel, itemsize, 0)
        self._elements = int(own["numel"].sum())
        self._sums = np.zeros(-(-int((-(-own["numel"] // LINE)).sum()) // BLOCK) + 1)
        self._grads = (ctypes.c_void_p * (n + len(absent) + 1))()
        self._table = Table(
            self._driver.torch, self._driver.anatomy, self._segments.ctypes.data, n,
            base + LOOK.itemsize * first_absent, len(absent), ctypes.addressof(self._grads),
            0, 0, self._sums.ctypes.data, 0, 0, _GRAINS[ONE], True,
        )  # fmt: skip
        self._tell_written(runs)
        self._address = ctypes.addressof(self._table)
        self._packed: list[Callable[[], None]] = []
        self._scratch: list[np.ndarray] = []
        self._meetings: Meetings | None = None
        self._inference = any(p.is_inference() for p in params)
        self._sure = True
        self._threads, self._way = Threads(), ONE

    def gather(self) -> Look:
        sure, self._sure = self._sure, False
        look = self._look(sure)
        self._sure = look is not Look.STALE
        return look

    def _look(self, sure: bool) -> Look:
        """See :meth:`gather`; ``sure`` if the last look was seen to its end."""
        if not self._alive.all or (self._copies and not self._copy_gradients()):
            return Look.STALE
        if observed() or (self._inference and not torch.is_inference_mode_enabled()):
            return Look.STALE
        if (self._driver.asks or not self._driver.anatomy) and not self._ask():
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

    def assign(self, rows: Rows) -> None:
        self._packed, self._scratch, self._meetings = [], [], None
        check_crossings((row.rule, row.program) for row, _ in rows)
        table = self._segments
        asked: list[Asked] = []
        alike: dict[tuple[Program, bool], list[tuple[Row, np.ndarray]]] = {}
        for row, places in rows:
            assert row.program is not None
            alike.setdefault((row.program, row.noise is not None), []).append((row, places))
        for (program, stochastic), own in alike.items():
            n = len(program.scalars)
            width = n + 1 + len(program.numbers)  # scalars, random bits, new numbers
            block = np.zeros((len(own), width))
            members = self._local[np.concatenate([places for _, places in own])]
            which = np.repeat(np.arange(len(own)), [len(places) for _, places in own])
            table["row"][members] = block.ctypes.data + 8 * width * which
            table["next"][members] = block.ctypes.data + 8 * width * which + 8 * (n + 1)
            self._packed += packing([row for row, _ in own], block, n)
            kinds = 2 * self._kind_of[members]
            # vectors have code of their own, but meet others where these do
            if program.by_rows and not program.multiplies and not program.crossings:
                kinds += [prod(self._params[i].shape[1:]) == 1 for i in members.tolist()]
            for kind in np.unique(kinds).tolist():
                form = of_vectors(program) if kind % 2 else program
                code, mine = machine_code(form, self._kinds[kind // 2], stochastic), kinds == kind
                scratch = self._give(code, members[mine])
                if code.before:
                    own_rows = [own[i][0] for i in which[mine].tolist()]
                    given = members[mine], scratch[0], self._operands, self._state
                    asked.append(Asked(code, own_rows, *given))
        if asked:
            self._meetings = Meetings(asked, table, self._table)

    def _state(self, name: str, member: int) -> Tensor:
        """The state of a name of a segment, which is there in a step."""
        return self._alive.one(self._first_state[member] + self._states[member].index(name))

    def _give(self, code: Code, members: np.ndarray) -> list[np.ndarray]:
        """Have these segments updated by a program, with room for what it sums up; that room."""
        table = self._segments
        table["update"][members], table["n_stages"][members] = code.update, len(code.stages)
        if code.layout is None:
            return []
        table["stages"][members] = code.stages.ctypes.data
        shapes = [self._params[i].shape for i in members.tolist()]
        heights = np.array([prod(shape[:1]) for shape in shapes])
        widths = np.array([prod(shape[1:]) for shape in shapes])
        scratch = give(table, members, code, heights, widths)
        self._scratch += scratch
        return scratch

    def square_sum(self) -> float:
        grads = self._keep_gradients()
        _check(self._driver.measure(self._address))
        del grads
        lines = self._table.lines
        return float(self._sums[: -(-lines // BLOCK)].sum())

    def run(self, late: Mapping[str, Any]) -> None:
        for pack in self._packed:
            pack()
        if "bump_version" in self._driver.asks:
            increment_version([*self._params[:], *self._alive.keep()])
        shared = self._table.lines * LINE >= LEAST and torch.get_num_threads() > 1
        self._way = self._threads.choose() if shared else ONE
        begin = perf_counter()
        if self._meetings is not None:
            self._meetings.hold(self._run_table)
        self._run_table(self._table)
        if shared:
            self._threads.tell(self._way, perf_counter() - begin)

    def _run_table(self, table: Table) -> None:
        """Run all of the launch, or a part of it."""
        address, table.grain = ctypes.addressof(table), _GRAINS[self._way]
        if self._elements > HELD:
            grads = self._keep_gradients()  # another thread may drop them meanwhile
            tensors = [*self._alive.keep(), *self._params[:]]
            _check(self._driver.run(address))
            del grads, tensors
        else:
            _check(self._driver.run_held(address))

    def let_go(self) -> None:
        pass

    def _keep_gradients(self) -> list[Any]:
        return list(map(_grad, self._params[:]))

    def _copy_gradients(self) -> bool:
        """Copy the gradients that cannot be read where they lie; False if one is not as it was."""
        for buffer, i, layout in self._copies:
            grad = self._params[i].grad
            if grad is None:
                continue
            if grad.layout != layout or type(grad) not in (Tensor, torch.nn.Parameter):
                return False
            if grad.shape != buffer.shape or grad.is_complex() != buffer.is_complex():
                return False
            with torch.no_grad():
                buffer.copy_(grad if layout == torch.strided else grad.to_dense())
        return True

    def _ask(self) -> bool:
        """Find out in Python what this build of torch does not tell; False where it is amiss."""
        params = [*self._params[:], *self._absent[:]]
        grads = [p.grad for p in params]
        for i, grad in enumerate(grads):
            self._grads[i] = None if grad is None else grad._cdata
        copied = {i for _, i, _ in self._copies}
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


def served(dtype: torch.dtype) -> bool:
    """Whether machine code reads and writes numbers of this dtype here."""
    return dtype in NAMES and (dtype != torch.float16 or jit().half)


def _check(code: int) -> None:
    if code:
        raise RuntimeError(f"torch_parallel_for failed with code {code}")


def _readable(
    slots: Sequence[Slot], grads: Sequence[Tensor | None], written: np.ndarray
) -> Sequence[bool]:
    """Whether each gradient can be read where it lies: beside its parameter, and not written to."""
    found = [
        g is None or s.kind is not None or _beside(s.param, g)
        for s, g in zip(slots, grads, strict=True)
    ]
    at = [i for i, g in enumerate(grads) if g is not None and found[i]]
    here: list[Any] = [grads[i] for i in at]
    begins = np.array([g.data_ptr() for g in here], np.uint64)
    spans = np.column_stack([begins, begins + np.array([g.nbytes for g in here], np.uint64)])
    for i in np.flatnonzero(meet(written, spans)).tolist():
        found[at[i]] = False
    return found


def _beside(param: Tensor, grad: Tensor) -> bool:
    """Whether a gradient lies as its parameter does, and holds what it stands for."""
    return (
        grad.layout is torch.strided
        and (grad.dtype is param.dtype or served(grad.dtype))
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
