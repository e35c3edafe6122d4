"""What a surface is: a loss of two parameters, written once, differentiated by SymPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import sympy
from sympy import Expr, Symbol

x, y = sympy.symbols("x y", real=True)
"""The two parameters."""

EPOCHS = 32
"""Epochs whose order of samples is drawn; then it begins again."""


@dataclass(frozen=True)
class Knob:
    """A number of a surface that may be chosen: its usual value, and between which ends."""

    usual: float
    low: float
    high: float


@dataclass(frozen=True)
class Surface:
    """A loss of two parameters.

    Attributes:
        title: as a heading says it.
        says: what is to be seen there, in a sentence or two.
        loss: of :data:`x`, :data:`y`, symbols named as the knobs and, where there are samples, of
            ``columns``: the loss of one sample, whose mean is the surface.
        view: (left, right, bottom, top) of what is shown, 4 wide by 3 high.
        start: where paths begin.
        minima: the lowest points.
        place: of the surface among the others.
        steps: how many make a good picture.
        knobs: name -> knob.
        samples: rows of ``columns``, where the loss is a mean over samples.
    """

    title: str
    says: str
    loss: Expr
    view: tuple[float, float, float, float]
    start: tuple[float, float]
    minima: Sequence[tuple[float, float]]
    place: int
    steps: int = 200
    knobs: Mapping[str, Knob] = field(default_factory=dict)
    samples: Sequence[tuple[float, ...]] = ()
    columns: Sequence[Symbol] = ()

    @cached_property
    def mean(self) -> Expr:
        """The loss over all samples."""
        if not self.samples:
            return self.loss
        each = [self.loss.subs(dict(zip(self.columns, row, strict=True))) for row in self.samples]
        return sympy.expand(sympy.Add(*each) / len(each))

    @property
    def usual(self) -> dict[str, float]:
        """The knobs as they are where nobody turns them."""
        return {name: knob.usual for name, knob in self.knobs.items()}

    @cached_property
    def order(self) -> list[int]:
        """Which sample is seen when: every one once an epoch, shuffled."""
        generator = np.random.default_rng(0)
        n = len(self.samples)
        return [int(i) for _ in range(EPOCHS if n else 0) for i in generator.permutation(n)]

    def height(self, knobs: Mapping[str, float]) -> Callable[..., Any]:
        """``f(x, y)``, the loss over all samples; of numbers or of NumPy's arrays."""
        f = sympy.lambdify([x, y, *map(_symbol, self.knobs)], self.mean, "numpy")
        return lambda a, b: f(a, b, *(knobs[n] for n in self.knobs)) + 0 * a

    def slope(self, knobs: Mapping[str, float], batch: int | None) -> Callable[..., Any]:
        """``f(x, y, step)``, the gradient that the update number ``step``, from 1 on, is given.

        It is that of ``batch`` samples, or of all where ``batch`` is None or there are no fewer.
        """
        names = [_symbol(n) for n in self.knobs]
        values = [knobs[n] for n in self.knobs]
        if batch is None or batch >= len(self.samples):
            whole = sympy.lambdify([x, y, *names], _gradient(self.mean), "math")
            return lambda a, b, step: whole(a, b, *values)
        one = sympy.lambdify([x, y, *names, *self.columns], _gradient(self.loss), "math")

        def mean(a: float, b: float, step: int) -> tuple[float, float]:
            at = (step - 1) * batch
            rows = [self.samples[self.order[(at + i) % len(self.order)]] for i in range(batch)]
            slopes = [one(a, b, *values, *row) for row in rows]
            return sum(s[0] for s in slopes) / batch, sum(s[1] for s in slopes) / batch

        return mean

    def javascript(self) -> dict[str, str]:
        """Name -> a function in JavaScript of ``(x, y, knobs, sample)``.

        They are ``loss`` and ``grad``, over all samples, and ``one``, the gradient of one sample:
        ``null`` where there are none.
        """
        known = {_symbol(n): Symbol(f"k.{n}") for n in self.knobs}
        known |= {column: Symbol(f"s[{i}]") for i, column in enumerate(self.columns)}

        def written(expression: Expr) -> str:
            return str(sympy.jscode(expression.subs(list(known.items()))))

        def pair(expressions: Sequence[Expr]) -> str:
            return f"(x, y, k, s) => [{', '.join(map(written, expressions))}]"

        return {
            "loss": f"(x, y, k) => {written(self.mean)}",
            "grad": pair(_gradient(self.mean)),
            "one": pair(_gradient(self.loss)) if self.samples else "null",
        }


def _symbol(name: str) -> Symbol:
    return Symbol(name, positive=True)


def _gradient(expression: Expr) -> list[Expr]:
    return [sympy.diff(expression, by) for by in (x, y)]


def knob(name: str) -> Symbol:
    """The symbol of a knob, for a loss."""
    return _symbol(name)
