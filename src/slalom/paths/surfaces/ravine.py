"""A long valley with steep sides."""

from __future__ import annotations

from slalom.paths.surface import Knob, Surface, knob, x, y

condition = knob("condition")

SURFACE = Surface(
    title="Ravine",
    says="Steep across, nearly flat along. One rate for both directions must be small for the "
    "steep one, and is then too small for the flat one; the condition number says by how much.",
    loss=0.4 * (x**2 / condition + y**2),
    view=(-4, 4, -3, 3),
    start=(-3.4, 1.6),
    minima=[(0, 0)],
    place=0,
    steps=120,
    knobs={"condition": Knob(30, 1, 1000)},
)
