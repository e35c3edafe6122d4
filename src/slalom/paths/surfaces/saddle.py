"""A saddle between two minima."""

from __future__ import annotations

from slalom.paths.surface import Surface, x, y

SURFACE = Surface(
    title="Saddle",
    says="Down to the middle, and from there down to either side. On the ridge the way out is "
    "nearly flat at first: a method with one rate waits there.",
    loss=x**2 / 2 - y**2 / 2 + y**4 / 16,
    view=(-4, 4, -3, 3),
    start=(-3, 0.002),
    minima=[(0, 2), (0, -2)],
    place=4,
    steps=100,
)
