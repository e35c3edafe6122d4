"""The loss of a user's own model on a plane through its weights, and the ways of training there."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from slalom.errors import InputError
from slalom.paths.scene import MOST
from slalom.racing.findings import Standing
from slalom.racing.fingerprint import fingerprint_of
from slalom.racing.result import Result
from slalom.racing.trainer import one_thread
from slalom.train import Task
from slalom.train.loop import Loop, begun

LOOKS = 40
"""Points of a way, at most, its start not counted."""

COLUMNS, ROWS = 40, 30
"""Points at which the loss is looked at, along and across the view."""

MARGIN = 0.2
"""Of the view beyond the ways, on each side."""


@dataclass(frozen=True)
class Way:
    """A training run, looked at every so many updates.

    Attributes:
        label: who trained.
        weights: all trained parameters in one row each time, float32, of shape (looks + 1, n).
        losses: on the validation set, at each.
    """

    label: str
    weights: Tensor
    losses: list[float]


@dataclass(frozen=True)
class Plane:
    """A plane through weights.

    Attributes:
        middle: its origin, of shape (n,).
        axes: the two directions, of shape (2, n), not parallel.
        said: how they were chosen, and what they show.
    """

    middle: Tensor
    axes: Tensor
    said: str

    def project(self, weights: Tensor) -> Tensor:
        """The coordinates (m, 2) of the points of the plane nearest to weights (m, n)."""
        return torch.linalg.lstsq(self.axes.T, (weights - self.middle).T).solution.T

    def at(self, a: float, b: float) -> Tensor:
        """The weights at these coordinates."""
        return self.middle + a * self.axes[0] + b * self.axes[1]


def ways(task: Task, race: Result, seed: int = 0) -> tuple[list[Way], int]:
    """The settings of a race's standings trained again on one seed, as far as the slowest of those
    that arrived went; (ways, updates from one look to the next).

    Raises :class:`InputError` where the task or its data are not those of the race, or an entrant
    had settings of the run, or is of a class that a ledger cannot name.
    """
    if isinstance(task, Loop):
        raise InputError("a loop of your own cannot be looked into; give a slalom.Task")
    if task.name != race.meta["task"]:
        raise InputError(f"the race is of {race.meta['task']}, and the task is {task.name}")
    there = {f"{part} data": fingerprint_of(own) for part, own in
             (("training", task.train), ("validation", task.valid))}  # fmt: skip
    for what, found in there.items():
        if race.meta["fingerprints"].get(what) != found:
            raise InputError(
                f"the {what} of {task.name} is not that of the race: the plane is of the very task "
                "that was raced (data drawn at random needs a seed)"
            )
    known = [s for s in race.standings if not s.settings]
    if not known:
        raise InputError("the race has no setting that could be trained again")
    for standing in known[:MOST]:
        if of_the_run := re.findall(r"\bwith (\w+)=", standing.snippet.rpartition("#")[2]):
            raise InputError(
                f"{standing.label} raced with {', '.join(of_the_run)}, which is of the run and not "
                "of the optimizer; a plane shows none of these"
            )
    lengths = [math.ceil(s.steps_to_target or s.longest) for s in known[:MOST]]
    every = max(1, math.ceil(max(lengths) / LOOKS))
    return [_way(task, race, s, seed, every, max(lengths)) for s in known[:MOST]], every


def _way(task: Task, race: Result, of: Standing, seed: int, every: int, steps: int) -> Way:
    whole = of.batch == task.n_train != task.batch_size
    with one_thread():
        run = begun(task, race.recipe(of.label).optimizer, seed, "all" if whole else of.batch)
        weights, losses = [_flat(run.model)], [run.evaluate().valid_loss]
        for _ in range(math.ceil(steps / every)):
            run.advance(every)
            if run.diverged is not None:
                break
            weights.append(_flat(run.model))
            losses.append(run.evaluate().valid_loss)
    return Way(of.label, torch.stack(weights), losses)


def _flat(model: nn.Module) -> Tensor:
    return parameters_to_vector(model.parameters()).detach().cpu().clone()


def principal(ways: Sequence[Way]) -> Plane:
    """Through the mean of where the ways end, along the first two principal directions of all their
    points around it (Li et al. 2018, section 7)."""
    middle = torch.stack([way.weights[-1] for way in ways]).mean(0)
    points = torch.cat([way.weights for way in ways]) - middle
    sizes, along = torch.linalg.eigh((points @ points.T).double())
    if not sizes[-2] > 0:
        raise InputError("the ways lie on one line, and show no plane; race for more steps")
    axes = (along[:, -2:].T.flip(0) / sizes[-2:].flip(0).sqrt()[:, None]).to(points.dtype) @ points
    share = float(sizes[-2:].sum() / sizes.clamp(min=0).sum())
    return Plane(middle, axes, (
        "The plane goes through the mean of where they end, along the first two principal "
        f"directions of the ways: {share:.0%} of what they move is in it."
    ))  # fmt: skip


def random(task: Task, ways: Sequence[Way], seed: int = 0) -> Plane:
    """Through the end of the first way, along two random directions, each filter as long as the
    filter of the weights, what has no filters left as it is (Li et al. 2018, section 4)."""
    model = task.make_model(0)
    vector_to_parameters(ways[0].weights[-1], model.parameters())
    generator = torch.Generator().manual_seed(seed)
    axes = [
        torch.cat([_direction(p.detach().cpu(), generator).flatten() for p in model.parameters()])
        for _ in range(2)
    ]
    return Plane(ways[0].weights[-1], torch.stack(axes), (
        f"The plane goes through the end of {ways[0].label}, along two random directions, each "
        "filter as long as that of the weights. The ways hardly show in it: what training moves "
        "along is no random direction."
    ))  # fmt: skip


def _direction(weights: Tensor, generator: torch.Generator) -> Tensor:
    if weights.dim() < 2:
        return torch.zeros_like(weights)
    drawn = torch.randn(weights.shape, generator=generator)
    lengths = [t.flatten(1).norm(dim=1).clamp(min=1e-12) for t in (weights, drawn)]
    return drawn * (lengths[0] / lengths[1]).view(-1, *[1] * (weights.dim() - 1))


def losses(task: Task, plane: Plane, view: Sequence[float], model: nn.Module) -> np.ndarray:
    """The validation loss over a view (left, right, bottom, top) of the plane, (rows, columns), the
    lowest row first. What is no finite number is as the largest that is."""
    left, right, bottom, top = view
    model = copy.deepcopy(model).eval()
    found = np.empty((ROWS, COLUMNS))
    with one_thread(), torch.no_grad():
        for i, b in enumerate(np.linspace(bottom, top, ROWS)):
            for j, a in enumerate(np.linspace(left, right, COLUMNS)):
                vector_to_parameters(
                    plane.at(float(a), float(b)).to(task.device), model.parameters()
                )
                found[i, j] = task.judge(model)[0]
    finite = found[np.isfinite(found)]
    return np.where(np.isfinite(found), found, finite.max() if finite.size else 0.0)


def view_of(points: Sequence[Tensor], least: float) -> tuple[float, float, float, float]:
    """(left, right, bottom, top), 4 by 3, with a margin around points (m, 2) each; a quarter of it
    at least ``least`` wide."""
    every = torch.cat(list(points)).double()
    low, high = every.min(0).values, every.max(0).values
    middle, reach = (low + high) / 2, (high - low) / 2 * (1 + 2 * MARGIN)
    x = max(float(reach[0]), float(reach[1]) * 4 / 3, least)
    a, b = middle.tolist()
    return a - x, a + x, b - 0.75 * x, b + 0.75 * x


@dataclass(frozen=True)
class Landscape:
    """Ways on a plane, with the loss around them: what a page shows.

    Attributes:
        title, says: the page's heading, and what is seen.
        view: (left, right, bottom, top).
        heights: the loss over it, (rows, columns), the lowest row first.
        points: of each way, (looks + 1, 2).
        ways: they.
        every: updates from one point to the next.
    """

    title: str
    says: str
    view: tuple[float, float, float, float]
    heights: np.ndarray
    points: list[np.ndarray]
    ways: list[Way]
    every: int


def landscape(
    task: Task, race: Result, directions: Literal["principal", "random"] = "principal"
) -> Landscape:
    """The standings of a race, trained again on one seed, on a plane through their weights."""
    run, every = ways(task, race)
    plane = principal(run) if directions == "principal" else random(task, run)
    points = [plane.project(way.weights) for way in run]
    view = view_of(points, 0.0 if directions == "principal" else 1.0)
    heights = losses(task, plane, view, task.make_model(0))
    says = (
        f"The validation loss of {task.name} around what was trained, and the ways of the settings "
        f"that this race chose, on one seed: a point every {every} updates. {plane.said} A way "
        "lies above or below the plane by what it moves beside it, so that its own loss, on the "
        "right, need not be that of the ground under it."
    )
    return Landscape(
        f"{task.name}: the ways of {len(run)} settings", says, view, heights,
        [p.numpy() for p in points], run, every,
    )  # fmt: skip


def chapter(shown: Landscape) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """(surface, chapter) as the page's script is given them; numbers of five digits."""
    surface = {
        "view": shown.view, "minima": [], "samples": [], "order": [], "knobs": {},
        "heights": [[float(f"{v:.5g}") for v in row] for row in shown.heights],
    }  # fmt: skip
    movers = [
        {
            "label": way.label, "rule": "recorded", "hypers": {}, "batch": 1,
            "recorded": {
                "points": [[float(f"{v:.5g}") for v in point] for point in points],
                "losses": [float(f"{v:.5g}") for v in way.losses],
            },
        }
        for way, points in zip(shown.ways, shown.points, strict=True)
    ]  # fmt: skip
    steps = max(len(way.losses) for way in shown.ways) - 1
    return surface, {
        "title": shown.title, "says": shown.says, "surface": "own",
        "scene": {
            "start": movers[0]["recorded"]["points"][0], "steps": steps, "knobs": {},
            "far": None, "clock": "looks", "movers": movers,
        },
    }  # fmt: skip
