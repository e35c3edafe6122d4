"""The tensors of a step as machine code sees them: what is looked at, and what lies ready.

A launch is built once for a plan. In a step it makes one call that looks at every tensor, and one
that updates all and counts the update.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from slalom.backends.base import Alive, Counts, Launch, Look, Rows, Slot, handles
from slalom.backends.crossings import check_crossings
from slalom.backends.layout import overlapping, same_layout
from slalom.backends.llvm.code import Code, machine_code
from slalom.backends.llvm.driver import BLOCK, CHANGED, LINE, Table, driver
from slalom.backends.llvm.elements import KEPT, NAMES, Arrays
from slalom.backends.llvm.jit import jit
from slalom.backends.llvm.meetings import Asked, Meetings
from slalom.backends.llvm.observers import observed
from slalom.backends.llvm.packing import packing
from slalom.backends.llvm.room import give
from slalom.backends.llvm.square import square
from slalom.backends.llvm.torch_c import dtype_code, holder_offset
from slalom.backends.row import Row
from slalom.ir.program import Program

GRAIN = 65536
"""Elements below which a step stays on the calling thread: a fork costs more than they do."""

HELD = 1048576
"""Elements up to which a step holds the interpreter: it is over before another thread could run."""

_SEEN = [("kind", "u8"), ("keys", "u8"), ("itemsize", "i8")]
_LOOK = np.dtype([
    ("impl", "u8"), ("holder", "u8"), *_SEEN, ("dtype", "i8"), ("dim", "i8"), ("sizes", "u8"),
    ("strides", "u8"), ("address", "u8"),
])  # fmt: skip
_SEGMENT = np.dtype([
    ("update", "u8"), ("stages", "u8"), ("n_stages", "i8"), ("block", "i8"), ("width", "i8"),
    ("slots", "u8"), ("own", "u8"), ("partial", "u8"),
    ("row", "u8"), ("next", "u8"), ("square", "u8"), ("looks", "u8"),
    ("arrays", "u8"), ("values", "u8"), ("present", "u8"), ("numel", "i8"), ("bytes", "i8"),
    ("grad_dtype", "i8"), *_SEEN, ("copied", "i8"), ("states", "i8"), ("kept", "i8"),
    ("first_line", "i8"),
])  # fmt: skip
"""Seen, Look and Segment as ``driver.c`` declares them."""

_NO_LOOK = (0,) * len(_LOOK.names or ())
_SIZES = (_LOOK.names or ()).index("sizes")

_grad = attrgetter("grad")


class LlvmLaunch(Launch):
    """Slots that machine code serves. Raises :class:`Unavailable` where there is none."""

    def __init__(self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts):
        self.counts = counts
        self._driver = driver()
        self.places = np.array([s.place for s in slots], np.intp)
        n, places = len(slots), self.places
        self._local = np.full(len(counts.values), -1, np.intp)
        self._local[places] = np.arange(n)
        self._params = handles([s.param for s in slots])
        self._absent = handles(absent)
        # Of a parameter all that matters is looked at; one that comes to lie where it lay may
        # take its place.
        kept = [t for s in slots for t in (*s.state.values(), *s.kept) if t is not None]
        params = [*(s.param for s in slots), *absent]
        self._alive = Alive(kept if holder_offset() else [*kept, *params])

        sizes = [
            [t.numel() * t.element_size() for t in (s.param, *s.state.values())] for s in slots
        ]
        written = _runs((s.param, *s.state.values()) for s in slots)
        in_place = [_readable(s.param, s.param.grad, written) for s in slots]
        dtypes = [
            s.param.grad.dtype if ok and s.param.grad is not None else s.param.dtype
            for s, ok in zip(slots, in_place, strict=True)
        ]
        types: list[Arrays] = [
            (
                ("param", NAMES[s.param.dtype]), ("grad", NAMES[dtype]),
                *((name, KEPT[t.dtype]) for name, t in s.state.items()),
            )
            for s, dtype in zip(slots, dtypes, strict=True)
        ]  # fmt: skip
        self._kinds = list(dict.fromkeys(types))
        numbers = {kind: i for i, kind in enumerate(self._kinds)}
        self._kind_of = np.array([numbers[t] for t in types], np.intp)

        looks = _Looks()
        firsts, self._copies = [], []
        self._looked: list[tuple[list[int], list[int]]] = []  # of what is written: looks, bytes
        for i, (slot, ok) in enumerate(zip(slots, in_place, strict=True)):
            firsts.append(looks.add(slot.param))
            grad = slot.param.grad
            if not ok and grad is not None:
                buffer = torch.empty_like(slot.param, requires_grad=False)
                self._copies.append((buffer, i, grad.layout))
                looks.add(buffer)
            of_states = [
                looks.add(t, None if name in slot.small else firsts[-1])
                for name, t in slot.state.items()
            ]
            self._looked.append(([firsts[-1], *of_states], sizes[i]))
            for tensor in slot.kept:
                looks.add(tensor)
        first_absent = len(looks)
        for param in absent:
            looks.add(param)
        self._looks, self._shapes = looks.table()
        base = self._looks.ctypes.data

        widths = [2 + len(s.state) for s in slots]
        self._first_array = np.cumsum([0, *widths[:-1]])[:n]
        self._arrays = np.zeros(sum(widths) + 1, np.uint64)
        self._segments = np.zeros(n + 1, _SEGMENT)
        own = self._segments[:n]
        own["looks"] = base + _LOOK.itemsize * np.array(firsts, np.uint64)
        own["arrays"] = self._arrays.ctypes.data + 8 * self._first_array.astype(np.uint64)
        own["values"] = counts.values.ctypes.data + counts.values.strides[0] * places
        own["present"] = counts.present.ctypes.data + 8 * places
        own["square"] = [square(dict(t)["grad"]) for t in types]
        own["numel"] = [_numbers(s.param) for s in slots]
        shapes = [(*s.param.shape, 1)[: max(1, s.param.dim())] for s in slots]
        self._matrices = np.array([[n for n, *_ in shapes], [prod(more) for _, *more in shapes]])
        own["bytes"] = [s.param.numel() * d.itemsize for s, d in zip(slots, dtypes, strict=True)]
        own["grad_dtype"] = [dtype_code(d) for d in dtypes]
        own["itemsize"] = [
            d.itemsize if s.param.numel() else 0 for s, d in zip(slots, dtypes, strict=True)
        ]
        own["copied"][[i for _, i, _ in self._copies]] = 1
        own["states"] = [len(s.state) for s in slots]
        own["kept"] = [len(s.kept) for s in slots]
        self._elements = int(own["numel"].sum())
        self._sums = np.zeros(-(-int((-(-own["numel"] // LINE)).sum()) // BLOCK) + 1)
        self._grads = (ctypes.c_void_p * (n + len(absent) + 1))()
        self._table = Table(
            self._driver.torch, self._driver.anatomy, self._segments.ctypes.data, n,
            base + _LOOK.itemsize * first_absent, len(absent), ctypes.addressof(self._grads),
            0, 0, self._sums.ctypes.data, 0, 0, GRAIN // LINE, True,
        )  # fmt: skip
        self._tell_written(written)
        self._address = ctypes.addressof(self._table)
        self._packed: list[Callable[[], None]] = []
        self._scratch: list[np.ndarray] = []
        self._meetings: Meetings | None = None
        self._inference = any(s.param.is_inference() for s in slots)
        self._sure = True

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
            kinds = self._kind_of[members]
            for kind in np.unique(kinds).tolist():
                code, mine = machine_code(program, self._kinds[kind], stochastic), kinds == kind
                scratch = self._give(code, members[mine])
                if code.before:
                    own_rows = [own[i][0] for i in which[mine].tolist()]
                    asked.append(Asked(code, own_rows, members[mine], scratch[0]))
        if asked:
            self._meetings = Meetings(asked, table, self._table)

    def _give(self, code: Code, members: np.ndarray) -> list[np.ndarray]:
        """Have these segments updated by a program, with room for what it sums up; that room."""
        table = self._segments
        table["update"][members], table["n_stages"][members] = code.update, len(code.stages)
        if code.layout is None:
            return []
        table["stages"][members] = code.stages.ctypes.data
        scratch = give(table, members, code, *self._matrices[:, members])
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
        if self._meetings is not None:
            self._meetings.hold(self._run_table)
        self._run_table(self._table)

    def _run_table(self, table: Table) -> None:
        """Run all of the launch, or a part of it."""
        address = ctypes.addressof(table)
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
        address = self._looks["address"]
        runs = [
            (int(address[look]), int(address[look]) + size)
            for looks, sizes in self._looked
            for look, size in zip(looks, sizes, strict=True)
        ]
        return None if overlapping(runs) else _sorted(runs)

    def _tell_written(self, written: np.ndarray) -> None:
        self._written = written
        self._table.written, self._table.n_written = written.ctypes.data, len(written)


class _Looks:
    """Gathers what is looked at, and makes the table of it."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, ...]] = []
        self._shapes: list[int] = []
        self._offset = holder_offset()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, tensor: Tensor | None, beside: int | None = None) -> int:
        """Add a tensor, or the place of one that is not there.

        ``beside`` is one that was added and has its shape and strides.
        """
        if tensor is None:
            self._rows.append(_NO_LOOK)
            return len(self._rows) - 1
        start = len(self._shapes) if beside is None else self._rows[beside][_SIZES]
        strided = tensor.layout == torch.strided
        if strided and beside is None:
            self._shapes += (*tensor.shape, *tensor.stride())
        holder = id(tensor) + self._offset if self._offset else 0
        dim, address = tensor.dim(), tensor.data_ptr() if strided else 0
        code = dtype_code(tensor.dtype)
        itemsize = tensor.element_size() if tensor.numel() else 0
        own = tensor._cdata, holder, 0, 0, itemsize, code, dim, start, start + dim, address
        self._rows.append(own)
        return len(self._rows) - 1

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """The looks, and the sizes and strides that they point to."""
        shapes = np.array([*self._shapes, 0], np.int64)
        table = np.array([*self._rows, _NO_LOOK], _LOOK)
        for name in ("sizes", "strides"):
            table[name] = shapes.ctypes.data + 8 * table[name]
        return table, shapes


def served(dtype: torch.dtype) -> bool:
    """Whether machine code reads and writes numbers of this dtype here."""
    return dtype in NAMES and (dtype != torch.float16 or jit().half)


def _check(code: int) -> None:
    if code:
        raise RuntimeError(f"torch_parallel_for failed with code {code}")


def _numbers(tensor: Tensor) -> int:
    """How many real numbers a tensor holds."""
    return tensor.numel() * (2 if tensor.is_complex() else 1)


def _runs(tensors: Iterable[Iterable[Tensor]]) -> np.ndarray:
    """The runs of memory that dense tensors lie in, in order."""
    return _sorted(
        (t.data_ptr(), t.data_ptr() + t.numel() * t.element_size()) for own in tensors for t in own
    )


def _sorted(runs: Iterable[tuple[int, int]]) -> np.ndarray:
    return np.array(sorted(r for r in runs if r[0] < r[1]), np.uint64).reshape(-1, 2)


def _readable(param: Tensor, grad: Tensor | None, written: np.ndarray) -> bool:
    """Whether a gradient can be read where it lies: beside its parameter, and not written to."""
    if grad is None:
        return True
    if not (
        grad.layout == torch.strided
        and served(grad.dtype)
        and grad.is_complex() == param.is_complex()
        and grad.device == param.device
        and not grad.is_neg()
        and not grad.is_conj()
        and not grad._is_zerotensor()
        and same_layout(param, grad)
    ):
        return False
    begin = grad.data_ptr()
    end = begin + grad.numel() * grad.element_size()
    after = int(np.searchsorted(written[:, 1], np.uint64(begin), side="right"))
    return begin == end or after == len(written) or int(written[after, 0]) >= end
