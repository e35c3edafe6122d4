"""The paths of a scene as a drawing or a film; needs matplotlib, and ffmpeg for MP4."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slalom.errors import InputError
from slalom.paths.descent import Descent, descend
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


def write(scene: Scene, path: Path) -> Path:
    """Draw the scene into ``path``, by its ending: PNG, SVG, GIF or MP4; returns the path.

    Raises :class:`InputError` for another ending, where matplotlib or ffmpeg is missing, and where
    nothing can be written there; nothing is left half-written.
    """
    kind = path.suffix.lower()
    if kind not in FORMATS:
        endings = ", ".join((".html", *FORMATS))
        raise InputError(f"{path} ends in no format that is drawn; end it in {endings}")
    try:
        from matplotlib import animation, rc_context
    except ImportError:
        raise InputError(
            "pictures need matplotlib, which is not installed: pip install 'slalom[plots]'"
        ) from None
    if kind == ".mp4" and not animation.FFMpegWriter.isAvailable():
        raise InputError("an MP4 needs ffmpeg, which is not installed; a GIF needs nothing more")
    atomic.refuse_no_file(path)
    with tempfile.TemporaryDirectory() as folder, rc_context({"svg.hashsalt": "slalom"}):
        made = Path(folder) / f"picture{kind}"
        drawn = Drawing(scene)
        if kind in (".png", ".svg"):
            metadata: dict[str, Any] = {"Date": None} if kind == ".svg" else {}
            drawn.figure.savefig(made, dpi=150, metadata=metadata)
        else:
            writer = animation.PillowWriter if kind == ".gif" else animation.FFMpegWriter
            ends = np.unique(np.linspace(0, scene.end, FRAMES).astype(int))
            film = animation.FuncAnimation(drawn.figure, drawn.show, frames=[int(e) for e in ends])
            film.save(made, writer=writer(fps=PER_SECOND), dpi=100)
        return atomic.write(made.read_bytes(), path)


class Drawing:
    """A scene's figure: the surface with the paths, and beside it the loss.

    Attributes:
        figure: of matplotlib's.
        descents: the ways drawn, one a mover.
    """

    def __init__(self, scene: Scene):
        from matplotlib.figure import Figure

        self.scene = scene
        self.descents = [descend(scene, mover) for mover in scene.movers]
        self.figure: Figure = Figure(figsize=(11, 4.9), layout="constrained")
        surface, loss = self.figure.subplots(1, 2, width_ratios=(1.35, 1))
        _terrain(surface, scene)
        self._paths = [surface.plot([], [], marker=".", ms=3.5, lw=1.8)[0] for _ in self.descents]
        self._heads = [surface.plot([], [], marker="o", ms=7)[0] for _ in self.descents]
        self._curves = [loss.plot([], [], lw=1.8)[0] for _ in self.descents]
        _axes_of_loss(loss, scene, self.descents)
        for colour, d, *artists in zip(
            COLOURS, self.descents, self._paths, self._heads, self._curves, strict=False
        ):
            for artist in artists:
                artist.set_color(colour)
            artists[-1].set_label(told(d))
        loss.legend(frameon=False, fontsize=9)
        self.show(scene.end)

    def show(self, step: int) -> Sequence[Any]:
        """Draw the paths up to this step."""
        for d, path, head, curve in zip(
            self.descents, self._paths, self._heads, self._curves, strict=True
        ):
            points = d.points[: step + 1]
            path.set_data(points[:, 0], points[:, 1])
            head.set_data(points[-1:, 0], points[-1:, 1])
            above = d.losses[: len(points)] - self.scene.lowest
            curve.set_data(np.arange(len(points)), np.maximum(above, LOWEST_SHOWN))
        return (*self._paths, *self._heads, *self._curves)


LOWEST_SHOWN = 1e-8
"""Losses less than this above the lowest are drawn here, since the axis is logarithmic."""


def told(descent: Descent) -> str:
    """A mover as the legend says it: its learning rate, and where it diverged."""
    rate = descent.mover.hypers.get("lr")
    words = descent.mover.label + ("" if rate is None else f", lr {rate:g}")
    return words if descent.diverged is None else f"{words}: diverged in step {descent.diverged}"


def _terrain(axes: Axes, scene: Scene) -> None:
    """The surface in bands of equal area, its lowest points and the start."""
    from matplotlib.colors import LinearSegmentedColormap

    left, right, bottom, top = scene.surface.view
    a, b = np.meshgrid(np.linspace(left, right, GRID), np.linspace(bottom, top, GRID))
    heights = scene.surface.height(scene.turned)(a, b)
    levels = np.unique(np.quantile(heights, np.linspace(0, 1, LEVELS + 1)))
    shades = LinearSegmentedColormap.from_list("terrain", SHADES)
    colours = [shades(share) for share in np.linspace(0, 1, len(levels) - 1)]
    axes.contourf(a, b, heights, levels=levels, colors=colours)
    axes.contour(a, b, heights, levels=levels, colors="#8fa3b5", linewidths=0.5)
    axes.plot(*np.transpose(scene.surface.minima), "*", color="#1c2127", ms=11, ls="")
    axes.plot(*scene.begin, "o", mfc="white", mec="#1c2127", ms=9, zorder=3)
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xlabel="x", ylabel="y")
    turned = ", ".join(f"{name} {value:g}" for name, value in scene.turned.items())
    axes.set_title(scene.surface.title + (f": {turned}" if turned else ""), loc="left")


def _axes_of_loss(axes: Axes, scene: Scene, descents: Sequence[Descent]) -> None:
    above = np.concatenate([d.losses for d in descents]) - scene.lowest
    first = float(descents[0].losses[0] - scene.lowest)
    low, high = max(float(above.min()), LOWEST_SHOWN), min(float(above.max()), 1e3 * first)
    axes.set(yscale="log", xlim=(0, scene.end), ylim=(low / 2, max(high, low) * 2), xlabel="steps")
    axes.set_title("Loss above the lowest", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
