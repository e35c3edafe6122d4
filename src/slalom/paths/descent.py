"""A mover's way down a surface, by the rule itself in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from slalom.paths.scene import Mover, Scene

RATES = tuple(round(f * 10.0**e, 10) for e in range(-4, 1) for f in (1, 2, 5))
"""Learning rates that are tried where none is given."""

FAR = 1e6
"""A parameter beyond this has diverged."""

LEAST = 1e-6
"""Of the first loss above the lowest: what is below counts as this when rates are compared."""


@dataclass(frozen=True)
class Descent:
    """The way of one mover.

    Attributes:
        mover: who moved, its learning rate given.
        points: float64, of shape (updates + 1, 2), the start first. It ends before the update that
            left what is finite and within :data:`FAR`.
        losses: over all samples, at each point.
        diverged: the number of that update; None if there was none.
    """

    mover: Mover
    points: np.ndarray
    losses: np.ndarray
    diverged: int | None


def descend(scene: Scene, mover: Mover) -> Descent:
    """Let a mover go down the scene's surface; its learning rate is found where it has none."""
    if "lr" in mover.rule.hypers and "lr" not in mover.hypers:
        mover = tuned(scene, mover)
    return _descend(scene, mover)


def tuned(scene: Scene, mover: Mover) -> Mover:
    """The mover with the learning rate of :data:`RATES` that brings it down soonest.

    That is the one with the lowest mean logarithm of the loss over the scene, among those with
    which it stays in view.
    """
    return min(
        (replace(mover, hypers={**mover.hypers, "lr": rate}) for rate in RATES),
        key=lambda candidate: _score(scene, _descend(scene, candidate)),
    )


def _score(scene: Scene, descent: Descent) -> float:
    if descent.diverged is not None or _leaves(scene, descent.points):
        return math.inf
    above = descent.losses - scene.lowest
    if above[0] <= 0:
        return float(above.mean())
    return float(np.log10(np.maximum(above / above[0], LEAST)).mean())


def _leaves(scene: Scene, points: np.ndarray) -> bool:
    left, right, bottom, top = scene.surface.view
    middle = np.array([left + right, bottom + top]) / 2
    reach = 0.5 * np.array([right - left, top - bottom])
    return bool((np.abs(points - middle) > reach).any())


def _descend(scene: Scene, mover: Mover) -> Descent:
    rule = mover.rule
    slope = scene.surface.slope(scene.turned, mover.batch)
    height = scene.surface.height(scene.turned)
    hypers = {**rule.hypers, **mover.hypers}
    param = torch.tensor(scene.begin, dtype=torch.float64)
    begins = {n: rule.start(n, hypers) for n in rule.arguments}
    state: list[Any] = [
        begin if n in rule.numbers else param.new_full(rule.shape(n, param.shape, hypers), begin)
        for n, begin in begins.items()
    ]
    points, diverged = [scene.begin], None
    for step in range(1, scene.end + 1):
        grad = _finite(slope, *points[-1], step)
        clock: dict[str, Any] = {"step": step} if rule.takes_step else {}
        clock |= {"first": step == 1} if rule.takes_first else {}
        results = rule(param, torch.tensor(grad, dtype=torch.float64), *state, **hypers, **clock)
        param, *state = rule.results(results)
        a, b = param.tolist()
        if not (abs(a) <= FAR and abs(b) <= FAR):
            diverged = step
            break
        points.append((a, b))
    way = np.array(points)
    return Descent(mover, way, height(way[:, 0], way[:, 1]), diverged)


def _finite(slope: Callable[..., Any], a: float, b: float, step: int) -> Any:
    try:
        return slope(a, b, step)
    except OverflowError:  # Python raises where IEEE has infinities
        return math.inf, math.inf
