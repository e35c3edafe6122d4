"""Paths as a drawing or a film; needs matplotlib, and ffmpeg for MP4."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slalom.errors import InputError
from slalom.paths.descent import Descent, descend
from slalom.paths.plane import Landscape
from slalom.paths.scene import Scene
from slalom.train import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (
    "#0b62a8", "#c2410c", "#00795c", "#a21c6f", "#7a5300", "#5b3fb8", "#3d4650", "#8f1d2c",
)  # fmt: skip
"""One a mover; each at least 3:1 against the darkest shade of the surface."""

SHADES = ("#ffffff", "#c6d3e0")
"""Of the lowest and of the highest parts of a surface."""

LEVELS, GRID = 18, 240
"""Bands of equal area that a surface is drawn in, and points a side at which it is looked at."""

FRAMES, PER_SECOND = 90, 15
"""Of a film, at most and in a second."""

FORMATS = (".png", ".svg", ".gif", ".mp4")
"""How the name of a picture may end."""


@dataclass(frozen=True)
class Shown:
    """What is drawn.

    Attributes:
        title: above the ground.
        axes: titles of its two axes.
        view: (left, right, bottom, top).
        ground: the loss over it, (rows, columns), the lowest row first.
        begin: where the ways begin.
        minima: the lowest points.
        labels, points, losses: of each way; points of shape (looks + 1, 2), losses as many.
        every: steps from one look to the next.
        end: looks until the end.
        above: how the losses are told.
    """

    title: str
    axes: tuple[str, str]
    view: tuple[float, float, float, float]
    ground: np.ndarray
    begin: tuple[float, float]
    minima: Sequence[tuple[float, float]]
    labels: Sequence[str]
    points: Sequence[np.ndarray]
    losses: Sequence[np.ndarray]
    every: int
    end: int
    above: str


def of_scene(scene: Scene) -> Shown:
    """The ways of a scene down its surface."""
    left, right, bottom, top = scene.surface.view
    a, b = np.meshgrid(np.linspace(left, right, GRID), np.linspace(bottom, top, GRID))
    turned = ", ".join(f"{name} {value:g}" for name, value in scene.turned.items())
    descents = [descend(scene, mover) for mover in scene.movers]
    return Shown(
        scene.surface.title + (f": {turned}" if turned else ""), ("x", "y"), scene.surface.view,
        scene.surface.height(scene.turned)(a, b), scene.begin, scene.surface.minima,
        [told(d) for d in descents], [d.points for d in descents],
        [d.losses - scene.lowest for d in descents], 1, scene.end, "Loss above the lowest",
    )  # fmt: skip


def of_landscape(found: Landscape) -> Shown:
    """The ways of a race's settings on a plane through their weights."""
    x, y = found.points[0][0].tolist()
    return Shown(
        found.title, ("first direction", "second direction"), found.view, found.heights, (x, y), (),
        [way.label for way in found.ways], found.points,
        [np.array(way.losses) for way in found.ways], found.every,
        max(len(way.losses) for way in found.ways) - 1, "Validation loss",
    )  # fmt: skip


def refuse(path: Path) -> None:
    """Raise :class:`InputError` where no picture can be drawn into ``path``: another ending, or no
    matplotlib, or no ffmpeg, or nothing can be written there."""
    kind = path.suffix.lower()
    if kind not in FORMATS:
        endings = ", ".join((".html", *FORMATS))
        raise InputError(f"{path} ends in no format that is drawn; end it in {endings}")
    try:
        from matplotlib import animation
    except ImportError:
        raise InputError(
            "pictures need matplotlib, which is not installed: pip install 'slalom[plots]'"
        ) from None
    if kind == ".mp4" and not animation.FFMpegWriter.isAvailable():
        raise InputError("an MP4 needs ffmpeg, which is not installed; a GIF needs nothing more")
    atomic.refuse_no_file(path)


def write(shown: Shown, path: Path) -> Path:
    """Draw into ``path``, by its ending: PNG, SVG, GIF or MP4; returns the path.

    Raises :class:`InputError` as :func:`refuse` does; nothing is left half-written.
    """
    refuse(path)
    from matplotlib import animation, rc_context

    kind = path.suffix.lower()
    with tempfile.TemporaryDirectory() as folder, rc_context({"svg.hashsalt": "slalom"}):
        made = Path(folder) / f"picture{kind}"
        drawn = Drawing(shown)
        if kind in (".png", ".svg"):
            metadata: dict[str, Any] = {"Date": None} if kind == ".svg" else {}
            drawn.figure.savefig(made, dpi=150, metadata=metadata)
        else:
            writer = animation.PillowWriter if kind == ".gif" else animation.FFMpegWriter
            ends = np.unique(np.linspace(0, shown.end, FRAMES).astype(int))
            film = animation.FuncAnimation(drawn.figure, drawn.show, frames=[int(e) for e in ends])
            film.save(made, writer=writer(fps=PER_SECOND), dpi=100)
        return atomic.write(made.read_bytes(), path)


class Drawing:
    """The figure: the ground with the ways, and beside it the loss.

    Attributes:
        figure: of matplotlib's.
    """

    def __init__(self, shown: Shown):
        from matplotlib.figure import Figure

        self.shown = shown
        self.figure: Figure = Figure(figsize=(11, 4.9), layout="constrained")
        ground, loss = self.figure.subplots(1, 2, width_ratios=(1.35, 1))
        _terrain(ground, shown)
        _axes_of_loss(loss, shown)
        self._artists = [
            (ground.plot([], [], color=colour, marker=".", ms=3.5, lw=1.8)[0],
             ground.plot([], [], color=colour, marker="o", ms=7)[0],
             loss.plot([], [], color=colour, lw=1.8, label=label)[0])
            for colour, label in zip(COLOURS, shown.labels, strict=False)
        ]  # fmt: skip
        for text in loss.legend(frameon=False, fontsize=9).get_texts():
            text.set_parse_math(False)
        self.show(shown.end)

    def show(self, look: int) -> Sequence[Any]:
        """Draw the ways up to this look."""
        least = LOWEST_SHOWN if _logarithmic(self.shown) else -np.inf
        for points, losses, (path, head, curve) in zip(
            self.shown.points, self.shown.losses, self._artists, strict=True
        ):
            been = points[: look + 1]
            path.set_data(been[:, 0], been[:, 1])
            head.set_data(been[-1:, 0], been[-1:, 1])
            steps = self.shown.every * np.arange(len(been))
            curve.set_data(steps, np.maximum(losses[: len(been)], least))
        return [artist for own in self._artists for artist in own]


LOWEST_SHOWN = 1e-8
"""Losses less than this above the lowest are drawn here, where the axis is logarithmic."""


def told(descent: Descent) -> str:
    """A mover as the legend says it: its learning rate, and where it diverged."""
    rate = descent.mover.hypers.get("lr")
    words = descent.mover.label + ("" if rate is None else f", lr {rate:g}")
    return words if descent.diverged is None else f"{words}: diverged in step {descent.diverged}"


def _terrain(axes: Axes, shown: Shown) -> None:
    """The ground in bands of equal area, its lowest points and the start."""
    from matplotlib.colors import LinearSegmentedColormap

    left, right, bottom, top = shown.view
    rows, columns = shown.ground.shape
    a, b = np.meshgrid(np.linspace(left, right, columns), np.linspace(bottom, top, rows))
    levels = np.unique(np.quantile(shown.ground, np.linspace(0, 1, LEVELS + 1)))
    if len(levels) > 1:
        shades = LinearSegmentedColormap.from_list("terrain", SHADES)
        colours = [shades(share) for share in np.linspace(0, 1, len(levels) - 1)]
        axes.contourf(a, b, shown.ground, levels=levels, colors=colours)
        axes.contour(a, b, shown.ground, levels=levels, colors="#8fa3b5", linewidths=0.5)
    for minimum in shown.minima:
        axes.plot(*minimum, "*", color="#1c2127", ms=11, ls="")
    axes.plot(*shown.begin, "o", mfc="white", mec="#1c2127", ms=9, zorder=3)
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axes.set_xlabel(shown.axes[0])
    axes.set_ylabel(shown.axes[1])
    axes.set_title(shown.title, loc="left", parse_math=False)


def _logarithmic(shown: Shown) -> bool:
    """Whether the losses are drawn so: those of a user's own may be negative."""
    return min(float(np.nanmin(losses)) for losses in shown.losses) >= 0


def _axes_of_loss(axes: Axes, shown: Shown) -> None:
    losses, first = np.concatenate(shown.losses), float(shown.losses[0][0])
    axes.set_xlim(0, shown.every * shown.end)
    axes.set_xlabel("steps")
    if _logarithmic(shown):
        low, high = max(float(losses.min()), LOWEST_SHOWN), min(float(losses.max()), 1e3 * first)
        axes.set(yscale="log", ylim=(low / 2, max(high, low) * 2))
    axes.set_title(shown.above, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
