"""A bowl of which few samples say anything about one parameter."""

from __future__ import annotations

import numpy as np
import sympy

from slalom.paths.surface import Surface, x, y

_SAMPLES, _EVERY = 48, 12
_half = np.random.default_rng(2).normal(scale=0.25, size=_SAMPLES // 2).round(2)
_noise = np.concatenate([_half, -_half])  # its mean is 0, exactly
u, has = sympy.symbols("u has", real=True)

SURFACE = Surface(
    title="Sparse-gradient bowl",
    says=f"Every sample says something about x; one in {_EVERY} has the rare feature, and says "
    "something about y. Else the gradient of y is zero.",
    loss=(x - u) ** 2 / 2 + has * y**2 / 2,
    view=(-4, 4, -3, 3),
    start=(-3.2, 2.4),
    minima=[(0, 0)],
    place=7,
    steps=192,
    samples=[(float(a), float(i % _EVERY == 0)) for i, a in enumerate(_noise)],
    columns=(u, has),
)
