"""The tasks of users/ are what a user would write, and each is compared with a loop by hand."""

from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parent / "users").glob("test_*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_task_is_short_and_compared(file):
    text = file.read_text()
    assert len(text.splitlines()) <= 30
    assert "losses(" in text or "loop(" in text
