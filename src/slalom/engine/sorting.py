"""The present slots of a plan in rows: each of one group, one step count and equal numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from slalom.backends.base import Counts, Slot
from slalom.backends.row import Row, Together
from slalom.ir.program import Program
from slalom.rules.definition import Rule

Options = Sequence[Mapping[str, Any]]

MANY = 16
"""Rows from which on they are computed as columns; as many by themselves take as long."""

OFTEN, EACH, SELDOM = 16, 4, 256
"""Slots that are sorted anew in more than one step of ``EACH`` + 1, for long enough, have a row
each, absent or not, until they stayed the same for ``OFTEN`` steps. Where that cannot be it is not
tried again for ``SELDOM`` sortings."""


class Sorting:
    """The rows of the present slots, and the scalars of every row.

    Args:
        rules: of each group its rule, behind the treatment of its gradients.
        counts: of all slots.
        group_of, set_of: of each slot its group, and the number of the names of its states.
        single: of each slot whether it has a row of its own.
        chance: of each slot whether something of it is rounded by chance.
        may_skip: whether rows may have slots that are absent.

    Attributes:
        rows: each with the places of its slots.
    """

    def __init__(
        self, rules: Sequence[Rule], counts: Counts, group_of: np.ndarray, set_of: np.ndarray,
        single: np.ndarray, chance: np.ndarray, may_skip: bool = False,
    ):  # fmt: skip
        self._may_skip = may_skip and len(group_of) >= MANY
        self._moved = 0  # how often they were sorted of late
        self._each = False  # whether every slot has a row of its own, absent or not
        self._rules, self._counts, self._group_of = rules, counts, group_of
        self._set_of, self._single, self._chance = set_of, single, chance
        self._lacks: list[set[str]] = []  # of each group the options that it never had
        self.rows: list[tuple[Row, np.ndarray]] = []
        self._apart: list[tuple[Row, int]] = []  # computed by themselves, and a slot of each
        self._together: list[Together] = []
        self._drawing: list[tuple[Row, int]] = []
        # Of each slot the first of its row, and who was present; None while they are being sorted.
        self._sorted: tuple[np.ndarray, np.ndarray] | None = None

    def holds(self) -> bool:
        """Whether those present are still the ones sorted last, and all of a row still alike."""
        if self._sorted is None:
            return False
        first, present = self._sorted
        values = self._counts.values
        if self._each:
            self._moved = OFTEN
            return bool((values[:, 0] > 0).all())
        alike = (values == values[first]) & (values[:, :1] >= 0)  # of others a row raises
        return np.array_equal(present, self._counts.present) and bool(alike[present != 0].all())

    def fill(self, options: Options, late: Options) -> bool:
        """Compute the scalars of every row; False where one is served by another program."""
        self._moved -= self._moved > 0
        if self._each and not self._moved:
            return False
        values = self._counts.values
        for row, first in self._apart:
            row.know(values[first])
            if not row.fill(options[row.group], late[row.group]):
                return False
        return all(together.fill(values, options, late) for together in self._together)

    def draw(self, seed: int, indices: Sequence[int]) -> None:
        """Take the random bits of the step, where something is rounded by chance."""
        for row, first in self._drawing:
            row.draw(seed, indices[first])

    def sort(self, options: Options, late: Options) -> None:
        """Sort the present slots into rows, by group, step count and numbers, and fill these.

        They hold from :meth:`settle` on.
        """
        self._sorted = None
        self._moved += EACH
        self._each = self._may_skip and not self._each and self._moved >= OFTEN
        self._each = self._each and bool((self._counts.values[:, 0] > 0).all())
        self._sort(options, late)
        if self._each and self._apart:
            self._each, self._moved = False, -EACH * SELDOM
            self._sort(options, late)

    def _sort(self, options: Options, late: Options) -> None:
        if not self._lacks:
            self._lacks = [r.hypers.keys() - g for r, g in zip(self._rules, options, strict=True)]
        counted = self._counts.present
        present = np.arange(len(counted)) if self._each else np.flatnonzero(counted)
        keys = np.column_stack(
            [
                self._group_of[present],
                self._set_of[present],
                np.where(self._single[present] | self._each, present, -1),
                self._counts.wide[present],
                self._counts.values[present],
            ]
        )
        known = {row.group: row.program for row, _ in self.rows}
        self.rows, self._apart, self._together = [], [], []
        of_rule: dict[Rule, list[tuple[Row, int]]] = {}
        for key, places in sorted_out(keys, present):
            group, _, _, _, count, *numbers = key
            rule = self._rules[int(group)]
            own = numbers[: len(rule.numbers)]
            row = Row(rule, int(group), count, own, self._lacks[int(group)])
            row.program = known.get(row.group)
            row.noise = 0 if self._chance[places[0]] else None
            self.rows.append((row, places))
            of_rule.setdefault(rule, []).append((row, int(places[0])))
        for rows in of_rule.values():
            self._fill_anew(rows, options, late)
        self._drawing = [(r, int(places[0])) for r, places in self.rows if r.noise is not None]

    def settle(self) -> None:
        """Rely on the rows as they were sorted."""
        first = np.zeros(len(self._group_of), np.intp)
        for _, places in self.rows:
            first[places] = places[0]
        self._sorted = first, self._counts.present.copy()

    def _fill_anew(self, rows: Sequence[tuple[Row, int]], options: Options, late: Options) -> None:
        """Find the programs of the rows of one rule, and fill them, as columns where many share."""
        last: Program | None = None
        of_program: dict[Program, list[tuple[Row, int]]] = {}
        for row, first in rows:
            own = options[row.group], late[row.group]
            row.program = row.program or last
            if row.program is None or not row.fill(*own):
                row.choose(*own)
                row.fill(*own)
            if last is None and len(rows) >= MANY:
                assert row.program is not None
                if self._joined(rows, row.program, options, late):
                    return
            last = row.program
            assert last is not None
            of_program.setdefault(last, []).append((row, first))
        for program, alike in of_program.items():
            if len(alike) < MANY or not self._joined(alike, program, options, late):
                self._apart += alike

    def _joined(
        self, rows: Sequence[tuple[Row, int]], program: Program, options: Options, late: Options
    ) -> bool:
        """Have rows computed together from now on; False where a program does not serve all."""
        together = Together([row for row, _ in rows], [first for _, first in rows], program)
        if not together.fill(self._counts.values, options, late):
            return False
        for place, (row, _) in enumerate(rows):
            row.program = program
            row.join(together, place)
        self._together.append(together)
        return True


def sorted_out(keys: np.ndarray, places: np.ndarray) -> list[tuple[list[float], np.ndarray]]:
    """The places by their keys (a row of them each), equal keys together."""
    if not len(places):
        return []
    if (keys == keys[0]).all():
        return [(keys[0].tolist(), places)]
    unique, which = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(which, kind="stable")
    ends = np.cumsum(np.bincount(which, minlength=len(unique)))[:-1]
    return list(zip(unique.tolist(), np.split(places[order], ends), strict=True))


def alone(slot: Slot) -> Slot:
    """The same, to be updated by itself."""
    return replace(slot, alone=True, kind=None)


def names_of_kept(slot: Slot, rule: Rule) -> tuple[str, ...]:
    """What a slot's state calls what is held of it: states, its step count and its numbers."""
    counted = ("step",) if slot.kept[0] is not None else ()
    return (*slot.state, *counted, *rule.numbers)
