"""Every block of Python in these pages runs as it stands, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import slalom

DOCS = Path(__file__).parents[1] / "docs"


PAGES = sorted(
    path.name for path in DOCS.glob("*.md")
    if "```python" in path.read_text() and path.name not in ("methods.md", "optimizers.md")
)  # fmt: skip
"""Not those whose blocks are tested elsewhere, or made from the code."""


@pytest.mark.parametrize("page", PAGES)
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
