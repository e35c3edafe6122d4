"""The order of the house: who may import whom, and that every module is found by its name."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import types
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import slalom

ROOT = Path(slalom.__file__).parent

LAYERS = (
    ("__main__",), ("cli",), ("bench",), ("", ), ("api",), ("fitting",), ("report",), ("paths",),
    ("racing",), ("tasks",), ("train",), ("optim",), ("engine",), ("backends",), ("ir",),
    ("rules",), ("testing",), ("errors",), ("interrupts", "plain", "version"),
)  # fmt: skip
"""From above to below, by the first name in ``slalom``, which is itself the empty one. An import
leads down, or stays in its part of the house."""


def modules() -> dict[str, Path]:
    """Dotted name -> file, of every module of the package."""
    found = {}
    for file in ROOT.rglob("*.py"):
        parts = ("slalom", *file.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()


def part(module: str) -> str:
    """The part of the house that a module belongs to."""
    return [*module.split("."), ""][1]


def imported(module: str) -> Iterator[str]:
    """The modules of Slalom that one imports: anywhere, in functions and for types alone too."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in MODULES:
                    yield whole
                elif node.module in MODULES:
                    yield node.module


GRAPH = {module: set(imported(module)) - {module} for module in MODULES}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The ways through a graph that come back to where they began, one for each edge back."""
    found, done = [], set()

    def walk(node: str, way: list[str]) -> None:
        if node in way:
            found.append([*way[way.index(node) :], node])
        elif node not in done:
            for other in sorted(graph.get(node, ())):
                walk(other, [*way, node])
            done.add(node)

    for node in sorted(graph):
        walk(node, [])
    return found


def test_every_module_belongs_to_a_layer():
    assert {part(m) for m in MODULES} <= {name for layer in LAYERS for name in layer}


def test_no_import_leads_up():
    height = {name: -i for i, layer in enumerate(LAYERS) for name in layer}
    up = [
        f"{module} -> {other}"
        for module, others in GRAPH.items()
        for other in others
        if height[part(other)] > height[part(module)]
    ]
    assert up == []


def test_no_imports_go_in_a_circle():
    assert circles(GRAPH) == []


def test_no_parts_of_the_house_import_one_another():
    parts: dict[str, set[str]] = {}
    for module, others in GRAPH.items():
        parts.setdefault(part(module), set()).update(part(o) for o in others)
    assert circles({p: others - {p} for p, others in parts.items()}) == []


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [["a", "b", "c", "a"]]
    assert circles({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []


@pytest.mark.parametrize(
    "name", sorted(m.name for m in pkgutil.walk_packages(slalom.__path__, "slalom."))
)
def test_a_module_is_what_its_name_says(name):
    """``import slalom.a.b as m`` gives the module b, and no function of that name."""
    for every in MODULES:  # whatever else was imported
        importlib.import_module(every)
    module = importlib.import_module(name)
    parent, _, leaf = name.rpartition(".")
    found = getattr(importlib.import_module(parent), leaf)
    assert isinstance(found, types.ModuleType)
    assert found is module


def test_test_files_have_names_of_their_own():
    """Two of one name cannot be collected together."""
    names = Counter(file.name for file in Path(__file__).parent.rglob("test_*.py"))
    assert [name for name, n in names.items() if n > 1] == []
