"""The tensors of a step as machine code sees them: checks, segments, and what lies ready for them.

A table is built once for a plan. In a step it reads every tensor's address, compares what has to
be as it was, and makes one call that updates all.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.kernel.driver import (
    BLOCK,
    GRAD_OF,
    LINE,
    NO_GRAD_OF,
    PARAM,
    PLAIN,
    STATE,
    Check,
    Segment,
    Table,
    driver,
)
from slalom.kernel.jit import jit
from slalom.kernel.layout import is_dense, overlapping, same_layout
from slalom.kernel.local import is_distributed
from slalom.kernel.lower import Arrays, lower
from slalom.kernel.program import Program
from slalom.kernel.rows import Row
from slalom.kernel.square import square
from slalom.kernel.torch_c import dtype_code, holder_offset

NAMES = {
    torch.float32: "float", torch.float64: "double", torch.bfloat16: "bfloat",
    torch.float16: "half", torch.complex64: "float", torch.complex128: "double",
}  # fmt: skip
"""The dtypes that machine code serves, as LLVM calls them; complex numbers are pairs of reals."""

GRAIN = 65536
"""Elements below which a step stays on the calling thread: a fork costs more than they do."""

HELD = 1048576
"""Elements up to which a step holds the interpreter: it is over before another thread could run."""

_grad = attrgetter("grad")


@dataclass(frozen=True)
class Entry:
    """One parameter with a gradient: its tensors, its group, and its place among the counters.

    ``by_rows``: its gradient is sparse, and what that does not touch stays as it is.
    """

    param: Tensor
    state: Mapping[str, Tensor]
    group: int
    counter: int
    by_rows: bool = False


class NativeTable:
    """What machine code needs of the entries it serves.

    Args:
        entries: each of them fit to be served; see :func:`reasons`.
        absent: parameters that have no gradient, which must stay so for the table to hold.
        states: parameter -> its state dict, as the optimizer holds it.

    Raises :class:`slalom.kernel.jit.Unavailable` where there is no machine code.
    """

    def __init__(
        self, entries: Sequence[Entry], absent: Sequence[Tensor], states: Mapping[Tensor, Any]
    ):
        self._driver = driver()
        self._memory: list[Any] = []  # what the table points to
        self._copies: list[tuple[Tensor, Tensor, torch.layout]] = []
        self._types: list[Arrays] = []
        checks: list[tuple[Any, ...]] = []
        places = []
        for entry in entries:
            places.append(len(checks))
            checks += self._checks_of(entry)
        offset = holder_offset()
        arrays = (ctypes.c_void_p * max(len(checks), 1))()
        for p in absent:
            checks.append((p._cdata, NO_GRAD_OF, id(p) + offset if offset else None))
        check_array = (Check * max(len(checks), 1))(*checks)
        base = ctypes.addressof(arrays)
        self._segments = (Segment * max(len(entries), 1))()
        line = 0
        for i, (segment, place, entry) in enumerate(
            zip(self._segments, places, entries, strict=False)
        ):
            segment.arrays = base + place * ctypes.sizeof(ctypes.c_void_p)
            segment.square = square(dict(self._types[i])["grad"])
            segment.numel, segment.first_line = _numbers(entry.param), line
            line += -(-segment.numel // LINE)
        self._elements = sum(_numbers(e.param) for e in entries)
        self._params = [e.param for e in entries]
        self._sums = np.zeros(-(-line // BLOCK))
        self._states = [[inner, *inner.values()] for inner in states.values()]
        listed = [0 if o is None else id(o) for inner in self._states for o in (*inner, None)]
        self._listed = (ctypes.c_void_p * (len(listed) + 1))(*listed)  # null at the end
        self._listed_address = ctypes.addressof(self._listed)
        self._table = Table(
            ctypes.addressof(self._driver.functions), ctypes.addressof(check_array), len(checks),
            base, ctypes.addressof(self._segments), len(entries), line, GRAIN // LINE,
            self._sums.ctypes.data,
        )  # fmt: skip
        self._memory += [arrays, check_array]
        self._address = ctypes.addressof(self._table)

    def holds(self, states: Mapping[Tensor, Any]) -> bool:
        """Whether the state tensors are still the very objects the table was built of."""
        return bool(self._driver.same(id(states), self._listed_address))

    def assign(self, rows: Sequence[Row]) -> None:
        """Give each entry, in order, its code and its scalars."""
        for segment, types, row in zip(self._segments, self._types, rows, strict=False):
            segment.row = row.address
            segment.update = machine_code(row.program, types, row.stochastic)

    def gather(self) -> bool:
        """Read every tensor's address; False if one is not what it was, and nothing may be run."""
        for buffer, param, layout in self._copies:
            grad = param.grad
            if grad is None or grad.layout != layout:
                return False
            with torch.no_grad():
                buffer.copy_(grad if layout == torch.strided else grad.to_dense())
        return not self._driver.gather(self._address)

    def square_sum(self) -> float:
        """The sum of the squares of all gradients, in double precision, as gathered just before."""
        kept = list(map(_grad, self._params))
        _check(self._driver.measure(self._address))
        del kept
        return float(self._sums.sum())

    def run(self) -> None:
        """Update every entry, at the addresses gathered just before."""
        if self._elements > HELD:
            kept = list(map(_grad, self._params))  # another thread may drop them meanwhile
            _check(self._driver.run(self._address))
            del kept
        else:
            _check(self._driver.run_held(self._address))

    def _checks_of(self, entry: Entry) -> list[tuple[Any, ...]]:
        """The checks of one entry: its parameter, its gradient or the copy of it, its states."""
        param, grad = entry.param, entry.param.grad
        assert grad is not None
        sizes = (ctypes.c_int64 * param.dim())(*param.shape)
        strides = (ctypes.c_int64 * param.dim())(*param.stride())
        self._memory += [sizes, strides]
        shape = (param.dim(), ctypes.addressof(sizes), ctypes.addressof(strides))
        offset = holder_offset()
        kind = PLAIN if param.is_inference() else PARAM
        held = id(param) + offset if offset else None
        checks: list[Any] = [(param._cdata, kind, held, dtype_code(param.dtype), *shape)]
        if _fits(param, grad):
            checks.append((param._cdata, GRAD_OF, None, dtype_code(grad.dtype), *shape))
        else:
            layout, grad = grad.layout, torch.empty_like(param)
            self._copies.append((grad, param, layout))
            checks.append((grad._cdata, PLAIN, None, dtype_code(grad.dtype), *shape))
        types = [("param", NAMES[param.dtype]), ("grad", NAMES[grad.dtype])]
        for name, tensor in entry.state.items():
            code = dtype_code(tensor.dtype)
            checks.append((tensor._cdata, STATE, None, code, *shape, tensor.data_ptr()))
            types.append((name, NAMES[tensor.dtype]))
        self._types.append(tuple(types))
        return checks


@cache
def machine_code(program: Program, arrays: Arrays, stochastic: bool = False) -> int:
    """The address of the compiled loop of a program over arrays of these types."""
    compiler = jit()
    text = lower(program, arrays, fma=compiler.fma, stochastic=stochastic)
    (address,) = compiler.compile(text, "update")
    return address


def reasons(entries: Sequence[Entry]) -> list[str | None]:
    """Why machine code cannot serve each entry; None where it can."""
    found = [_reason(e) for e in entries]
    spans, owners = [], []
    for i, (entry, reason) in enumerate(zip(entries, found, strict=True)):
        for tensor in (entry.param, *entry.state.values()) if reason is None else ():
            start = tensor.data_ptr()
            spans.append((start, start + tensor.numel() * tensor.element_size()))
            owners.append(i)
    for span in overlapping(spans):
        found[owners[span]] = "its memory overlaps that of another tensor of the step"
    return found


def _check(code: int) -> None:
    if code:
        raise RuntimeError(f"torch_parallel_for failed with code {code}")


def _reason(entry: Entry) -> str | None:
    param = entry.param
    if is_distributed(param):
        return "it is a DTensor whose gradient or state is not plain memory distributed as it is"
    if type(param) not in (Tensor, torch.nn.Parameter):
        return f"it is a {type(param).__name__}, a subclass of Tensor"
    if param.device.type != "cpu":
        return f"it is on {param.device}; machine code is made for the CPU"
    if param.layout != torch.strided:
        return f"its layout is {param.layout}"
    if entry.by_rows:
        return "its gradient is sparse, and only the rows that it touches are updated"
    if param.is_conj() or param.is_neg():
        return "it is a lazily conjugated or negated view"
    if not is_dense(param):
        return "its elements have gaps between them or share memory"
    for name, tensor in (("it", param), *entry.state.items()):
        if not _served(tensor.dtype) or tensor.is_complex() != param.is_complex():
            return f"{'it' if name == 'it' else f'its {name}'} is {tensor.dtype}"
        if tensor.device != param.device or not same_layout(param, tensor):
            return f"its {name} does not lie in memory as the parameter does"
    return None


def _served(dtype: torch.dtype) -> bool:
    return dtype in NAMES and (dtype != torch.float16 or jit().half)


def _numbers(tensor: Tensor) -> int:
    """How many real numbers a tensor holds."""
    return tensor.numel() * (2 if tensor.is_complex() else 1)


def _fits(param: Tensor, grad: Tensor) -> bool:
    """Whether a gradient can be read where it lies, element beside element of its parameter."""
    return (
        grad.layout == torch.strided
        and _served(grad.dtype)
        and grad.is_complex() == param.is_complex()
        and grad.device == param.device
        and not grad.is_neg()
        and not grad.is_conj()
        and same_layout(param, grad)
    )
