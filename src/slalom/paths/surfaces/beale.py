"""Beale's plain with cliffs."""

from __future__ import annotations

from slalom.paths.surface import Surface, x, y

SURFACE = Surface(
    title="Beale",
    says="A flat plain between cliffs (Beale 1958). On the cliffs gradients are thousands of times "
    "those of the plain, where the minimum lies.",
    loss=(1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2,
    view=(-4, 4, -3, 3),
    start=(-2.5, -1.5),
    minima=[(3, 0.5)],
    place=2,
    steps=300,
)
