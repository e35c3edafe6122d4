"""The plan of a step: which parameters are updated, by what code, with which scalars.

A plan is built once and serves as long as the tensors stay what they were.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter, is_
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.kernel import eager
from slalom.kernel.driver import Driver, driver
from slalom.kernel.jit import Unavailable
from slalom.kernel.local import LocalParts, localised
from slalom.kernel.rows import Group, Row
from slalom.kernel.table import Entry, NativeTable, reasons
from slalom.kernel.torch_c import holder_offset
from slalom.kernel.treatment import NonFiniteGradientError, Treatment, all_finite, square_sum

_cdata = attrgetter("_cdata")


class Plan:
    """How the present parameters of an optimizer are updated.

    Args:
        groups: the rules and hyper-parameters; ``options["params"]`` lists the parameters.
        entries: the parameters that have a gradient, with their states.
        states: parameter -> its state dict, as the optimizer holds it.
        counters: float array of a column a parameter: how often it was updated before, and below
            that the numbers of its rule. Advanced by a step.
        treatment: what is done to the gradients first.
        use_machine_code: False to run everything eagerly.

    Attributes:
        reasons: why each entry is served eagerly, None where machine code serves it.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        entries: Sequence[Entry],
        states: Mapping[Tensor, dict[str, Any]],
        counters: np.ndarray,
        treatment: Treatment = Treatment(),  # noqa: B008 - it cannot change
        *,
        use_machine_code: bool = True,
    ):
        self.groups, self.entries, self.counters = groups, entries, counters
        self.treatment = treatment
        self._params = [list(g.options["params"]) for g in groups]
        ids = [(ctypes.c_void_p * (len(p) + 1))(*map(id, p)) for p in self._params]
        self._listed = [
            (g.options, listed, ctypes.addressof(listed))
            for g, listed in zip(groups, ids, strict=True)
        ]
        columns = [e.counter for e in entries]
        self._columns = None if len(columns) == counters.shape[1] else columns
        self._counters_address = counters.ctypes.data
        self._counters_shape = counters.shape[1], counters.dtype == np.float64
        present = {id(e.param) for e in entries}
        self._absent = [p for p in chain(*self._params) if id(p) not in present]
        self._machine: Driver | None = None
        try:
            self._machine = driver() if use_machine_code else None
            none = "machine code was declined"
        except Unavailable as error:
            none = str(error)
        self._served = served = list(map(localised, entries))
        self.reasons = reasons(served) if self._machine else [none] * len(entries)
        self._eager = [i for i, reason in enumerate(self.reasons) if reason is not None]
        self._native = [i for i, reason in enumerate(self.reasons) if reason is None]
        pairs = [(e, s) for e, s in zip(entries, served, strict=True) if e is not s]
        self._parts = LocalParts(pairs) if pairs else None
        self._table = self._states = self._cdata = None
        if self._machine:
            if self._parts is not None:
                self._parts.lend()
            self._table = NativeTable([served[i] for i in self._native], self._absent, states)
            if self._parts is not None:
                self._parts.take_back()
        else:
            self._states = [[inner, *inner.values()] for inner in states.values()]
        if self._machine is None or holder_offset() is None:  # else the table sees swapped tensors
            self._cdata = list(map(_cdata, chain(*self._params)))
        layouts = [e.param.grad.layout for e in entries if e.param.grad is not None]
        self._layouts = [layouts[i] for i in self._eager]
        self._sparse = any(layout != torch.strided for layout in layouts)
        self._rounded = [i for i, e in enumerate(entries) if self._rounds(e)]
        if not self._assign_rows():
            raise ValueError("an entry lacks a state that its rule needs in its next update")

    @property
    def lost(self) -> str | None:
        """Why no parameter at all is served by machine code; None if one is, or there is none."""
        found = [r for e, r in zip(self.entries, self.reasons, strict=True) if not e.by_rows]
        return found[0] if found and None not in found else None

    def reasons_by_parameter(self) -> dict[int, str | None]:
        """Id of each present parameter -> why it is served eagerly, None if by machine code."""
        return {id(e.param): r for e, r in zip(self.entries, self.reasons, strict=True)}

    def matches(self, states: Mapping[Tensor, dict[str, Any]]) -> bool:
        """Whether parameters and states are still the very tensors this plan was built for."""
        if self._machine is not None:
            listed = self._machine.listed
            for options, _, address in self._listed:
                if not listed(id(options["params"]), address):
                    return False
        else:
            for group, params in zip(self.groups, self._params, strict=True):
                now = group.options["params"]
                if len(now) != len(params) or not all(map(is_, now, params)):
                    return False
        if self._cdata is not None and list(map(_cdata, chain(*self._params))) != self._cdata:
            return False
        if self._table is not None:
            return self._table.holds(states)
        assert self._states is not None
        return len(states) == len(self._states) and all(
            len(now) == len(then) - 1 and all(map(is_, (now, *now.values()), then))
            for now, then in zip(states.values(), self._states, strict=True)
        )

    def run(self, scale: float | None = None) -> bool:
        """Make one step; False, and nothing changed, if the plan does not fit as things are now.

        That is when a gradient is not what it was, or when the rule needs a state not yet made.
        ``scale`` is what the groups' ``grad_scale`` is before clipping; None where they have none.
        Raises :class:`NonFiniteGradientError` where the treatment says so; nothing is changed then.
        """
        if self._parts is None:
            return self._run(scale)
        try:
            return self._parts.lend() and self._run(scale)
        finally:
            self._parts.take_back()

    def _run(self, scale: float | None) -> bool:
        if self._counts().tobytes() != self._expected and not self._reassign_rows():
            return False
        grads = self._eager_grads() if self._eager else []
        if grads is None:
            return False
        if self._table is not None:
            if not self._table.gather():
                return False
        elif any(p.grad is not None for p in self._absent):
            return False
        if self.treatment.measures:
            total = self._square_sum(grads)
            if not math.isfinite(total) and not self._goes_on():
                return True
            if scale is not None:
                scale *= self.treatment.factor(math.sqrt(total) * abs(scale))
        extra = () if scale is None else (scale,)
        if self.treatment.clip_value is not None:
            extra = (*extra, self.treatment.clip_value)
        if self.treatment.independent_weight_decay is not None:
            extra = (*extra, self.treatment.independent_weight_decay)
        for row in self._rows:
            if not row.fill(*extra):
                if not self._reassign_rows():
                    return False
                for again in self._rows:
                    again.fill(*extra)
                break
        for i in self._rounded:
            self._row_of[i].draw(self.treatment.rounding_seed, self.entries[i].counter)
        if self._table is not None:
            self._table.run()
        for i, grad in zip(self._eager, grads, strict=True):
            entry, row = self._served[i], self._row_of[i]
            numbers = dict(zip(row.rule.numbers, row.numbers, strict=True))
            hypers = {**row.group.options, **dict(zip(row.group.treatment, extra, strict=True))}
            eager.update(
                row.rule, entry.param, grad, entry.state, numbers, hypers,
                step=row.count + 1, first=row.count == 0, by_rows=entry.by_rows,
                noise=row.noise,
            )  # fmt: skip
        self._advance()
        return True

    def _square_sum(self, eager: Sequence[Tensor]) -> float:
        """The sum of the squares of all gradients, those served eagerly being ``eager``."""
        if self._parts is not None:  # the table sees this process's parts alone
            return square_sum(e.param.grad for e in self.entries if e.param.grad is not None)
        return square_sum(eager) + (self._table.square_sum() if self._table else 0.0)

    def _goes_on(self) -> bool:
        """What to do about squares that do not sum up: go on, or skip the step, or raise."""
        choice = self.treatment.on_nonfinite
        named = [(e, e.param.grad) for e in self.entries]
        grads = [g for _, g in named if g is not None]
        if choice == "propagate" or all_finite(grads):  # large float64 values overflow in squares
            return True
        if choice == "raise":
            raise NonFiniteGradientError((self._name(e), g) for e, g in named if g is not None)
        return False

    def _name(self, entry: Entry) -> str:
        options = self.groups[entry.group].options
        place = next(i for i, p in enumerate(options["params"]) if p is entry.param)
        names = options.get("param_names")
        return names[place] if names else f"parameter {place} of group {entry.group}"

    def _eager_grads(self) -> list[Tensor] | None:
        """The gradients of what is served eagerly; None if one is missing or of another layout."""
        grads = []
        for i, layout in zip(self._eager, self._layouts, strict=True):
            grad = self._served[i].param.grad
            if grad is None or grad.layout != layout:
                return None
            grads.append(grad)
        return grads

    def _rounds(self, entry: Entry) -> bool:
        """Whether something of this entry is rounded by chance; then its row is its own."""
        return self.treatment.rounding == "stochastic" and any(
            t.dtype == torch.bfloat16 for t in (entry.param, *entry.state.values())
        )

    def _counts(self) -> np.ndarray:
        return self.counters if self._columns is None else self.counters[:, self._columns]

    def _advance(self) -> None:
        if self._columns is None and self._machine is not None:
            self._machine.count(self._counters_address, *self._counters_shape)
        else:
            self.counters[0, slice(None) if self._columns is None else self._columns] += 1
        for row in self._rows:
            row.advance(self.counters)
        self._expected = self._counts().tobytes()

    def _reassign_rows(self) -> bool:
        """As :meth:`_assign_rows` for what changed since; False where a gradient is sparse.

        Whether the rule, as its options are now, takes such gradients is for the optimizer to say.
        """
        return not self._sparse and self._assign_rows()

    def _assign_rows(self) -> bool:
        """Group the entries by group, step count and numbers; give each its code and its scalars.

        False if an entry lacks a state that its code needs.
        """
        counts = self._counts()
        rows: dict[tuple[float, ...], Row] = {}
        self._row_of: list[Row] = []
        for entry, column in zip(self.entries, counts.T.tolist(), strict=True):
            stochastic = self._rounds(entry)
            key = entry.group, *column, *((entry.counter,) if stochastic else ())
            if key not in rows:
                rows[key] = Row(self.groups[entry.group], *column)
                rows[key].stochastic = stochastic
            row = rows[key]
            if not entry.state.keys() >= set(row.program.live_state):
                return False
            row.columns.append(entry.counter)
            self._row_of.append(row)
        self._rows = list(rows.values())
        if self._table is not None:
            self._table.assign([self._row_of[i] for i in self._native])
        self._expected = counts.tobytes()
        return True
