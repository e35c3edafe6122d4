"""What is shown together: a surface, and the rules that go down it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from slalom.errors import InputError, did_you_mean
from slalom.paths.surface import Surface
from slalom.paths.surfaces import surface
from slalom.rules import RULES, Rule

MOST = 8
"""Movers in a scene, at most: each has a colour of its own."""

MOST_STEPS = 10_000
"""Of a scene."""

USUAL = ("SGD", "Momentum", "AdaGrad", "RMSProp", "Adam")
"""Who moves where nobody is named."""


@dataclass(frozen=True)
class Mover:
    """A rule with its hyper-parameters, going down a surface.

    Attributes:
        label: how it is called.
        rule: what moves it.
        hypers: those that are not at their defaults. Where ``lr`` is missing, one is found.
        batch: samples in an update, on surfaces that are means over samples; None for all.
    """

    label: str
    rule: Rule
    hypers: Mapping[str, Any] = field(default_factory=dict)
    batch: int | None = 1


@dataclass(frozen=True)
class Scene:
    """Movers on a surface.

    Attributes:
        name: of the surface.
        movers: who moves.
        start: where from; the surface's own by default.
        steps: how many updates; the surface's own by default.
        knobs: those of the surface that are not as usual.
        title, says: the surface's own by default.
        clock: what time is counted in where it is watched: ``"steps"``, or ``"samples"``, where who
            sees many in an update waits for them.
    """

    name: str
    movers: Sequence[Mover]
    start: tuple[float, float] | None = None
    steps: int | None = None
    knobs: Mapping[str, float] = field(default_factory=dict)
    title: str = ""
    says: str = ""
    clock: Literal["steps", "samples"] = "steps"

    @cached_property
    def surface(self) -> Surface:
        """What they go down."""
        return surface(self.name)

    @property
    def begin(self) -> tuple[float, float]:
        """Where they start."""
        return self.start or self.surface.start

    @property
    def end(self) -> int:
        """Updates until the end."""
        return self.steps or self.surface.steps

    @property
    def turned(self) -> dict[str, float]:
        """All knobs of the surface."""
        return {**self.surface.usual, **self.knobs}

    @cached_property
    def lowest(self) -> float:
        """The lowest loss of the surface."""
        height = self.surface.height(self.turned)
        return min(float(height(*point)) for point in self.surface.minima)


def known() -> dict[str, tuple[str, Rule, dict[str, Any]]]:
    """What may be called a mover, in lower case -> its label, rule and fixed hyper-parameters."""
    found: dict[str, tuple[str, Rule, dict[str, Any]]] = {}
    for name, rule in RULES.items():
        for called in (name, rule.class_name):
            found[called.lower()] = (rule.class_name, rule, {})
    for rule in RULES.values():
        for label, fixed in rule.field.items():
            found[label.lower()] = (label, rule, fixed)
    return found


def scene(
    name: str,
    names: Sequence[str],
    *,
    start: str | None = None,
    steps: int | None = None,
    knobs: Sequence[str] = (),
) -> Scene:
    """A scene as the command line says it: ``start`` as ``-1,2``, each knob as ``condition=100``.

    Raises :class:`InputError` for what is not of this form, or not there.
    """
    on = surface(name)
    if steps is not None and not 1 <= steps <= MOST_STEPS:
        raise InputError(f"steps is {steps}; it must be from 1 to {MOST_STEPS}")
    return Scene(
        name, movers(names), None if start is None else _point(start, on), steps,
        dict(_knob(text, on, name) for text in knobs),
    )  # fmt: skip


def _point(text: str, on: Surface) -> tuple[float, float]:
    try:
        a, b = map(float, text.split(","))
    except ValueError:
        raise InputError(f"the start is {text!r}; it must be two numbers, as in -1,2") from None
    left, right, bottom, top = on.view
    if not (left <= a <= right and bottom <= b <= top):
        raise InputError(
            f"the start {text} is not in view; x must be from {left:g} to {right:g} and y from "
            f"{bottom:g} to {top:g}"
        )
    return a, b


def _knob(text: str, on: Surface, surface: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    if name not in on.knobs:
        there = ", ".join(on.knobs) or "none"
        raise InputError(f"the surface {surface} has no knob {name!r}; it has {there}")
    knob = on.knobs[name]
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not knob.low <= number <= knob.high:
        raise InputError(
            f"{name} is {value!r}; it must be a number from {knob.low:g} to {knob.high:g}"
        )
    return name, number


def movers(names: Sequence[str]) -> list[Mover]:
    """The movers of these names: of rules, of their classes, or of the field of a race.

    Raises :class:`InputError` for an unknown name, the same one twice, and more than :data:`MOST`.
    """
    every = known()
    found: list[Mover] = []
    for name in names:
        called = name.strip()
        if called.lower() not in every:
            hint = did_you_mean(called, (label for label, *_ in every.values()))
            raise InputError(f"there is no rule {called!r}{hint or '; `slalom rules` lists them'}")
        label, rule, fixed = every[called.lower()]
        hypers = {n: v for n, v in fixed.items() if n != "batch_size"}
        batch = None if fixed.get("batch_size") == "all" else 1
        if label in (mover.label for mover in found):
            raise InputError(f"{label} is named twice; name each rule once")
        found.append(Mover(label, rule, hypers, batch))
    if len(found) > MOST:
        raise InputError(f"{len(found)} rules are named; {MOST} at most can be told apart")
    return found
