"""The command that shows how the methods move."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from slalom.errors import InputError


def _surfaces() -> list[str]:
    from slalom.paths.surfaces import NAMES

    return list(NAMES)


def paths(
    surface: Annotated[
        str | None,
        typer.Argument(
            help="ravine, rosenbrock, beale, himmelblau, saddle, rastrigin, noisy-bowl or "
            "sparse-bowl.",
            autocompletion=_surfaces,
            show_default="ravine",
        ),
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(
            help="Who moves, separated by commas, 8 at most.",
            show_default="sgd,momentum,adagrad,rmsprop,adam",
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Where from: --start=-1,2.", show_default="the surface's")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Updates of each.", show_default="the surface's")
    ] = None,
    knob: Annotated[
        list[str] | None, typer.Option(help="Of the surface: condition=100 for the ravine.")
    ] = None,
    race: Annotated[
        Path | None,
        typer.Option(
            help="A race's folder: how its settings moved, on a plane through the weights of its "
            "own task, which is named in the place of a surface: slalom paths digits --race RACE."
        ),
    ] = None,
    directions: Annotated[
        str | None,
        typer.Option(
            help="Of that plane: principal, of the ways; or random.", show_default="principal"
        ),
    ] = None,
    lesson: Annotated[
        bool, typer.Option("--lesson", help="One page in chapters, as the textbooks go.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="FILE.html, .png, .svg, .gif or .mp4.", show_default="SURFACE.html"),
    ] = None,
) -> None:
    """Show how rules go down a surface from one start, each at the best of some learning rates.

    A page to play with, which needs no network, or a picture or film, by the ending of --out.
    """
    from slalom.paths import page, picture
    from slalom.paths.lesson import LESSON
    from slalom.paths.scene import USUAL, scene

    moved = {"--rules": rules, "--start": start, "--steps": steps, "--knob": knob}
    if lesson:
        given = {"a surface": surface, **moved, "--race": race, "--directions": directions}
        _refuse(given, "a lesson, whose chapters have their own")
        path = out or Path("lesson.html")
        if path.suffix.lower() != ".html":
            raise InputError(f"a lesson is a page; end {path} in .html")
        print(page.write(LESSON, path, "a lesson"))
        return
    if race is not None:
        _refuse(moved, "the plane of a race, whose runs are what moves")
        _own(surface, race, directions or "principal", out or Path("plane.html"))
        return
    _refuse({"--directions": directions}, "a surface; it is of the plane of a race")
    name = surface or "ravine"
    who = USUAL if rules is None else rules.split(",")
    shown = scene(name, who, start=start, steps=steps, knobs=knob or ())
    path = out or Path(f"{name}.html")
    if _is_page(path):
        print(page.write([shown], path))
    else:
        print(picture.write(picture.of_scene(shown), path))


def _is_page(path: Path) -> bool:
    """Whether a page is asked for, and no picture; :class:`InputError`, before anything is
    computed, where neither can be there."""
    from slalom.paths import picture
    from slalom.train import atomic

    if path.suffix.lower() != ".html":
        picture.refuse(path)
        return False
    atomic.refuse_no_file(path)
    return True


def _refuse(given: Mapping[str, Any], what: str) -> None:
    """Raise :class:`InputError` for the first of these options that was given."""
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{name} does nothing for {what}")


def _own(task: str | None, race: Path, directions: str, out: Path) -> None:
    from slalom.paths import page, picture
    from slalom.paths.plane import landscape
    from slalom.racing.result import Result
    from slalom.tasks import load

    if task is None:
        raise InputError("name the race's task before --race: slalom paths my_task.py --race RACE")
    if directions not in ("principal", "random"):
        raise InputError(f"--directions is {directions!r}; it is principal or random")
    is_page = _is_page(out)
    shown = landscape(load(task), Result(race), directions)  # type: ignore[arg-type]
    if is_page:
        print(page.write_landscape(shown, out))
    else:
        print(picture.write(picture.of_landscape(shown), out))
