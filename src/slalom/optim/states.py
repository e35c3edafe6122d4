"""What is kept for each parameter: made when its first gradient comes, checked when it is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from slalom.backends.base import Slot
from slalom.backends.counters import is_counter, read, write
from slalom.backends.layout import is_freed
from slalom.backends.narrow import LOST, REMAINDER, SCALE
from slalom.engine import keeping
from slalom.engine.memory import check, check_states, ordinary
from slalom.engine.naming import names_in
from slalom.engine.starting import begun, check_whole
from slalom.engine.treatment import Treatment
from slalom.ir.known import program_for
from slalom.ir.passes import structure
from slalom.optim.checks import check_sparse
from slalom.optim.spent import Spent
from slalom.rules.definition import Rule

States = Mapping[Tensor, dict[str, Any]]


@dataclass
class Slots:
    """The parameters of a step, and what has to be put into the states before it.

    Attributes:
        slots: those that are updated when they have a gradient.
        absent: those that have no gradient, nor the states for one or memory of their own.
        indices: of each slot the place of its parameter among all of the optimizer.
        pending: parameter, states that are made and not in the optimizer yet, and names of those
            that are to go. They are put there when the update is certain, so that a step which is
            refused, skipped or only explained leaves no trace.
    """

    slots: list[Slot] = field(default_factory=list)
    absent: list[Tensor] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    pending: list[tuple[Tensor, dict[str, Tensor], Sequence[str]]] = field(default_factory=list)

    def commit(self, states: States) -> None:
        """Put what is pending into the states."""
        for param, made, gone in self.pending:
            if made:
                states[param].update(made)
            for name in gone:
                del states[param][name]

    @property
    def bytes(self) -> dict[str, int]:
        """Of all parameters together, the bytes of each of their tensors, by name."""
        each: Counter[str] = Counter()
        for slot in self.slots:
            param, grad = slot.param, slot.param.grad
            each["param"] += param.nbytes
            if grad is not None:
                each["grad"] += grad.numel() * grad.element_size()  # a sparse one has no nbytes
            for name, tensor in slot.state.items():
                each[name] += tensor.nbytes
        return dict(each)


def make_slots(
    groups: Sequence[Mapping[str, Any]],
    states: States,
    indices: Mapping[int, int],
    rule_of: Callable[[Mapping[str, Any]], Rule],
    treatment: Treatment,
    unmoved: Callable[[Tensor], bool],
    *,
    all_of_them: bool = False,
) -> Slots:
    """Slots for the parameters of ``groups`` with a gradient, or with states for one.

    ``unmoved`` says of a parameter whose states are there that it was never updated all the same.
    ``all_of_them`` makes states for the others too. Raises RuntimeError, before anything is
    changed, for what cannot be updated.
    """
    found = Slots()
    counters = _Counters()
    live: dict[Any, Any] = {}  # what is known of the programs found so far
    # Of parameters of which nothing is kept, one tells of all of its dtype and device in groups of
    # the same options.
    fresh_of: dict[Any, dict[Any, _Ready]] = {}
    for number, group in enumerate(groups):
        rule = rule_of(group)
        fresh = fresh_of.setdefault((rule, *map(id, map(group.get, rule.hypers))), {})
        for param, name in zip(group["params"], names_in(group, number), strict=True):
            grad = param.grad
            usual = grad is not None and ordinary(param, grad)
            if isinstance(grad, Spent):
                raise grad.error("this optimizer's step")
            if grad is not None and not usual:
                check(param, grad, name)
            sparse = grad is not None and grad.layout != torch.strided
            if sparse:
                check_sparse(rule, group, treatment)
            there = states.get(param)
            own = {n: v for n, v in there.items() if v is not None} if there else {}
            like = param.dtype, param.device
            one = None if own else fresh.get(like)
            if one is None:
                one = _Ready(rule, group, param, own, treatment, counters, unmoved, live)
                if not own:
                    fresh[like] = one
            elif not one.alike:
                one = one.of(param)
            if grad is None and (one.missing or is_freed(param)) and not all_of_them:
                found.absent.append(param)
                continue
            if own and one.missing:
                check_whole(rule, one.starts, own, name, one.count)
            alike = one.alike and not own
            state, kept, pending = one.anew(param, usual) if alike else one.make()
            still = not state and not group.get("weight_decay", 0)
            slot = Slot(
                param, state, kept, one.count, number, len(found.slots),
                # without a state, and without decay, what a gradient leaves out stays anyway
                by_rows=sparse and (rule.sparse == "rows" or (still and not one.whole)),
                name=name, whole=one.whole, matrix=one.matrix,
                multiplies=one.multiplies, operands=one.operands, crosses=one.crosses,
                small={*rule.shapes, *(n + SCALE for n in one.coded)} if one.coded else rule.shapes,
                made=alike, kind=one.kind if alike and usual else None,
            )  # fmt: skip
            if one.found:  # what was just made shares memory with nothing
                check_states(slot)
            found.slots.append(slot)
            found.indices.append(indices[id(param)])
            found.pending.append((param, pending, one.gone))
    return found


def first_is_lost(rule: Rule, options: Mapping[str, Any], *numbers: float) -> bool:
    """Whether the first update differs from others and leaves no state by which to tell.

    Its updates are counted then, for a rule that does not ask for their count.
    """
    if rule.takes_step or not rule.takes_first:
        return False
    first, later = (program_for(rule, options, 1 + n, n == 0, *numbers) for n in (0, 1))
    return not first.live_state and structure(first.outputs) != structure(later.outputs)


class _Ready:
    """The state of one parameter, found or made.

    Attributes:
        alike: whether states that are made of parameters of which nothing is kept have their dtype
            and shape, so that all of one group, dtype and device are made as these.
        kind: the kind of their slots, where they are ordinary.
    """

    def __init__(
        self, rule: Rule, group: Mapping[str, Any], param: Tensor, own: dict[str, Any],
        treatment: Treatment, counters: _Counters, unmoved: Callable[[Tensor], bool],
        live: dict[Any, Any],
    ):  # fmt: skip
        self.rule, self.group, self.param, self.own = rule, group, param, own
        self.counters, self.found = counters, False
        self.pending: dict[str, Tensor] = {}
        self.gone: Sequence[str] = ()
        self.coded: list[str] = []  # the states that are kept as codes
        self._treatment = treatment
        numbers = [_number(own[n]) if n in own else rule.start(n, group) for n in rule.numbers]
        key = id(group), *numbers
        if key not in live:
            live[key] = first_is_lost(rule, group, *numbers)
        self.counted = rule.takes_step or live[key] or (
            treatment.rounding == "stochastic"
            and (param.dtype == torch.bfloat16 or treatment.state_dtype is not None)
        )  # fmt: skip
        count = _number(own["step"]) if self.counted and "step" in own else 0.0
        if not rule.takes_step:  # where it is not kept, the states tell of the first update
            there = any(n in own for n in rule.state) and not unmoved(param)
            count = max(count, float(there))
        key = id(group), count, *numbers
        if key not in live:
            program = program_for(rule, group, count + 1, count == 0, *numbers)
            starts = {name: rule.start(name, group) for name in program.live_state}
            live[key] = starts, program.operands, program.further
        self.starts, self.operands, further = live[key]
        self.whole, self.matrix, self.multiplies, self.crosses = further
        self.count, self.numbers = count, numbers
        self._signs = "signs", *key
        self._of_all = live
        names = (*self.starts, *(("step",) if self.counted else ()), *rule.numbers)
        self.missing = not own.keys() >= set(names)
        self.alike = not rule.shapes and treatment.state_dtype is treatment.remainder is None
        scalars = zip(("step", *rule.numbers), (count, *numbers), strict=True)
        self._scalars = list(scalars)[not self.counted :]
        self._zeros = not any(self.starts.values())
        kind = rule, *self.starts, self.counted, *self.operands, *further, param.dtype, param.device
        self.kind = live.setdefault(kind, len(live))

    def of(self, param: Tensor) -> _Ready:
        """The same of another parameter of the group and the dtype, of which nothing is kept."""
        other = object.__new__(_Ready)
        other.__dict__ = self.__dict__ | {"param": param, "own": {}, "pending": {}, "coded": []}
        return other

    def anew(
        self, param: Tensor, usual: bool
    ) -> tuple[dict[str, Tensor], list[Tensor | None], dict[str, Tensor]]:
        """As :meth:`make` of a parameter that is alike, which is ``usual`` where it is ordinary."""
        if usual and self._zeros:
            made = {name: torch.zeros_like(param) for name in self.starts}
        else:
            starts = self.starts.items()
            made = {n: begun(self.rule, n, param, s, self.group) for n, s in starts}
        pending = {name: self.counters.take(value) for name, value in self._scalars}
        kept: list[Tensor | None] = [*pending.values()]
        pending |= made
        return made, kept if self.counted else [None, *kept], pending

    def make(self) -> tuple[dict[str, Tensor], list[Tensor | None], dict[str, Tensor]]:
        """The live states, the kept scalars, and what of both is not in the optimizer yet."""
        kept: list[Tensor | None] = [self._kept("step", self.count) if self.counted else None]
        kept += [self._kept(n, v) for n, v in zip(self.rule.numbers, self.numbers, strict=True)]
        state: dict[str, Tensor] = {}
        for name in self.starts:
            state |= self._state(name)
        if self._treatment.remainder is not None:
            state |= (made := keeping.remainder_of(self._treatment.remainder, self.param, self.own))
            self.pending |= {n: t for n, t in made.items() if t is not self.own.get(n)}
        beside = (REMAINDER, LOST, *(n + SCALE for n in self.starts))
        self.gone = [n for n in beside if n in self.own and n not in state]
        return state, kept, self.pending

    def _kept(self, name: str, value: float) -> Tensor:
        there = self.own.get(name)
        # the user's own perhaps, shared between processes: it stays
        if there is not None and is_counter(there) and read(there) == value:
            return there
        made = self.pending[name] = self.counters.take(value)
        return made

    def _state(self, name: str) -> dict[str, Tensor]:
        """A state, with its scales where it is of codes; made, converted or moved where needed."""
        own = self.own
        self.found |= own.get(name) is not None
        made = keeping.state_of(
            self.rule, name, self.param, own, self.starts[name], self._treatment.state_dtype,
            self._positive, self.group,
        )  # fmt: skip
        if name + SCALE in made:
            self.coded.append(name)
        self.pending |= {n: t for n, t in made.items() if t is not own.get(n)}
        return made

    def _positive(self) -> set[str]:
        """The states that are never negative."""
        if self._signs not in self._of_all:
            count, numbers = self.count, self.numbers
            program = program_for(self.rule, self.group, count + 1, count == 0, *numbers)
            found = keeping.positive(self.rule, self.group, program, *numbers)
            self._of_all[self._signs] = found
        return self._of_all[self._signs]


def _number(value: Any) -> float:
    return read(value) if is_counter(value) else float(value)


class _Counters:
    """Step counts and the like, in blocks, so that those of many parameters lie side by side."""

    def __init__(self) -> None:
        self._block: Iterator[Tensor] = iter(())
        self._size = 4

    def take(self, value: float) -> Tensor:
        """A tensor of one element, of torch's default dtype where that is float64."""
        taken = next(self._block, None)
        if taken is None:
            self._size = min(4 * self._size, 4096)
            double = torch.get_default_dtype() == torch.float64
            dtype = torch.float64 if double else torch.float32
            with _disable_current_modes():
                self._block = iter(torch.zeros(self._size, dtype=dtype, device="cpu").unbind())
            taken = next(self._block)
        if value:  # they are made of zeros
            write(taken, value)
        return taken
