"""What a release says of itself is said once, and everywhere alike."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import slalom

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = [
    c.removeprefix("Programming Language :: Python :: ")
    for c in PROJECT["classifiers"]
    if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", c)
]
TORCH = next(d for d in PROJECT["dependencies"] if d.startswith("torch>=")).removeprefix("torch>=")


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_the_version_is_one():
    assert re.fullmatch(r"\d+\.\d+\.\d+", slalom.__version__)
    assert f"\nversion: {slalom.__version__}\n" in text("CITATION.cff")
    newest = re.search(r"^## (\S+)", text("CHANGELOG.md"), re.MULTILINE)
    assert newest
    assert newest[1] in (slalom.__version__, "Unreleased")
    assert f"\n## {slalom.__version__}\n" in text("CHANGELOG.md")


def test_the_versions_of_python_and_torch_are_those_of_pyproject():
    first, last = PYTHONS[0], PYTHONS[-1]
    assert PROJECT["requires-python"] == f">={first}"
    assert [f"3.{minor}" for minor in range(11, 11 + len(PYTHONS))] == PYTHONS
    told = f"Python {first} to {last} and torch {TORCH} or later"
    for name in ("README.md", "CONTRIBUTING.md"):
        assert told in " ".join(text(name).split()), name
    pyproject = tomllib.loads(text("pyproject.toml"))
    assert pyproject["tool"]["pyright"]["pythonVersion"] == first


def test_types_are_shipped_and_all_of_the_sdist_is_there():
    assert (Path(slalom.__file__).parent / "py.typed").exists()
    build = tomllib.loads(text("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]
    for pattern in build["sdist"]["include"]:
        assert list(ROOT.glob(pattern)), pattern
