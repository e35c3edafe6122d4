"""Text that every machine with Python has: the sources of its standard library."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from slalom.errors import InputError


def sources(folders: tuple[str, ...], limit: int) -> dict[str, str]:
    """Folder of the standard library -> the text of its modules in order, ``limit`` characters.

    ``""`` stands for the modules that lie in no folder. Raises :class:`InputError` where a folder
    holds no source, as in a Python that was packed without it.
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
        if not found[folder].strip():
            raise InputError(
                f"the standard library at {root / folder} holds no source text; run this task with "
                "a Python that was installed with it"
            )
    return found
