"""The scalars of parameters that are alike: a row of them, or many rows computed as columns.

Scalars of rows without numbers of their own hang on nothing but the options of a group and a step
count. Those of some counts to come are kept while options stay, and a step only picks its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from operator import is_, itemgetter
from typing import Any

import numpy as np

from slalom.backends.rounding import noise_of
from slalom.ir.known import program_for
from slalom.ir.program import Program
from slalom.rules.definition import Rule

Options = Sequence[Mapping[str, Any]]

LEAST, AHEAD = 4, 64
"""Of scalars that are kept by step count: for how many steps, where there are many and few."""


class Row:
    """The scalars of the parameters of one group with one step count and equal numbers.

    ``lacks`` are the options that the group never had, which have their defaults. Raises ValueError
    for a count below 0.

    Attributes:
        rule: the group's rule, behind the treatment of its gradients.
        group: the group's place.
        program: the trace that serves the next step.
        noise: random bits of the step, where something is rounded by chance; else None.
        together, place: the rows that it is computed with and its place among them; ``together`` is
            None where it is computed by itself.
    """

    noise: int | None = None
    together: Together | None = None
    _values: Sequence[Any]
    place: int

    def __init__(
        self, rule: Rule, group: int, count: float, numbers: Sequence[float], lacks: Collection[str]
    ):
        if count < 0:
            raise ValueError(f"a step count of {rule.name} is {count:g}; it must be 0 or more")
        self.rule, self.group = rule, group
        self._count, self._numbers, self._lacks = count, numbers, lacks
        self._defaults, self._own = _taken(rule)
        self.program: Program | None = None

    def know(self, values: np.ndarray) -> None:
        """Take over count and numbers as they are now, of one of its parameters."""
        if self._numbers:
            self._count, *numbers = values.tolist()
            self._numbers = numbers[: len(self._numbers)]
        else:
            self._count = values.item(0)

    def choose(self, options: Mapping[str, Any], late: Mapping[str, Any]) -> Program:
        """Find the program for the options as they are now."""
        self.program = program_for(
            self.rule, {**options, **late}, self._count + 1, self._count == 0, *self._numbers
        )
        return self.program

    def fill(self, options: Mapping[str, Any], late: Mapping[str, Any]) -> bool:
        """Compute the scalars of the next step; False if the program does not serve it."""
        assert self.program is not None
        own = self.taken(options, late)
        values = self.program.row(self._count + 1, self._count == 0, *own, *self._numbers)
        if values is None:
            return False
        self._values = values
        return True

    def taken(self, options: Mapping[str, Any], late: Mapping[str, Any]) -> Sequence[Any]:
        """The values of ``rule.hypers``."""
        try:
            own = self._own(options)
        except KeyError:
            own = [self._option(n, options) for n in self._defaults]
        return [*own, *(late[name] for name in self.rule.late)] if late else own

    def _option(self, name: str, options: Mapping[str, Any]) -> Any:
        """What a group says of an option, or that of which it was silent from the beginning."""
        if name not in options and name not in self._lacks:
            raise RuntimeError(f"parameter group {self.group} has no {name!r} any more")
        return options.get(name, self._defaults[name])

    def join(self, together: Together, place: int) -> None:
        """Be computed with others from now on."""
        self.together, self.place = together, place

    @property
    def count(self) -> float:
        """How often these parameters were updated before."""
        together = self.together
        return self._count if together is None else together.counts.item(self.place)

    @property
    def values(self) -> Sequence[Any]:
        """The scalars of the step in the order of ``program.scalars``, then the new numbers."""
        together = self.together
        return self._values if together is None else together.values[self.place].tolist()

    @property
    def next_numbers(self) -> Sequence[Any]:
        """What the rule's numbers become in this step."""
        assert self.program is not None
        return self.values[len(self.program.scalars) :]

    def draw(self, seed: int, place: int) -> None:
        """Take the random bits of the next step of the one parameter that has this row."""
        self.noise = noise_of(seed, int(self.count), place)


class Together:
    """Many rows of one program, computed as columns: see :mod:`slalom.ir.columns`.

    ``firsts`` are the places of one slot of each row.

    Attributes:
        counts: float64 of shape (rows,): how often the parameters of each were updated before.
        values: float64 of shape (rows, scalars and new numbers); see :attr:`Row.values`.
    """

    counts: np.ndarray
    values: np.ndarray

    def __init__(self, rows: Sequence[Row], firsts: Sequence[int], program: Program):
        self._program, self._firsts = program, np.array(firsts, np.intp)
        groups, self._group_of = np.unique([row.group for row in rows], return_inverse=True)
        of_group = {row.group: row for row in rows}
        self._places = groups.tolist()
        self._groups = [of_group[group] for group in self._places]
        self._kept = None if program.rule.numbers else _ByCount(program, self._group_of)

    def fill(self, values: np.ndarray, options: Options, late: Options) -> bool:
        """Compute the scalars of the next step; False where that is for each row by itself.

        ``values`` are counts and numbers of all slots, the others those of all groups.
        """
        program, own = self._program, self._taken(options, late)
        given = values[self._firsts]
        counts, numbers = given[:, 0], given[:, 1 : 1 + len(program.rule.numbers)]
        found = None if self._kept is None else self._kept.of(counts, own)
        if found is None:
            found = program.rows(counts, numbers, own, self._group_of)
        if found is None:
            return False
        self.counts, self.values = counts, found
        return True

    def _taken(self, options: Options, late: Options) -> list[Sequence[Any]]:
        """The values of ``rule.hypers`` of each group."""
        if not self._program.rule.late:
            try:
                return list(map(_taken(self._program.rule)[1], [options[g] for g in self._places]))
            except KeyError:
                pass
        return [row.taken(options[row.group], late[row.group]) for row in self._groups]


class _ByCount:
    """The scalars of rows by group and step count, for the counts that are there and some more.

    They are computed anew when a row has come to the end of its counts, and when options change,
    in every step if need be: powers of the same counts are kept then. What is kept says of which
    group and count it is, so that none is taken for another.
    """

    def __init__(self, program: Program, group_of: np.ndarray):
        self._program, self._group_of = program, group_of
        self._counts, self._among = np.empty(0), np.empty(0, np.intp)  # and the group of each
        self._which = np.zeros(len(group_of), np.intp)  # where each row was in the last step
        self._table, self._wait = np.empty((0, 1)), 0
        self._own: list[Sequence[Any]] | None = None  # the options that it was computed with

    def of(self, counts: np.ndarray, own: list[Sequence[Any]]) -> np.ndarray | None:
        """The scalars of each row; None where they are to be computed for this step alone."""
        if self._wait or (counts == counts[0]).all():
            self._wait -= self._wait > 0
            return None
        if not self._found(counts):
            self._own = None
            self._reach(counts)
        if self._own is None or not all(map(_same, own, self._own)):
            no_numbers = np.empty((len(self._counts), 0))
            table = self._program.rows(self._counts, no_numbers, own, self._among)
            if table is None:
                self._wait = AHEAD
                return None
            self._table, self._own = table, own if all(map(_stays, own)) else None
        return self._table.take(self._which, 0)

    def _found(self, counts: np.ndarray) -> bool:
        """Whether each row is where it was, or was counted once since."""
        try:
            which = self._which = self._which + (counts > self._counts.take(self._which))
            same = (self._counts.take(which) == counts) & (
                self._among.take(which) == self._group_of
            )
        except IndexError:
            return False
        return bool(same.all())

    def _reach(self, counts: np.ndarray) -> None:
        """Take the counts that are there now, each with those that come after it."""
        pairs, begins = np.unique([self._group_of, counts], axis=1, return_inverse=True)
        ahead = max(LEAST, min(AHEAD, 2 * len(counts) // pairs.shape[1]))
        group, count = pairs
        lengths = np.full(len(count), ahead)  # of each, to where the next one of its group begins
        followed = np.flatnonzero(group[1:] == group[:-1])
        lengths[followed] = np.minimum(ahead, np.ceil(np.diff(count))[followed])
        starts = np.cumsum(lengths) - lengths
        self._among = group.astype(np.intp).repeat(lengths)
        since = np.arange(lengths.sum()) - starts.repeat(lengths)
        self._counts = count.repeat(lengths) + since
        self._which = starts[begins.ravel()]


def _same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return all(map(is_, one, other))


def _stays(options: Sequence[Any]) -> bool:
    """Whether these can be nothing else as long as they are the same objects."""
    return all(
        _stays(o) if type(o) is tuple else type(o) in (float, int, bool, str, type(None))
        for o in options
    )


@cache
def _taken(rule: Rule) -> tuple[dict[str, Any], Callable[[Mapping[str, Any]], Sequence[Any]]]:
    """The options that a rule takes from its group with their defaults, and what takes them."""
    defaults = {n: d for n, d in rule.hypers.items() if n not in rule.late}
    names = list(defaults)
    return defaults, itemgetter(*names) if len(names) > 1 else lambda o: [o[n] for n in names]
