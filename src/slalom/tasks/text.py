"""Text that every machine with Python has: the sources of its standard library."""

from __future__ import annotations

import sysconfig
from pathlib import Path


def sources(folders: tuple[str, ...], limit: int) -> dict[str, str]:
    """Folder of the standard library -> the text of its modules in order, ``limit`` characters.

    ``""`` stands for the modules that lie in no folder.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    found: dict[str, str] = {}
    for folder in folders:
        parts: list[str] = []
        for path in sorted((root / folder).glob("*.py")):
            parts.append(path.read_text(encoding="utf-8", errors="ignore"))
            if sum(map(len, parts)) >= limit:
                break
        found[folder] = "".join(parts)[:limit]
    return found
