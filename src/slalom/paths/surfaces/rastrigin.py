"""Rastrigin's field of hollows."""

from __future__ import annotations

import sympy

from slalom.paths.surface import Surface, x, y

SURFACE = Surface(
    title="Rastrigin",
    says="A bowl full of hollows (Rastrigin 1974). The gradient leads into the nearest one; "
    "only what has speed, or steps that are long, leaves it again.",
    loss=20 + x**2 - 10 * sympy.cos(2 * sympy.pi * x) + y**2 - 10 * sympy.cos(2 * sympy.pi * y),
    view=(-4, 4, -3, 3),
    start=(-3.3, 2.3),
    minima=[(0, 0)],
    place=5,
    steps=150,
)
