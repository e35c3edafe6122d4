"""The checkpoints of a run: the last few, each named after its content, so that damage is seen."""

from __future__ import annotations

import contextlib
import hashlib
import re
from pathlib import Path
from typing import IO, Any

from slalom.errors import InputError
from slalom.train import atomic

NAME = re.compile(r"step-(\d+)-([0-9a-f]{16})\.pt")
"""The step, and how the SHA-256 of the file begins: what ``sha256sum`` prints."""


class Checkpoints:
    """Those in a folder, which is made when the first is written.

    Args:
        folder: where they are.
        keep: how many are kept, from 1 on; those before are removed when a new one is there.
    """

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder, keep

    def write(self, step: int, state: dict[str, Any]) -> Path:
        """Write a state of tensors and plain values, whole or not at all; its path.

        When it is there, those of later steps are removed, and what is more than is kept.

        Raises OSError where the disk does not take it; what was there before is there still.
        """
        self.folder.mkdir(exist_ok=True)
        summed: Any = _Summed()

        def named() -> Path:
            return self.folder / f"step-{step:09d}-{summed.digest}.pt"

        with atomic.whole(self.folder / "new", named) as file:
            summed.file = file
            atomic.put(state, summed)
        found = self.found()
        beyond = [p for s, p in found if s > step]  # damaged, or of where the run went back from
        for old in [*beyond, *[p for s, p in found if s <= step][self.keep :]]:
            old.unlink(missing_ok=True)
        for left in self.folder.glob(".new-*"):  # of a process that was killed as it wrote
            left.unlink(missing_ok=True)
        return named()

    def found(self) -> list[tuple[int, Path]]:
        """(step, path) of all, the last one first."""
        named = ((NAME.fullmatch(p.name), p) for p in self.folder.glob("step-*.pt"))
        return sorted(((int(m[1]), p) for m, p in named if m), reverse=True)

    def last(self) -> tuple[dict[str, Any] | None, list[Path]]:
        """(the last state that is as it was written, None if there is none; those that are not)."""
        damaged = []
        for _, path in self.found():
            try:
                return _read(path), damaged
            except InputError:
                damaged.append(path)
        return None, damaged


def _read(path: Path) -> dict[str, Any]:
    """A state, without running code that anybody may have put there."""
    match = NAME.fullmatch(path.name)
    digest = ""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if match is None or not digest.startswith(match[2]):
        raise InputError(f"the checkpoint {path} is damaged: its content is not what was written")
    return atomic.load(path)


class _Summed:
    """A file whose content is summed up while it is written."""

    file: IO[bytes]

    def __init__(self) -> None:
        self._sum = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self._sum.update(content)
        return self.file.write(content)

    def flush(self) -> None:
        self.file.flush()

    @property
    def digest(self) -> str:
        return self._sum.hexdigest()[:16]
