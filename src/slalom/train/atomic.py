"""Files that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import torch

from slalom.errors import InputError


@contextlib.contextmanager
def whole(path: Path, named: Callable[[], Path] | None = None) -> Iterator[IO[bytes]]:
    """A file to write what is to be at ``path``: a reader sees the old or the new, never a part.

    It is a temporary one beside it, forced to the disk and renamed when the block ends; if the
    block raises, or the disk is full (OSError), ``path`` is as it was. ``named`` says in its place
    what it is to be called, in the same folder, where that follows from what was written.
    """
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path if named is None else named())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the new name is on the disk once its folder is
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def refuse_no_file(path: Path) -> None:
    """Raise :class:`InputError` where a file cannot be: before the work of making it is done."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} to write {path.name} to")


def write(content: bytes, path: Path) -> Path:
    """Write a file that the user named, whole or not at all; returns the path.

    Raises :class:`InputError` if nothing can be written there.
    """
    refuse_no_file(path)
    try:
        with whole(path) as file:
            file.write(content)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
    return path


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a state of tensors and plain values to ``path``, whole or not at all."""
    with whole(path) as file:
        put(state, file)


def put(state: dict[str, Any], file: Any) -> None:
    """Write a state to an open file. Raises OSError where the disk does not take it.

    torch's writer tells of that by a RuntimeError about its own bookkeeping.
    """
    try:
        torch.save(state, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def load(path: Path) -> dict[str, Any]:
    """Read what :func:`save` wrote. Raises :class:`InputError` if it is damaged or not there."""
    try:
        return torch.load(path, weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint {path}") from error
    except Exception as error:
        raise InputError(f"the checkpoint {path} cannot be read: {error}") from error
