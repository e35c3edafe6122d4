"""The command that shows how the methods move."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _surfaces() -> list[str]:
    from slalom.paths.surfaces import NAMES

    return list(NAMES)


def paths(
    surface: Annotated[
        str,
        typer.Argument(
            help="ravine, rosenbrock, beale, himmelblau, saddle, rastrigin, noisy-bowl or "
            "sparse-bowl.",
            autocompletion=_surfaces,
        ),
    ] = "ravine",
    rules: Annotated[
        str, typer.Option(help="Who moves, separated by commas, 8 at most.")
    ] = "sgd,momentum,adagrad,rmsprop,adam",
    start: Annotated[
        str | None, typer.Option(help="Where from: --start=-1,2.", show_default="the surface's")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Updates of each.", show_default="the surface's")
    ] = None,
    knob: Annotated[
        list[str] | None, typer.Option(help="Of the surface: condition=100 for the ravine.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="FILE.html, .png, .svg, .gif or .mp4.", show_default="SURFACE.html"),
    ] = None,
) -> None:
    """Show how rules go down a surface from one start, each at the best of some learning rates.

    A page to play with, which needs no network, or a picture or film, by the ending of --out.
    """
    from slalom.paths import page, picture
    from slalom.paths.scene import scene

    shown = scene(surface, rules.split(","), start=start, steps=steps, knobs=knob or ())
    path = out or Path(f"{surface}.html")
    print((page if path.suffix.lower() == ".html" else picture).write(shown, path))
