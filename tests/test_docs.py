"""Every block of Python in these pages runs as it stands, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import slalom
from slalom.optim import catalogue

DOCS = Path(__file__).parents[1] / "docs"


PAGES = sorted(
    path.name for path in DOCS.glob("*.md")
    if "```python" in path.read_text() and path.name not in ("methods.md", "optimizers.md")
)  # fmt: skip
"""Not those whose blocks are tested elsewhere, or made from the code."""


@pytest.mark.parametrize("page", [*PAGES, pytest.param("../README.md", marks=pytest.mark.slow)])
def test_the_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "__main__"}
    blocks = re.findall(
        r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE
    )
    assert blocks
    for block in blocks:
        exec(block, names)
        if isinstance(names.get("task"), slalom.Task):
            names["task"].check()


README, CHINESE = (
    (DOCS.parent / name).read_text("utf-8") for name in ("README.md", "README.zh.md")
)
EXAMPLE = "   entrant "
"""Begins the block of README.md that shows what is printed; the Chinese one leaves it out."""


def blocks(text: str) -> list[str]:
    return [b for b in re.findall(r"(?ms)^```(.*?)^```", text) if EXAMPLE not in b]


def prose(text: str) -> str:
    return re.sub(r"(?ms)^```.*?^```", "", text)


def test_the_chinese_readme_has_the_blocks_and_pictures_of_the_english_one():
    assert blocks(CHINESE) == blocks(README)
    pictures = r"!\[.*?\]\((.*?)\)"
    assert re.findall(pictures, CHINESE) == re.findall(pictures, README)
    for picture in re.findall(pictures, README):
        assert (DOCS.parent / picture).is_file()
    assert re.findall(r"<!-- .*? -->", CHINESE) == re.findall(r"<!-- .*? -->", README)


def test_the_chinese_readme_names_no_command_or_figure_that_the_english_one_does_not():
    for code in re.findall(r"`([^`\n]+)`", prose(CHINESE)):
        assert code in README, code
    for figure in re.findall(r"\d[\d.,]*%?(?= ?[a-z\u4e00-\u9fff])|\d+\.\d+", prose(CHINESE)):
        assert figure in README, figure
    headings = [len(re.findall(r"(?m)^##+ ", t)) for t in (CHINESE, README)]
    assert headings[1] - headings[0] == 1  # what a race costs is told in English alone


def test_every_rule_has_a_page_made_from_it():
    for rule in slalom.rules.RULES.values():
        text = catalogue.page(rule)
        found = catalogue.facts(rule)
        assert f"# {rule.class_name}\n\n{rule.title}.\n" in text
        assert f"slalom.optim.{found.call}" in text
        assert "## Code" in text
        assert "    def " in text or "\ndef " in text
        for line in found.formulas:
            assert f"    {line}\n" in text
        assert f"| {found.bytes} |" in text
