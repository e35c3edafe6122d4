"""Rows of scalars: what the parameters of one group with one step count have in common."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np

from slalom.kernel.noise import noise_of
from slalom.kernel.program import Program, program_for
from slalom.rules.rule import Rule


@dataclass(frozen=True)
class Group:
    """A rule and where to read its hyper-parameters, afresh in every step.

    Attributes:
        rule: the rule, behind the treatment of its gradients.
        options: the hyper-parameters by name; beside them ``params``, the parameters.
        treatment: those that the treatment takes, as they are when it does nothing.
    """

    rule: Rule
    options: Mapping[str, Any]
    treatment: Mapping[str, float] = field(default_factory=dict)

    @property
    def hypers(self) -> dict[str, Any]:
        """All hyper-parameters of the rule."""
        return {**self.options, **self.treatment}


class Row:
    """The scalars of the parameters of one group with one step count and equal numbers.

    Attributes:
        program: the trace that serves the next step.
        count: how often these parameters were updated before.
        numbers: the present values of the rule's numbers.
        columns: the places of these parameters among the counters.
        address: of the scalars, doubles in the order of ``program.scalars``, and behind them the
            random bits of the step if ``stochastic``.
    """

    stochastic = False
    noise: int | None = None

    def __init__(self, group: Group, count: float, *numbers: float):
        self.rule, self.group = group.rule, group
        self.count = count
        self.numbers = numbers[: len(self.rule.numbers)]
        self.columns: list[int] = []
        self.program: Program = program_for(
            self.rule, group.hypers, count + 1, count == 0, *self.numbers
        )
        n = self._n = len(self.program.scalars)
        self._memory = (ctypes.c_double * (n + 1))()
        self.address = ctypes.addressof(self._memory)
        self._pack = struct.Struct(f"{n}d").pack_into
        self._options = group.options
        names = [n for n in self.rule.hypers if n not in group.treatment]
        self._hypers = itemgetter(*names) if len(names) > 1 else lambda o: [o[n] for n in names]

    def fill(self, *treatment: float) -> bool:
        """Compute the scalars of the next step; False if the program does not serve it.

        ``treatment`` are the present values of ``group.treatment``.
        """
        hypers = self._hypers(self._options)
        values = self.program.row(
            self.count + 1, self.count == 0, *hypers, *treatment, *self.numbers
        )
        if values is None:
            return False
        if self.numbers:
            values, self._next = values[: self._n], values[self._n :]
        self._pack(self._memory, 0, *values)
        return True

    def draw(self, seed: int, place: int) -> None:
        """Take the random bits of the next step of the one parameter that has this row."""
        self.noise = noise_of(seed, int(self.count), place)
        self._memory[self._n] = self.noise

    def advance(self, counters: np.ndarray) -> None:
        """Count the step that was made, and put the new numbers where the counters are."""
        self.count += 1
        if self.numbers:
            numbers = counters[1 : 1 + len(self._next)]
            numbers[:, self.columns] = np.array(self._next)[:, None]
            self.numbers = tuple(numbers[:, self.columns[0]].tolist())  # rounded, as they are kept
