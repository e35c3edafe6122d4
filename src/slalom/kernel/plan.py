"""The plan of a step: which parameters are updated, by what code, with which scalars.

A plan is built once and serves as long as the tensors stay what they were. A step then reads
every tensor's address, computes each row of scalars, and makes one call into machine code.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from operator import attrgetter, is_, itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.kernel import eager
from slalom.kernel.driver import (
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
from slalom.kernel.jit import Unavailable, jit
from slalom.kernel.layout import is_dense, overlapping, same_layout
from slalom.kernel.lower import Arrays, lower
from slalom.kernel.program import Program, program_for
from slalom.kernel.torch_c import dtype_code, holder_offset
from slalom.rules.rule import Rule

NAMES = {torch.float32: "float", torch.float64: "double"}
"""The dtypes that machine code serves, as LLVM calls them."""

GRAIN = 65536
"""Elements below which a step stays on the calling thread: a fork costs more than they do."""

HELD = 1048576
"""Elements up to which a step holds the interpreter: it is over before another thread could run."""

_grad, _cdata = attrgetter("grad"), attrgetter("_cdata")


@dataclass(frozen=True)
class Entry:
    """One parameter with a gradient: its tensors, its group, and its place among the counters."""

    param: Tensor
    state: Mapping[str, Tensor]
    group: int
    counter: int


@dataclass(frozen=True)
class Group:
    """A rule and where to read its hyper-parameters, afresh in every step."""

    rule: Rule
    options: Mapping[str, Any]


class _Row:
    """The parameters of one group with one step count and equal numbers: they share scalars."""

    def __init__(self, group: Group, count: float, *numbers: float):
        self.rule = group.rule
        self.options = group.options
        self.count = count
        self.numbers = numbers[: len(self.rule.numbers)]
        self.counters: list[int] = []
        self.program: Program = program_for(
            self.rule, self.options, count + 1, count == 0, *self.numbers
        )
        n = self._n = len(self.program.scalars)
        self.memory = (ctypes.c_double * max(n, 1))()
        self.address = ctypes.addressof(self.memory)
        self._pack = struct.Struct(f"{n}d").pack_into
        names = tuple(self.rule.hypers)
        self._hypers = itemgetter(*names) if len(names) > 1 else lambda o: [o[n] for n in names]

    def fill(self) -> bool:
        """Compute the scalars of the next step; False if the program does not serve it."""
        hypers = self._hypers(self.options)
        values = self.program.row(self.count + 1, self.count == 0, *hypers, *self.numbers)
        if values is None:
            return False
        if self.numbers:
            values, self._next = values[: self._n], values[self._n :]
        self._pack(self.memory, 0, *values)
        return True

    def advance(self, counters: np.ndarray) -> None:
        """Count the step that was made, and put the new numbers where the counters are."""
        self.count += 1
        if self.numbers:
            numbers = counters[1 : 1 + len(self._next)]
            numbers[:, self.counters] = np.array(self._next)[:, None]
            self.numbers = tuple(numbers[:, self.counters[0]].tolist())  # rounded, as they are kept


class Plan:
    """How the present parameters of an optimizer are updated.

    Args:
        groups: the rules and hyper-parameters; ``options["params"]`` lists the parameters.
        entries: the parameters that have a gradient, with their states.
        states: parameter -> its state dict, as the optimizer holds it.
        counters: float array of a column a parameter: how often it was updated before, and below
            that the numbers of its rule. Advanced by a step.
        use_machine_code: False to run everything eagerly.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        entries: Sequence[Entry],
        states: Mapping[Tensor, dict[str, Any]],
        counters: np.ndarray,
        *,
        use_machine_code: bool = True,
    ):
        self.groups, self.entries, self.counters = groups, entries, counters
        self._params = [list(g.options["params"]) for g in groups]
        self._states = [[inner, *inner.values()] for inner in states.values()]
        swaps_seen = holder_offset() is not None  # by the driver, without a word of Python
        self._cdata = None if swaps_seen else list(map(_cdata, chain(*self._params)))
        self._used = np.array([e.counter for e in entries], dtype=np.int64)
        self._all = len(self._used) == counters.shape[1]
        self.reasons = self._find_reasons(use_machine_code)
        native = [i for i, reason in enumerate(self.reasons) if reason is None]
        present = {id(e.param) for e in entries}
        absent = [p for params in self._params for p in params if id(p) not in present]
        self._eager = [i for i, reason in enumerate(self.reasons) if reason is not None]
        self._native = native
        self._copies: list[tuple[Tensor, Tensor]] = []
        self._absent = absent
        self._has_table = self.table_reason is None
        if self._has_table:
            self._build_table()
        if not self._assign_rows():
            raise ValueError("an entry lacks a state that its rule needs in its next update")

    @property
    def lost(self) -> str | None:
        """Why no parameter at all is served by machine code; None if one is, or there is none."""
        return self.reasons[0] if self.reasons and None not in self.reasons else None

    def reasons_by_parameter(self) -> dict[int, str | None]:
        """Id of each present parameter -> why it is served eagerly, None if by machine code."""
        return {id(e.param): r for e, r in zip(self.entries, self.reasons, strict=True)}

    def matches(self, states: Mapping[Tensor, dict[str, Any]]) -> bool:
        """Whether parameters and states are still the very tensors this plan was built for."""
        for group, params in zip(self.groups, self._params, strict=True):
            now = group.options["params"]
            if len(now) != len(params) or not all(map(is_, now, params)):
                return False
        if self._cdata is not None and list(map(_cdata, chain(*self._params))) != self._cdata:
            return False
        if self._has_table:
            return bool(self._driver.same(id(states), self._listed_address))
        return len(states) == len(self._states) and all(
            len(now) == len(then) - 1 and all(map(is_, (now, *now.values()), then))
            for now, then in zip(states.values(), self._states, strict=True)
        )

    def run(self) -> bool:
        """Make one step; False, and nothing changed, if the plan does not fit as things are now.

        That is when a gradient is not what it was, or when the rule needs a state not yet made.
        """
        if self._counts().tobytes() != self._expected and not self._assign_rows():
            return False
        if not all(row.fill() for row in self._rows):
            if not self._assign_rows():
                return False
            for row in self._rows:
                row.fill()
        grads = [self.entries[i].param.grad for i in self._eager]
        eager_grads = [g for g in grads if g is not None]
        if len(eager_grads) != len(grads):
            return False
        if not self._has_table:
            if any(p.grad is not None for p in self._absent):
                return False
        else:
            for buffer, param in self._copies:
                if param.grad is None:
                    return False
                _copy(buffer, param.grad)
            if self._driver.gather(self._table_address):
                return False
            if self._elements > HELD:
                # another thread may drop these while the interpreter is free
                kept = list(map(_grad, self._native_params))
                code = self._driver.run(self._table_address)
                del kept
            else:
                code = self._driver.run_held(self._table_address)
            if code:
                raise RuntimeError(f"torch_parallel_for failed with code {code}")
        for i, grad in zip(self._eager, eager_grads, strict=True):
            entry, row = self.entries[i], self._row_of[i]
            numbers = dict(zip(row.rule.numbers, row.numbers, strict=True))
            eager.update(
                row.rule, entry.param, grad, entry.state, numbers, row.options,
                step=row.count + 1, first=row.count == 0,
            )  # fmt: skip
        self._advance()
        return True

    def _counts(self) -> np.ndarray:
        return self.counters if self._all else self.counters[:, self._used]

    def _advance(self) -> None:
        if self._all:
            self.counters[0] += 1
        else:
            self.counters[0, self._used] += 1
        for row in self._rows:
            row.advance(self.counters)
        self._expected = self._counts().tobytes()

    def _find_reasons(self, use_machine_code: bool) -> list[str | None]:
        """Why each entry is served eagerly; None where machine code serves it."""
        self.table_reason: str | None = None
        if not use_machine_code:
            self.table_reason = "machine code was declined"
        else:
            try:
                self._driver = driver()
            except Unavailable as error:
                self.table_reason = str(error)
        if self.table_reason is not None:
            return [self.table_reason] * len(self.entries)
        reasons = [_reason(e) for e in self.entries]
        spans, owners = [], []
        for i, (entry, reason) in enumerate(zip(self.entries, reasons, strict=True)):
            for tensor in (entry.param, *entry.state.values()) if reason is None else ():
                start = tensor.data_ptr()
                spans.append((start, start + tensor.numel() * tensor.element_size()))
                owners.append(i)
        for span in overlapping(spans):
            reasons[owners[span]] = "its memory overlaps that of another tensor of the step"
        return reasons

    def _build_table(self) -> None:
        """The checks and segments of the native entries, and the checks of absent gradients."""
        checks: list[tuple[Any, ...]] = []
        self._memory: list[Any] = []  # what the table points to
        numels, firsts = [], []
        self._arrays_of: dict[int, Arrays] = {}
        places = []
        offset = holder_offset()
        for i in self._native:
            entry = self.entries[i]
            param, grad = entry.param, entry.param.grad
            assert grad is not None
            sizes = (ctypes.c_int64 * param.dim())(*param.shape)
            strides = (ctypes.c_int64 * param.dim())(*param.stride())
            shape = (param.dim(), ctypes.addressof(sizes), ctypes.addressof(strides))
            self._memory += [sizes, strides]
            places.append(len(checks))
            kind = PLAIN if param.is_inference() else PARAM
            held = id(param) + offset if offset else None
            checks.append((param._cdata, kind, held, dtype_code(param.dtype), *shape))
            if _fits(param, grad):
                checks.append((param._cdata, GRAD_OF, None, dtype_code(grad.dtype), *shape))
                grad_name = NAMES[grad.dtype]
            else:
                buffer = torch.empty_like(param)
                self._copies.append((buffer, param))
                checks.append((buffer._cdata, PLAIN, None, dtype_code(buffer.dtype), *shape))
                grad_name = NAMES[buffer.dtype]
            arrays = [("param", NAMES[param.dtype]), ("grad", grad_name)]
            for name, tensor in entry.state.items():
                code = dtype_code(tensor.dtype)
                checks.append((tensor._cdata, STATE, None, code, *shape, tensor.data_ptr()))
                arrays.append((name, NAMES[tensor.dtype]))
            self._arrays_of[i] = tuple(arrays)
            numels.append(param.numel())
            firsts.append(firsts[-1] + -(-numels[-2] // LINE) if firsts else 0)
        n = len(checks)
        for p in self._absent:
            checks.append((p._cdata, NO_GRAD_OF, id(p) + offset if offset else None))
        self._checks = (Check * max(len(checks), 1))(*checks)
        self._arrays = (ctypes.c_void_p * max(n, 1))()
        base = ctypes.addressof(self._arrays)
        self._segments = (Segment * max(len(numels), 1))()
        for segment, place, numel, first in zip(
            self._segments, places, numels, firsts, strict=False
        ):
            segment.arrays = base + place * ctypes.sizeof(ctypes.c_void_p)
            segment.numel, segment.first_line = numel, first
        self._elements = sum(numels)
        self._native_params = [self.entries[i].param for i in self._native]
        listed = [0 if o is None else id(o) for inner in self._states for o in (*inner, None)]
        self._listed = (ctypes.c_void_p * (len(listed) + 1))(*listed)
        self._listed_address = ctypes.addressof(self._listed)
        self._table = Table(
            ctypes.addressof(self._driver.functions), ctypes.addressof(self._checks), len(checks),
            base, ctypes.addressof(self._segments), len(numels),
            firsts[-1] + -(-numels[-1] // LINE) if firsts else 0, GRAIN // LINE,
        )  # fmt: skip
        self._table_address = ctypes.addressof(self._table)

    def _assign_rows(self) -> bool:
        """Group the entries by group, step count and numbers; give each its code and its scalars.

        False if an entry lacks a state that its code needs.
        """
        counts = self._counts()
        rows: dict[tuple[float, ...], _Row] = {}
        self._row_of: list[_Row] = []
        for entry, column in zip(self.entries, counts.T.tolist(), strict=True):
            key = entry.group, *column
            if key not in rows:
                rows[key] = _Row(self.groups[entry.group], *column)
            row = rows[key]
            if not entry.state.keys() >= set(row.program.live_state):
                return False
            row.counters.append(entry.counter)
            self._row_of.append(row)
        self._rows = list(rows.values())
        if self._has_table:
            for segment, i in zip(self._segments, self._native, strict=False):
                row = self._row_of[i]
                segment.row = row.address
                segment.update = machine_code(row.program, self._arrays_of[i])
        self._expected = counts.tobytes()
        return True


@cache
def machine_code(program: Program, arrays: Arrays) -> int:
    """The address of the compiled loop of a program over arrays of these types."""
    compiler = jit()
    (address,) = compiler.compile(lower(program, arrays, fma=compiler.fma), "update")
    return address


def _reason(entry: Entry) -> str | None:
    """Why machine code cannot serve this parameter; None if it can."""
    param = entry.param
    if type(param) not in (Tensor, torch.nn.Parameter):
        return f"it is a {type(param).__name__}, a subclass of Tensor"
    if param.device.type != "cpu":
        return f"it is on {param.device}; machine code is made for the CPU"
    if param.layout != torch.strided:
        return f"its layout is {param.layout}"
    if param.is_conj() or param.is_neg():
        return "it is a lazily conjugated or negated view"
    if not is_dense(param):
        return "its elements have gaps between them or share memory"
    for name, tensor in (("it", param), *entry.state.items()):
        if tensor.dtype not in NAMES:
            return f"{'it' if name == 'it' else f'its {name}'} is {tensor.dtype}"
        if tensor.device != param.device or not same_layout(param, tensor):
            return f"its {name} does not lie in memory as the parameter does"
    return None


def _fits(param: Tensor, grad: Tensor) -> bool:
    """Whether a gradient can be read where it lies, element beside element of its parameter."""
    return (
        grad.layout == torch.strided
        and grad.dtype in NAMES
        and grad.device == param.device
        and not grad.is_neg()
        and not grad.is_conj()
        and same_layout(param, grad)
    )


def _copy(buffer: Tensor, grad: Tensor) -> None:
    with torch.no_grad():
        buffer.copy_(grad.to_dense() if grad.layout != torch.strided else grad)
