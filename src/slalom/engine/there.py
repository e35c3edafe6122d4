"""What a step needs of some parameters, on their device: counts, numbers, scalars in rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from slalom.backends.base import BEFORE, Slot
from slalom.backends.narrow import SCALE
from slalom.backends.refusals import UNPREPARED
from slalom.backends.rounding import noises_of
from slalom.engine import keeping
from slalom.engine.memory import check_states
from slalom.engine.starting import check_whole
from slalom.engine.treatment import Treatment
from slalom.ir.branches import branches
from slalom.ir.program import Program, is_flag, length
from slalom.ir.signs import never_negative
from slalom.ir.symbol import Symbol
from slalom.ir.tensors import Values, rows_of
from slalom.rules.definition import REQUIRED, Rule
from slalom.rules.treated import treated


def is_recorded() -> bool:
    """Whether a graph is being recorded."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


def there(number: Tensor, device: torch.device) -> Tensor:
    """A tensor of one element, where it is wanted; nobody waits for it."""
    return number.to(device, non_blocking=True).reshape(())


@dataclass(frozen=True)
class Ways:
    """The programs of every way that a rule may go on what a device alone knows.

    Attributes:
        settled: the conditions on numbers of the host's, and how they came out: under others that
            come out so the programs are the same.
    """

    programs: tuple[Program, ...]
    settled: tuple[tuple[Symbol, bool], ...]

    def serve(self, values: Mapping[str, float]) -> bool:
        """Whether they are those of these numbers too, by name (``lr``, ``betas[0]``)."""
        value = Values(values)
        return all(bool(value(condition)) == outcome for condition, outcome in self.settled)


_KNOWN: dict[Any, list[Ways]] = {}


def _ways(
    rule: Rule, fixed: Mapping[str, Any], varying: frozenset[str], values: Mapping[str, float]
) -> Ways:  # fmt: skip
    """The ways of a rule; ``fixed`` are its options to trace with, ``values`` its numbers."""
    kinds = tuple((n, v if is_flag(rule, n, v) else length(v)) for n, v in fixed.items())
    known = _KNOWN.setdefault((rule, kinds, varying), [])
    found = next((ways for ways in known if ways.serve(values)), None)
    if found is None:
        settled: list[tuple[Symbol, bool]] = []
        programs = tuple(branches(rule, fixed, varying, settled))
        found = Ways(programs, tuple(settled))
        known.append(found)
        del known[:-MOST]
    return found


MOST = 16
"""Ways that are remembered of a rule and its flags, since rules differ by few conditions."""


@lru_cache(64)
def _positive(programs: tuple[Program, ...], starts: tuple[tuple[str, float], ...]) -> set[str]:
    return never_negative(programs, dict(starts))


@dataclass
class Part:
    """The parameters of a group on one device that have a gradient, with all that is kept of them.

    Attributes:
        number: of the group.
        own, kept: of each parameter what its state dict holds, and what it is to hold beside that.
        names: how messages call them.
        places, indices: their numbers in the step, and among all of the optimizer.
        treated: the rule behind the treatment of its gradients.
        programs, rows, chance, slots: as :class:`slalom.backends.base.Work` has them.
        ways: whose programs they are.
        inputs: the names of the numbers among its options.
        counts, numbers: of each parameter its count, and of each number of the rule the same.
    """

    rule: Rule
    group: Mapping[str, Any]
    number: int
    device: torch.device
    params: list[Tensor] = field(default_factory=list)
    grads: list[Tensor] = field(default_factory=list)
    own: list[dict[str, Any]] = field(default_factory=list)
    kept: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)

    def add(
        self, param: Tensor, grad: Tensor, own: dict[str, Any], name: str, place: int, index: int
    ) -> None:
        """Take one more parameter."""
        self.params.append(param)
        self.grads.append(grad)
        self.own.append(own)
        self.kept.append({})
        self.names.append(name)
        self.places.append(place)
        self.indices.append(index)

    def commit(self, states: Any) -> None:
        """Put what was made into the states, None in place of what is to go."""
        for param, kept in zip(self.params, self.kept, strict=True):
            states[param].update((n, v) for n, v in kept.items() if v is not None)
            for name in [n for n, v in kept.items() if v is None]:
                del states[param][name]

    def prepare(self, treatment: Treatment, scale: Tensor | None, skip: Tensor) -> None:
        """Make the states, the programs and the rows; nothing is changed yet."""
        device, rule = self.device, treated(self.rule, treatment.acts(scale is not None))
        self.treated, self.chance = rule, treatment.rounding == "stochastic"
        skip = there(skip, device)
        options = {n: self.group.get(n, d) for n, d in self.rule.hypers.items()}
        options |= treatment.late(scale, self.group)
        inputs, fixed, varying = _inputs(rule, options, device)
        self.inputs = list(inputs)
        default = torch.get_default_dtype()
        wide = torch.float64 if default == torch.float64 else torch.float32
        many = range(len(self.params))

        def number(i: int, name: str) -> Tensor:
            return torch.zeros((), dtype=wide, device=device).add_(_start(rule, name, options))

        def count(i: int) -> Tensor:  # what a rule that does not count has left tells of a first
            known = not rule.takes_step and any(s in self.own[i] for s in rule.state)
            return torch.full((), float(known), dtype=wide, device=device)

        self.counts = [self._kept(i, "step", lambda i=i: count(i)) for i in many]
        self.numbers = [
            [self._kept(i, n, lambda i=i, n=n: number(i, n)) for i in many] for n in rule.numbers
        ]
        counts = _column(self.counts)
        inputs |= {"step": counts + 1}
        inputs |= {n: _column(own) for n, own in zip(rule.numbers, self.numbers, strict=True)}
        varying |= {"step", *rule.numbers}
        self.ways = _ways(
            rule, fixed, frozenset(varying),
            {n: v for n, v in inputs.items() if not isinstance(v, Tensor)},
        )  # fmt: skip
        self.programs = self.ways.programs
        noise = torch.zeros_like(counts)
        if self.chance:
            places = _consecutive(self.indices, device)
            noise = noises_of(treatment.rounding_seed, counts, places).double()
        self._fill(inputs, counts, noise, skip)
        self._counted = (1.0 - skip.double()).to(wide)
        self._make_slots(treatment, options, fixed)

    def _kept(self, i: int, name: str, start: Callable[[], Tensor]) -> Tensor:
        """What is kept of a parameter under this name, on its device; made where it is not."""
        known: Any = self.own[i].get(name)
        if isinstance(known, Tensor) and known.device == self.device:
            return known
        made = start() if known is None else torch.as_tensor(known).to(self.device, copy=True)
        self._keep(i, {name: made})
        return made

    def _keep(self, i: int, made: Mapping[str, Tensor | None]) -> None:
        """Have these put into the states. Raises RuntimeError while a graph is recorded."""
        new = {n: t for n, t in made.items() if t is not self.own[i].get(n)}
        if new and is_recorded():
            raise RuntimeError(UNPREPARED)
        self.kept[i] |= new

    def _fill(self, inputs: Mapping[str, Any], counts: Tensor, noise: Tensor, skip: Tensor) -> None:
        """Compute the rows, and what the numbers become."""
        numbers = [_column(own) for own in self.numbers]
        which, columns, self._after = rows_of(self.programs, inputs, counts, numbers, skip)
        self.rows = torch.stack([which, noise, *columns], 1)
        assert len((which, noise)) == BEFORE

    def _make_slots(
        self, treatment: Treatment, options: Mapping[str, Any], fixed: Mapping[str, Any]
    ) -> None:
        rule, programs = self.treated, self.programs
        names = [s for s in rule.state if any(s in p.live_state for p in programs)]
        whole, matrix, multiplies, crosses = map(
            any, zip(*(p.further for p in programs), strict=True)
        )
        starts = {n: _start(rule, n, options) for n in names}

        def signs() -> set[str]:
            known = tuple((n, _start(rule, n, fixed)) for n in names if n not in rule.shapes)
            return _positive(programs, known)

        for i, (param, own) in enumerate(zip(self.params, self.own, strict=True)):
            check_whole(self.rule, names, own, self.names[i])
            state: dict[str, Tensor] = {}
            for name in names:
                asked = treatment.state_dtype
                state |= keeping.state_of(
                    rule, name, param, own, starts[name], asked, signs, options
                )
            if treatment.remainder is not None:
                state |= keeping.remainder_of(treatment.remainder, param, own)
            beside = (*keeping.REMAINDERS.values(), *(n + SCALE for n in names))
            gone = dict.fromkeys(n for n in beside if n in own and n not in state)
            self._keep(i, {**state, **gone})
            slot = Slot(
                param, state, [], 0.0, self.number, self.places[i], name=self.names[i],
                whole=whole, matrix=matrix, multiplies=multiplies, crosses=crosses,
                small={*rule.shapes, *(n + SCALE for n in names)},
            )  # fmt: skip
            if not self.kept[i].keys() >= state.keys():  # what was just made shares no memory
                check_states(slot)
            self.slots.append(slot)

    def count(self) -> None:
        """Count the update, and put down what the numbers have become."""
        torch._foreach_add_(  # pyright: ignore[reportPrivateImportUsage]
            self.counts, [self._counted] * len(self.counts)
        )
        for own, after in zip(self.numbers, self._after, strict=True):
            moved = [v.view(o.shape) for o, v in zip(own, after.unbind(), strict=True)]
            torch._foreach_copy_(own, moved)  # pyright: ignore[reportPrivateImportUsage]


def _inputs(
    rule: Rule, options: Mapping[str, Any], device: torch.device
) -> tuple[dict[str, Any], dict[str, Any], set[str]]:
    """The values of the hyper-parameters; numbers to trace with; which of them are tensors."""
    fixed, varying = dict(options), set()

    def scalar(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return float(value)
        return there(value.detach(), device).double()

    inputs = {name: scalar(value) for name, value in flattened(rule, options)}
    for name, value in options.items():
        several = isinstance(value, tuple | list)
        if any(isinstance(one, Tensor) for one in (value if several else [value])):
            varying.add(name)
            default = rule.hypers[name]
            fixed[name] = 1.0 if default in (REQUIRED, None) else default
    return inputs, fixed, varying


def flattened(rule: Rule, options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The numbers among a rule's options, which may be tensors: of several, ``betas[0]`` ..."""
    for name, value in options.items():
        if is_flag(rule, name, value):
            continue
        several = isinstance(value, tuple | list)
        for i, one in enumerate(value if several else [value]):
            yield f"{name}[{i}]" if several else name, one


def _start(rule: Rule, name: str, options: Mapping[str, Any]) -> Any:
    """What is kept under a name before the first update: a number, or a tensor that lr may be."""
    start = rule.init.get(name, 0.0)
    return options[start] if isinstance(start, str) else start


def _consecutive(numbers: Sequence[int], device: torch.device) -> Tensor:
    """Rising numbers as int64 on a device, to which nothing is copied."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and runs[-1][1] == n:
            runs[-1][1] = n + 1
        else:
            runs.append([n, n + 1])
    return torch.cat([torch.arange(*run, device=device) for run in runs])


def _column(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([t.reshape(()) for t in tensors]).double()
