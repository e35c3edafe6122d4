"""What is said of an exception in the user's code: its own lines, and no others."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of Slalom itself."""

TORCH = Path(torch.__file__).resolve().parent

LIBRARIES = (
    TORCH.parent,
    *(Path(sysconfig.get_paths()[k]).resolve() for k in ("stdlib", "purelib", "platlib")),
)
"""Where what is installed lies."""

LINES = 4
"""Lines of the user's that are told, at most: the last, and those that led to it."""


def told(error: BaseException) -> str:
    """The error and the lines of the user's own files that it comes from, the last one first.

    Where none is the user's own, the line of the last library that is neither Slalom nor torch.
    """
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}{where(error)}"


def where(error: BaseException, *, libraries: bool = True) -> str:
    """`` at FILE:LINE (code)``, and where that was called from; empty where no line is the user's
    own, nor, with ``libraries``, one of a library that is neither Slalom nor torch."""
    frames = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if not f.filename.startswith("<frozen") and not _within(f.filename, (PACKAGE,))
    ]
    own = [f for f in frames if not _within(f.filename, LIBRARIES)][-LINES:]
    if not own and libraries:
        own = [f for f in frames if not _within(f.filename, (TORCH,))][-1:]
    lines = [f"{f.filename}:{f.lineno} ({f.line})" for f in reversed(own)]
    return f" at {', called at '.join(lines)}" if lines else ""


def _within(filename: str, folders: Sequence[Path]) -> bool:
    """Whether a frame's file lies in one of the folders, links followed."""
    if filename.startswith("<"):
        return False
    path = Path(filename).resolve()
    return any(path.is_relative_to(folder) for folder in folders)
