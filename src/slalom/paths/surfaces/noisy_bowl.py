"""A bowl that is a mean over samples, each with a minimum of its own."""

from __future__ import annotations

import numpy as np
import sympy

from slalom.paths.surface import Surface, x, y

_SAMPLES = 64
_half = (np.random.default_rng(1).normal(size=(_SAMPLES // 2, 2)) * [1.6, 1.2]).round(2)
_centres = np.concatenate([_half, -_half])  # their mean is 0, exactly
u, v = sympy.symbols("u v", real=True)

SURFACE = Surface(
    title="Noisy bowl",
    says=f"The mean over {_SAMPLES} samples, each of which would have the minimum elsewhere. Few "
    "samples an update are cheap and point the wrong way now and then; all of them are exact.",
    loss=((x - u) ** 2 + 3 * (y - v) ** 2) / 2,
    view=(-4, 4, -3, 3),
    start=(-3.4, 2.3),
    minima=[(0, 0)],
    place=6,
    steps=192,
    samples=[(float(a), float(b)) for a, b in _centres],
    columns=(u, v),
)
