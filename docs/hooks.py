"""What mkdocs does to the pages while it builds them.

The list of rules, a page for each of them and the list of built-in tasks are made from the code,
and what docstrings refer to becomes links.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from slalom.optim.catalogue import markdown, page
from slalom.rules import RULES

HERE = Path(__file__).parent if "__file__" in globals() else Path("docs")
MARKER, TASKS = "<!-- rules -->", "<!-- tasks -->"
ROLE = re.compile(r":(?:class|func|meth|data|mod):<code>([\w.]+)</code>")


def on_config(config: Any) -> Any:
    """With the pages of the rules in the navigation."""
    for part in config.nav or []:
        for entries in part.values() if isinstance(part, dict) else ():
            for entry in entries if isinstance(entries, list) else ():
                if "The rules" in entry:
                    entry["The rules"] = [{r.class_name: f"rules/{n}.md"} for n, r in RULES.items()]
    return config


def on_files(files: Any, config: Any) -> Any:
    """With a page and a picture for each rule."""
    from mkdocs.structure.files import File

    methods = (HERE / "methods.md").read_text()
    for name, rule in RULES.items():
        text = page(rule) + _picture(name) + _elsewhere(methods, rule.class_name)
        files.append(File.generated(config, f"rules/{name}.md", content=text))
        files.append(File.generated(config, f"rules/{name}.svg", content=_drawn(name)))
    return files


def _picture(name: str) -> str:
    return (
        "## How it moves\n\n"
        f"![{name} and SGD from one start](./{name}.svg)\n\n"
        "Down a ravine 30 times as steep across as along, each at the best of some learning rates. "
        f"`slalom paths ravine --rules sgd,{name}` makes a page of it to play with "
        "([How the methods move](../paths.md)).\n\n"
    )


@cache
def _way(name: str) -> tuple[str, Any]:
    """What the legend says of a rule, and its points down the ravine."""
    from slalom.paths.descent import descend
    from slalom.paths.picture import told
    from slalom.paths.scene import scene

    on = scene("ravine", [name])
    descent = descend(on, on.movers[0])
    return told(descent), descent.points


def _drawn(name: str) -> str:
    """The ravine, whose level lines are ellipses, with the ways of SGD and of a rule, as SVG."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-400 -300 800 600" width="560">',
        '<rect x="-400" y="-300" width="800" height="600" fill="#ffffff"/>',
    ]
    for height in (250, 180, 120, 75, 40, 18, 5):
        parts.append(
            f'<ellipse rx="{height * 30**0.5:.0f}" ry="{height}" fill="none" stroke="#8fa3b5"/>'
        )
    for i, (who, colour) in enumerate({"sgd": "#6b7785", name: "#c2410c"}.items()):
        label, points = _way(who)
        at = " ".join(f"{100 * x:.1f},{-100 * y:.1f}" for x, y in points.clip(-9, 9))
        dots = f'<polyline points="{at}" fill="none" stroke="{colour}" stroke-width="3"/>'
        parts += [dots, f'<text x="-385" y="{270 - 24 * i}" fill="{colour}" font-size="20" '
                  f'font-family="sans-serif">{label}</text>']  # fmt: skip
    return "\n".join([*parts, "</svg>"])


def _elsewhere(methods: str, name: str) -> str:
    """Links to the sections of methods.md that name the class."""
    found = []
    for section in re.split(r"(?m)^## ", methods)[1:]:
        heading, _, body = section.partition("\n")
        if re.search(rf"\b{name}\b", body, re.IGNORECASE):
            anchor = re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
            found.append(f"- [{heading}](../methods.md#{anchor})")
    return "\n".join(["## Elsewhere", "", *found, ""]) if found else ""


def tasks() -> str:
    """The built-in tasks as a table."""
    import slalom.tasks

    rows = [
        "| task | what | target | samples | parameters | batch |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for name, make in slalom.tasks.TASKS.items():
        task, module = (
            make(),
            import_module(f"slalom.tasks.{name.replace('-', '_')}"),
        )
        what = (module.__doc__ or "").strip().splitlines()[0].rstrip(".")
        weights = sum(p.numel() for p in task.make_model(0).parameters())
        goal = f"{task.metric.name} {task.target:g}"
        rows.append(
            f"| `{name}` | {what} | {goal} | {task.n_train:,} | {weights:,} | {task.batch_size} |"
        )
    return "\n".join(rows)


def on_page_markdown(text: str, **_: Any) -> str:
    """The page with what is made from the code where its markers stand."""
    for marker, made in ((MARKER, markdown), (TASKS, tasks)):
        text = text.replace(marker, made()) if marker in text else text
    return text


def on_page_content(html: str, **_: Any) -> str:
    """The page with a link for each ``:class:`` and the like, where a page has what it names."""
    return ROLE.sub(r'<autoref identifier="\1" optional><code>\1</code></autoref>', html)
