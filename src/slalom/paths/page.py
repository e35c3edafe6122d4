"""The page of the paths: one HTML file that computes every path itself and needs nothing else."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from slalom.ir.formula import input_name
from slalom.ir.javascript import javascript, literal
from slalom.paths import plane
from slalom.paths.descent import FAR, descend
from slalom.paths.picture import COLOURS, SHADES
from slalom.paths.plane import Landscape
from slalom.paths.scene import Mover, Scene
from slalom.paths.sliders import controls, counted, fixed
from slalom.paths.surface import Surface
from slalom.rules import Rule
from slalom.train import atomic

SCRIPTS = ("descent", "numbers", "drawing", "card", "app")
"""The page's own script, in the order in which its files build on one another."""

DARK = (
    "#6cb8ff", "#ff9d5c", "#4fd1a5", "#f28ad0", "#e0b84f", "#b7a3ff", "#c3ccd6", "#ff8f8f",
)  # fmt: skip
"""Where the screen is dark, for the movers as :data:`slalom.paths.picture.COLOURS`."""

DARK_SHADES = ("#14181d", "#33404d")
"""Where the screen is dark, of the lowest and of the highest parts of a surface."""


def write(scenes: Sequence[Scene], path: Path, title: str = "") -> Path:
    """Write the page of some scenes, whole or not at all; returns the path.

    Raises :class:`InputError` if nothing can be written there.
    """
    atomic.refuse_no_file(path)
    return atomic.write(page(scenes, title).encode(), path)


def page(scenes: Sequence[Scene], title: str = "") -> str:
    """The page as HTML: one scene at a time, each a chapter where there are several."""
    first = scenes[0]
    says = first.says or first.surface.says
    return _assembled(title or _title(first), _title(first), says, data(scenes))


def write_landscape(shown: Landscape, path: Path) -> Path:
    """Write the page of a plane through a model's weights, as :func:`write` does."""
    surface, chapter = plane.chapter(shown)
    written = {name: _json(value) for name, value in surface.items()}
    written |= {"loss": "null", "grad": "null", "one": "null"}
    nobody = {"title": "", "hypers": {}, "controls": {}, "states": []}
    given = _constants(
        {"recorded": _json(nobody)}, {"own": f"over({_object(written)})"}, [chapter]
    )  # fmt: skip
    atomic.refuse_no_file(path)
    text = _assembled(shown.title, shown.title, shown.says, given)
    return atomic.write(text.encode(), path)


def _assembled(page: str, title: str, says: str, data: str) -> str:
    return Template(_asset("page.html")).substitute(
        page=html.escape(page),
        title=html.escape(title),
        says=html.escape(says),
        style=_asset("page.css"),
        data=data,
        script="\n".join(_asset(f"{name}.js") for name in SCRIPTS),
    )


def data(scenes: Sequence[Scene]) -> str:
    """What the page's script is given, as JavaScript: the rules, the surfaces and the scenes."""
    movers = [[descend(scene, mover).mover for mover in scene.movers] for scene in scenes]
    rules = {mover.rule.name: mover.rule for own in movers for mover in own}
    chapters = [_chapter(scene, own) for scene, own in zip(scenes, movers, strict=True)]
    surfaces = {scene.name: scene.surface for scene in scenes}
    return _constants(
        {name: _rule(rule) for name, rule in rules.items()},
        {name: _surface(surface) for name, surface in surfaces.items()}, chapters,
    )  # fmt: skip


def _constants(
    rules: dict[str, str], surfaces: dict[str, str], chapters: Sequence[Mapping[str, Any]]
) -> str:
    parts = {
        "RULES": _object(rules),
        "SURFACES": _object(surfaces),
        "CHAPTERS": _json(chapters),
        "LOOKS": _json({
            "light": {"colours": COLOURS, "shades": SHADES},
            "dark": {"colours": DARK, "shades": DARK_SHADES},
        }),
    }  # fmt: skip
    written = [f"const {name} = {value};" for name, value in parts.items()]
    return "\n".join([*written, "let SURFACE = SURFACES[CHAPTERS[0].surface];"])


def _title(scene: Scene) -> str:
    return scene.title or scene.surface.title


def _chapter(scene: Scene, movers: Sequence[Mover]) -> dict[str, Any]:
    return {
        "title": _title(scene), "says": scene.says or scene.surface.says, "surface": scene.name,
        "scene": {
            "start": scene.begin, "steps": scene.end, "knobs": scene.turned, "far": FAR,
            "clock": scene.clock, "movers": [_mover(mover) for mover in movers],
        },
    }  # fmt: skip


def _rule(rule: Rule) -> str:
    more = {"controls": controls(rule), "fixed": fixed(rule)}
    return f"Object.assign({javascript(rule, 2, fixed(rule), counted(rule))}, {literal(more)})"


def _surface(surface: Surface) -> str:
    about = {
        "view": surface.view, "minima": surface.minima, "samples": surface.samples,
        "order": surface.order, "knobs": {n: vars(knob) for n, knob in surface.knobs.items()},
    }  # fmt: skip
    written = {name: _json(value) for name, value in about.items()}
    return _object({**written, **surface.javascript()})


def _mover(mover: Mover) -> dict[str, Any]:
    hypers: dict[str, Any] = {}
    for name, value in mover.hypers.items():
        many = value if isinstance(value, tuple) else None
        one = {name: value} if many is None else {f"{name}[{i}]": v for i, v in enumerate(many)}
        hypers |= {input_name(n): v for n, v in one.items()}
    return {"label": mover.label, "rule": mover.rule.name, "hypers": hypers, "batch": mover.batch}


def _asset(name: str) -> str:
    return resources.files("slalom.paths").joinpath("assets", name).read_text("utf-8")


def _object(fields: dict[str, str]) -> str:
    return "{\n" + ",\n".join(f"{json.dumps(n)}: {v}" for n, v in fields.items()) + "\n}"


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")
