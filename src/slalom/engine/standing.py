"""A plan for steps that ask the device for nothing: what one such step was made of, kept.

A step by it compares what it relies on with what that was, and tells the backend the values of
hyper-parameters; all else lies on the device. Whatever is found otherwise, nothing is changed, and
the step is made anew (:mod:`slalom.engine.capturable`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from operator import is_
from typing import Any

import torch
from torch import Tensor

from slalom.backends import BACKENDS
from slalom.backends.base import Backend, Work
from slalom.backends.refusals import Unavailable
from slalom.backends.rounding import share
from slalom.backends.standing import Global, Standing, Team
from slalom.engine.there import Part, flattened, is_recorded
from slalom.engine.treatment import FULL_RATE, Treatment
from slalom.engine.watch import Watch
from slalom.ir.program import is_flag
from slalom.rules.definition import Rule
from slalom.rules.treated import SCALE

Groups = Sequence[Mapping[str, Any]]

_MORE = ("capturable", "differentiable", "max_lr", "initial_lr", FULL_RATE)
"""What of a group matters besides the hyper-parameters of its rule."""


class Stay:
    """Steps like one that was made. It keeps no parameter and no state alive.

    Args:
        parts: the parameters of that step, all of one device.
        standing: what the backend made of them.
    """

    def __init__(
        self, parts: Sequence[Part], standing: Standing, groups: Groups, states: Any,
        treatment: Treatment, told: Global,
    ):  # fmt: skip
        self._standing, self._treatment, self._backends = standing, treatment, [*BACKENDS]
        self._device = parts[0].device
        self._scaled, self._judged = told.divides is not None, told.found is not None
        self._captures = any(group.get("capturable") for group in groups)
        self._rules = [part.rule for part in parts]
        self._options = [_Options(part, treatment) for part in parts]
        relied = {
            id(slot.param): ("step", *part.rule.numbers, *slot.state)
            for part in parts
            for slot in part.slots
        }
        made = (backend.watch(groups, states, relied) for backend in BACKENDS)
        found = next((w for w in made if w is not None), None)
        self._watch: Any = found or Watch(groups, states, relied)

    @property
    def values(self) -> list[list[Any]]:
        """Of each part those of its rule's inputs."""
        return [own.values for own in self._options]

    def step(
        self, groups: Groups, states: Any, treatment: Treatment,
        rule_of: Callable[[Mapping[str, Any]], Rule], grad_scale: Any, found_inf: Any,
    ) -> bool:  # fmt: skip
        """Make a step; False, and nothing is changed, where it is not like that one."""
        if treatment is not self._treatment or self._backends != BACKENDS:
            return False
        if (grad_scale is not None, found_inf is not None) != (self._scaled, self._judged):
            return False
        if not (self._watch.holds(groups, states) and (self._captures or not is_recorded())):
            return False
        of = [groups[own.number] for own in self._options]
        if list(map(rule_of, of)) != self._rules:
            return False
        told = told_of(treatment, grad_scale, found_inf, self._device)
        if told is None or not all(map(_Options.hold, self._options, of)):
            return False
        try:
            if not self._standing.look():
                return False
            self._standing.update(self.values, told)
        except Unavailable:
            return False  # and the step that is made anew tells why
        finally:
            self._standing.let_go()
        return True


class _Options:
    """The options of a group, as they were and as they are.

    Attributes:
        number: of the group.
        values: those of the rule's inputs, numbers or tensors of the device.
    """

    def __init__(self, part: Part, treatment: Treatment):
        self.number, self._part, self._treatment = part.number, _Light(part), treatment
        self._names = [*part.rule.hypers, *_MORE]
        self._seen = list(map(part.group.get, self._names))
        self.values, self._flags, self._inputs = self._found(part.group)

    def _found(self, group: Mapping[str, Any]) -> tuple[list[Any], Any, list[str]]:
        rule = self._part.rule
        options = {n: group.get(n, d) for n, d in self._part.hypers.items()}
        options |= self._treatment.late(None, group)
        flat = list(flattened(rule, options))
        flags = {n: v for n, v in options.items() if is_flag(rule, n, v)}
        values = [v if isinstance(v, Tensor) else float(v) for _, v in flat]
        return values, flags, [name for name, _ in flat]

    def hold(self, group: Mapping[str, Any]) -> bool:
        """Whether the programs serve the options as they are now, whose values are then known."""
        seen = list(map(group.get, self._names))
        if len(seen) == len(self._seen) and all(map(is_, seen, self._seen)):
            return True
        values, flags, inputs = self._found(group)
        if flags != self._flags or inputs != self._inputs:
            return False
        if list(map(type, values)) != list(map(type, self.values)):
            return False
        if not all(_lies_on(v, self._part.device) for v in values):
            return False
        named = zip(inputs, values, strict=True)
        if not self._part.serve({n: v for n, v in named if not isinstance(v, Tensor)}):
            return False
        self.values, self._seen = values, seen
        return True


class _Light:
    """What is kept of a part."""

    def __init__(self, part: Part):
        self.rule, self.hypers, self.device = part.treated, part.rule.hypers, part.device
        self.serve = part.ways.serve


def _lies_on(value: Any, device: torch.device) -> bool:
    """Whether it is a number of the host's, or one that the device can read where it lies."""
    return not isinstance(value, Tensor) or (
        type(value) in (Tensor, torch.nn.Parameter)
        and value.device == device
        and value.layout == torch.strided
        and value.numel() == 1
    )


def told_of(
    treatment: Treatment, grad_scale: Any, found_inf: Any, device: torch.device
) -> Global | None:  # fmt: skip
    """What is of all gradients of a step; None where some of it lies elsewhere."""
    given = (found_inf, grad_scale)
    if not all(t is None or (isinstance(t, Tensor) and _lies_on(t, device)) for t in given):
        return None
    return Global(*given, treatment.clip_norm, treatment.on_nonfinite == "skip")


def stay(
    parts: Sequence[Part], works: Sequence[tuple[Backend, Sequence[Work]]], groups: Groups,
    states: Any, treatment: Treatment, told: Global | None,
) -> Stay | None:  # fmt: skip
    """A plan for steps like one that was just made of these; None where there is none."""
    slots = [slot for part in parts for slot in part.slots]
    taken = [id(slot) for _, own in works for work in own for slot in work.slots]
    if told is None or len(works) != 1 or is_recorded():
        return None
    if sorted(taken) != sorted(map(id, slots)) or len({part.device for part in parts}) != 1:
        return None  # some share memory, or are parts of others
    if told.measures and any(g.dtype in TOO_WIDE for part in parts for g in part.grads):
        return None
    teams = [_team(part, treatment) for part in parts]
    served = {id(slot.param) for slot in slots}
    absent = [p for g in groups for p in g["params"] if id(p) not in served]
    standing = works[0][0].stand(teams, absent)
    if standing is None:
        return None
    made = Stay(parts, standing, groups, states, treatment, told)
    if not all(_lies_on(v, parts[0].device) for own in made.values for v in own):
        return None
    try:
        ready = standing.look()
        if ready:
            standing.prepare(made.values, told)
    except Unavailable as error:
        warnings.warn(f"each step is made anew, and slower: {error}", stacklevel=7)
        return None
    finally:
        standing.let_go()
    return made if ready else None


TOO_WIDE = (torch.float64, torch.complex128)
"""Whose squares may be infinite where they are not."""


def _team(part: Part, treatment: Treatment) -> Team:
    shares = None
    if part.chance:
        shares = [share(treatment.rounding_seed, i) for i in part.indices]
    inputs = [n for n in part.inputs if n != SCALE]
    return Team(part.slots, part.programs, part.counts, part.numbers, inputs, shares)
