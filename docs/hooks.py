"""What mkdocs does to the pages while it builds them.

The list of rules is made from the rules, and what docstrings refer to becomes links.
"""

from __future__ import annotations

import re
from typing import Any

from slalom.optim.catalogue import markdown

MARKER = "<!-- rules -->"
ROLE = re.compile(r":(?:class|func|meth|data|mod):<code>([\w.]+)</code>")


def on_page_markdown(text: str, **_: Any) -> str:
    """The page with every rule where the marker stands."""
    return text.replace(MARKER, markdown()) if MARKER in text else text


def on_page_content(html: str, **_: Any) -> str:
    """The page with a link for each ``:class:`` and the like, where a page has what it names."""
    return ROLE.sub(r'<autoref identifier="\1" optional><code>\1</code></autoref>', html)
