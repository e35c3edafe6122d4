"""Himmelblau's four minima."""

from __future__ import annotations

from slalom.paths.surface import Surface, x, y

SURFACE = Surface(
    title="Himmelblau",
    says="Four minima of equal depth (Himmelblau 1972). Which one a method finds depends on "
    "where it starts, and on how it moves.",
    loss=(x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2,
    view=(-20 / 3, 20 / 3, -5, 5),
    start=(-0.6, -0.7),
    minima=[(3, 2), (-2.805118, 3.131312), (-3.779310, -3.283186), (3.584428, -1.848127)],
    place=3,
    steps=100,
)
