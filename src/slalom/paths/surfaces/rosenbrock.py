"""Rosenbrock's curved valley."""

from __future__ import annotations

from slalom.paths.surface import Surface, x, y

SURFACE = Surface(
    title="Rosenbrock",
    says="A curved valley (Rosenbrock 1960). To fall into it is easy; to follow its floor round "
    "the bend to (1, 1) is not.",
    loss=(1 - x) ** 2 + 100 * (y - x**2) ** 2,
    view=(-8 / 3, 8 / 3, -1, 3),
    start=(-1.6, 2.4),
    minima=[(1, 1)],
    place=1,
    steps=300,
)
