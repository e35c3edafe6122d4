"""Every block of Python in these pages runs as it stands, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import slalom

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["tasks.md", "schedules.md", "libraries.md", "report.md"])
def test_the_blocks_run(page):
    names: dict = {}
    blocks = re.findall(
        r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE
    )
    assert blocks
    for block in blocks:
        exec(block, names)
        if isinstance(names.get("task"), slalom.Task):
            names["task"].check()
