"""The plan of a step: which parameters are updated, by which backend, with which scalars.

A plan is built once and serves as long as all that it relies on is found as it was; that is looked
at in every step. It keeps none of the optimizer's tensors alive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import reduce
from itertools import permutations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends import BACKENDS, UNWRITTEN, lacking
from slalom.backends.alive import handles
from slalom.backends.base import Backend, Counts, Launch, Look, Slot, beside
from slalom.backends.crossings import refused_together
from slalom.backends.kinds import by_kind
from slalom.backends.layout import meet
from slalom.backends.refusals import Unavailable
from slalom.engine.distributed import LocalParts, localised
from slalom.engine.memory import lending, sharing
from slalom.engine.naming import name_among, params_of
from slalom.engine.sorting import Sorting, alone, names_of_kept
from slalom.engine.treatment import NonFiniteGradientError, Treatment, all_finite, square_sum
from slalom.engine.watch import Watch
from slalom.ir.program import Program
from slalom.rules.definition import Rule

Groups = Sequence[Mapping[str, Any]]
Before = Callable[[], None] | None


class Outcome(Enum):
    """What became of a step."""

    DONE = "done"
    SKIPPED = "skipped"
    """Gradients were not finite, and nothing was changed."""
    STALE = "stale"
    """The plan does not fit as things are now, and nothing was changed."""


class Plan:
    """How the present parameters of an optimizer are updated.

    Args:
        rules: of each group its rule, behind the treatment of its gradients.
        slots: the parameters that are updated when they have a gradient, with what is kept of them.
        absent: the parameters that have none and nothing kept; when one gets a gradient, the plan
            is stale.
        indices: of each slot the place of its parameter among all of the optimizer, from which
            random bits are drawn.
        treatment: what is done to the gradients first.
        excluded: names of backends not to be asked, and why.

    Attributes:
        scaled: whether its rules take a scale of their gradients.
        here: whether all its parameters are on the host, and no graph can record what it does.
        origin: the rules as the optimizer knows them, without the treatment.
        served: of each slot the name of its backend, and why the first backend was not it (None
            where it was).
        excluded: as given, and what this plan found since.
        last: what became of the last step.
        squares: the sum of the squares of the gradients of the last step, where it was asked for.
        bytes: of all slots together, those of each of their tensors by name, where it is explained.
    """

    scaled = False
    squares: Any = 0.0
    bytes: Mapping[str, int] = {}
    last: Outcome | None = None
    origin: Sequence[Rule] = ()

    def __init__(
        self,
        rules: Sequence[Rule],
        slots: Sequence[Slot],
        absent: Sequence[Tensor],
        indices: Sequence[int],
        treatment: Treatment,
        excluded: Mapping[str, str] | None = None,
    ):
        self.treatment, self.excluded = treatment, dict(excluded or {})
        self._rules, self._limits = rules, []
        self._counts = Counts(slots)
        self._indices = indices
        # Groups with sparse gradients, which were let in since nothing decays there.
        odd = [s for s in slots if s.kind is None]
        self._undecayed = {
            s.group
            for s in odd
            if s.param.grad is not None and s.param.grad.layout != torch.strided
        }
        self._ids = [id(s.param) for s in slots]
        names = by_kind(slots, lambda s: names_of_kept(s, rules[s.group]))
        self._relied = dict(zip(self._ids, names, strict=True))
        self._uncounted = {id(s.param): s.place for s in slots if s.kept[0] is None and s.state}
        own = [localised(s) for s in slots] if odd else slots
        pairs = [(s, o) for s, o in zip(slots, own, strict=True) if s is not o]
        self._parts = LocalParts(pairs) if pairs else None
        self._launches: list[tuple[Backend, Launch]] = []
        if self._parts is not None:
            self._parts.lend()
        try:
            own = self._placed(own, absent)
        finally:
            if self._parts is not None:
                self._parts.take_back()
        group_of = np.array([s.group for s in slots], np.intp)
        chance = np.array(by_kind(own, treatment.rounds), bool)
        # What is rounded by chance, or has to wait for another, has a row of its own.
        single = chance | np.array([s.alone for s in own], bool)
        # Where they look further than one element, as bits.
        self._wide = np.array(by_kind(own, lambda s: _bits(*s.further)), np.intp)
        sets: dict[frozenset[str], int] = {}
        set_of = by_kind(
            own, lambda s: sets.setdefault(frozenset((*s.state, *s.operands)), len(sets))
        )
        self._set_of, self._state_sets = np.array(set_of, np.intp), list(sets)
        self._absent = handles([] if self._launches else absent)
        recorded = any(backend.captures for backend, _ in self._launches)
        on_host = all(by_kind(slots, lambda s: s.param.is_cpu)) and all(p.is_cpu for p in absent)
        self.here = on_host and not recorded
        self._spread = any(o is not s for o, s in zip(own, slots, strict=True)) or any(
            _is_spread(s.param) for s in odd
        )
        skips = all(launch.skips for _, launch in self._launches) and not self._undecayed
        apart = skips and not (self._wide.any() or chance.any())
        self._sorting = Sorting(rules, self._counts, group_of, self._set_of, single, chance, apart)
        self._without_late = None if any(rule.late for rule in rules) else [{}] * len(rules)
        self._grouped = False
        self._watch: Any = None

    def _placed(self, slots: Sequence[Slot], absent: Sequence[Tensor]) -> Sequence[Slot]:
        """Make the launches; the slots as they are in them."""
        tangled = sharing(slots)
        own = [alone(s) if s.place in tangled else s for s in slots]
        self._launches, self.served = self._place(own, absent)
        if len(self._launches) > 1 and (tangled := lending(slots)):
            # One launch copies first what it reads and writes; two know nothing of each other.
            own = [alone(s) if s.place in tangled else s for s in own]
            self._launches, self.served = self._place(own, absent)
        return own

    def _place(
        self, slots: Sequence[Slot], absent: Sequence[Tensor]
    ) -> tuple[list[tuple[Backend, Launch]], list[tuple[str, str | None]]]:
        """Give each slot to the first backend that takes it."""
        chosen: dict[int, tuple[str, str | None]] = {}
        launches: list[tuple[Backend, Launch]] = []
        left = list(slots)
        devices = by_kind(slots, lambda s: s.param.device)
        lacks = {device: lacking(device) for device in set(devices)}
        why = {s.place: lack for s, d in zip(slots, devices, strict=True) if (lack := lacks[d])}
        for backend in BACKENDS:
            here = by_kind(left, lambda s, own=backend.device: own in (None, s.param.device.type))
            asked = [s for s, is_so in zip(left, here, strict=True) if is_so]
            said = self.excluded.get(backend.name)
            each = [said] * len(asked) if said else by_kind(asked, backend.why_not)
            refused = refused_together(left, {s.place: w for s, w in zip(asked, each, strict=True)})
            taken = [s for s in asked if refused[s.place] is None]
            for s in asked:
                why.setdefault(s.place, refused[s.place] or "")
            if not taken:
                continue
            try:
                launches.append((backend, backend.prepare(taken, absent, self._counts)))
            except Unavailable as error:
                self.excluded[backend.name] = str(error)
                why |= {s.place: str(error) for s in taken}
                continue
            absent = ()
            chosen |= {s.place: (backend.name, why[s.place] or None) for s in taken}
            left = [s for s in left if s.place not in chosen]
        if left:
            raise RuntimeError(f"no backend serves {left[0].name}: {why[left[0].place]}")
        return launches, [chosen[s.place] for s in slots]

    def served_by_parameter(self) -> dict[int, tuple[str, str | None]]:
        """Id of each parameter that has a slot -> what ``served`` says of it."""
        return dict(zip(self._ids, self.served, strict=True))

    @property
    def reasons(self) -> list[str | None]:
        """Of each slot why the first backend does not serve it; None where it does."""
        return [why for _, why in self.served]

    @property
    def lost(self) -> str | None:
        """Why no parameter at all is served by the first backend; None if one is."""
        reasons = self.reasons
        found = (why for why in reasons if why not in UNWRITTEN)
        return None if None in reasons else next(found, None)

    def unmoved(self, param: Tensor) -> bool:
        """Whether the parameter's states were made for this plan, and it was not updated since."""
        place = self._uncounted.get(id(param))
        return place is not None and self._counts.values[place, 0] == 0

    @property
    def first_updated(self) -> set[int]:
        """Ids of the parameters whose first update this plan made last, where no state counts."""
        return {p for p, place in self._uncounted.items() if self._counts.values[place, 0] == 1}

    def watch(self, groups: Groups, states: Mapping[Tensor, Any]) -> None:
        """Remember which objects are in these groups and states, for :meth:`holds`."""
        limits = [(g, n) for g, rule in enumerate(self._rules) for n in set(rule.limits.values())]
        self._limits = [(g, n, groups[g].get(n)) for g, n in limits]
        for backend in BACKENDS:
            if (made := backend.watch(groups, states, self._relied)) is not None:
                self._watch = made
                return
        self._watch = Watch(groups, states, self._relied)

    def holds(self, groups: Groups, states: Mapping[Tensor, Any]) -> bool:
        """Whether groups and states hold the very objects that they held."""
        return self._watch is not None and self._watch.holds(groups, states)

    def run(
        self, groups: Groups, scale: Any = None, before: Before = None, norm: float | None = None
    ) -> Outcome:
        """Make one step. ``before`` is called when nothing can hinder it any more.

        ``scale`` is what gradients are multiplied by before they are clipped, a float or a tensor
        of one element; None where they are not scaled. ``norm`` is what they are clipped by, where
        that is not the norm of these. Raises :class:`NonFiniteGradientError` where the treatment
        says so, and nothing is changed then.
        """
        self.last = None
        try:
            outcome = Outcome.STALE
            if self._parts is None or self._parts.lend():
                outcome = self._run(groups, scale, before, norm)
            if outcome is Outcome.STALE:
                self._watch = None  # it was looked at in part, and must not serve again
            self.last = outcome
            return outcome
        finally:
            for _, launch in self._launches:
                launch.let_go()
            if self._parts is not None:
                self._parts.take_back()

    def _run(self, groups: Groups, scale: Any, before: Before, norm: Any) -> Outcome:
        # Whatever exception comes before the end, out of a signal too: the next step sorts anew.
        grouped, self._grouped = self._grouped, False
        for _, launch in self._launches:
            look = launch.gather()
            if look is Look.STALE:
                return Outcome.STALE
            grouped = grouped and look is Look.SAME
        if len(self._launches) > 1 and self._crossed():
            return Outcome.STALE
        if len(self._absent) and any(p.grad is not None for p in self._absent):
            return Outcome.STALE
        if self._undecayed and any(groups[g].get("weight_decay") for g in self._undecayed):
            return Outcome.STALE
        if self._limits and any(groups[g].get(n) != v for g, n, v in self._limits):
            return Outcome.STALE  # states are to be of other shapes, and are refused
        treatment = self.treatment
        if treatment.measures:
            self.squares = total = self._square_sum(groups)
            norm = total**0.5 if norm is None else norm
            judged = treatment.on_nonfinite != "propagate" and not math.isfinite(total)
            if judged and not self._goes_on(groups):
                self._grouped = grouped
                return Outcome.SKIPPED
            if scale is not None:
                scale = beside(scale, total)
                scale = scale * treatment.factor(
                    (total**0.5 if norm is None else norm) * abs(scale)
                )
        late = self._without_late
        if late is None:
            late = [treatment.late(scale, group) for group in groups]
        if not self._fill(groups, late, grouped):
            return Outcome.STALE
        if before is not None:
            before()
        for _, launch in self._launches:
            launch.run(late[0] if late else {})
        self._grouped = True
        return Outcome.DONE

    def _crossed(self) -> bool:
        """Whether a launch writes what another reads or writes; a new plan makes one of them."""
        launches = [launch for _, launch in self._launches]
        return any(
            meet(one.written(), spans).any()
            for one, other in permutations(launches, 2)
            for spans in (other.read(), other.written())
        )

    def _fill(self, groups: Groups, late: Sequence[Mapping[str, Any]], grouped: bool) -> bool:
        """Compute the scalars of every row; False where a state is missing that they need.

        ``grouped`` if the slots are in the rows that they were sorted into last.
        """
        sorting = self._sorting
        if not (grouped or sorting.holds()):
            filled = self._regroup(groups, late)
        elif not (filled := sorting.fill(groups, late)) and not self._undecayed:
            # Of sparse gradients whether other options allow them is not for here.
            filled = self._regroup(groups, late)
        if filled:
            sorting.draw(self.treatment.rounding_seed, self._indices)
        return filled

    def _regroup(self, groups: Groups, late: Sequence[Mapping[str, Any]]) -> bool:
        """Sort the present slots into rows, and tell the launches."""
        sorting = self._sorting
        sorting.sort(groups, late)
        members: dict[Program, list[np.ndarray]] = {}
        for row, places in sorting.rows:
            assert row.program is not None
            members.setdefault(row.program, []).append(places)
        if not all(self._kept(p, np.concatenate(places)) for p, places in members.items()):
            return False
        for backend, launch in self._launches:
            of_launch = sorting.rows
            if len(self._launches) > 1:
                of_launch = [(r, m[np.isin(m, launch.places)]) for r, m in of_launch]
            try:
                launch.assign([(r, m) for r, m in of_launch if len(m)])
            except Unavailable as error:
                self.excluded[backend.name] = str(error)
                return False
        sorting.settle()
        return True

    def _kept(self, program: Program, places: np.ndarray) -> bool:
        """Whether these slots have the states that a program needs, and backends for its sums."""
        needed = _bits(*program.further)
        if (needed & ~self._wide[places]).any():
            return False
        sets = self._state_sets
        present = [0] if len(sets) == 1 else set(self._set_of[places].tolist())
        used = {*program.live_state, *program.operands}
        return all(sets[i].issuperset(used) for i in present)

    def _square_sum(self, groups: Groups) -> Any:
        """The sum of the squares of all gradients, over all processes."""
        if self._spread:  # the launches see this process's parts alone
            return square_sum(p.grad for p in params_of(groups) if p.grad is not None)
        sums = (launch.square_sum() for _, launch in self._launches)
        return reduce(lambda total, own: total + beside(own, total), sums, 0.0)

    def _goes_on(self, groups: Groups) -> bool:
        """What to do about squares that do not sum up: go on, or skip the step, or raise."""
        named = [(name_among(groups, p), p.grad) for p in params_of(groups) if p.grad is not None]
        if all_finite(grad for _, grad in named):  # large float64 values overflow in squares
            return True
        if self.treatment.on_nonfinite == "raise":
            raise NonFiniteGradientError(named)
        return False


def _bits(*flags: bool) -> int:
    return sum(flag << i for i, flag in enumerate(flags))


def _is_spread(param: Any) -> bool:
    return hasattr(param, "placements")
