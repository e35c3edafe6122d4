"""What mkdocs does to the pages while it builds them: the list of rules is made from the rules."""

from __future__ import annotations

from typing import Any

from slalom.optim.catalogue import markdown

MARKER = "<!-- rules -->"


def on_page_markdown(text: str, **_: Any) -> str:
    """The page with every rule where the marker stands."""
    return text.replace(MARKER, markdown()) if MARKER in text else text
