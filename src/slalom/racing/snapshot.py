"""A ledger as it is at one moment, read without a trace wherever it lies."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

from slalom.errors import InputError
from slalom.racing.lock import raced

PATIENCE = 10.0
"""Seconds for which a ledger may change under who reads it."""

PAUSE = 0.02
"""Seconds until it is tried again."""


def to_read(path: Path) -> sqlite3.Connection:
    """A connection to a ledger that changes nothing.

    SQLite would put its log into the ledger of a race that was killed, or write beside it to read
    it; so a copy of such a one is read, made while no byte of it changed: who looks with another
    program writes the log, too, and holds no lock of ours. A ledger that is being raced is read as
    SQLite does it.

    Raises OSError and sqlite3.Error for what cannot be read, and :class:`InputError` for what
    changes all the time though nobody races it.
    """
    late = time.monotonic() + PATIENCE
    while True:
        before = _files(path)
        try:
            found = _as_sqlite_does(path) if before[1:] and raced(path) else _copy(before)
        except (OSError, sqlite3.Error):
            if _files(path) == before:
                raise
        else:
            if _files(path) == before or not _in_memory(found):
                return found
            found.close()
        if time.monotonic() > late:
            raise InputError(
                f"{path} changes while it is read, though nobody races it; end what writes it, "
                "or read a copy of it"
            )
        time.sleep(PAUSE)


def beside(path: Path, what: str) -> Path:
    """A file that SQLite puts beside a database."""
    return path.with_name(f"{path.name}-{what}")


_File = tuple[Path, int, int, int]


def _files(path: Path) -> list[_File]:
    """The database and its logs that hold something, with what changes when they do."""
    found = []
    for file in (path, beside(path, "wal"), beside(path, "journal")):
        with contextlib.suppress(FileNotFoundError):
            stat = file.stat()
            if file == path or (file.is_file() and stat.st_size):
                found.append((file, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return found


def _as_sqlite_does(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(_uri(path), isolation_level=None, uri=True)
    try:
        connection.execute("PRAGMA schema_version")  # now it is open
    except BaseException:
        connection.close()
        raise
    return connection


def _copy(files: list[_File]) -> sqlite3.Connection:
    """All of it in memory: from the file itself where that is all, else with its logs put in."""
    path, *logs = [file for file, *_ in files]
    if not logs:
        with contextlib.closing(
            sqlite3.connect(f"{_uri(path)}&immutable=1", isolation_level=None, uri=True)
        ) as whole:
            return _to_memory(whole)
    with tempfile.TemporaryDirectory(prefix="slalom-") as folder:
        for file in (path, *logs):
            shutil.copyfile(file, Path(folder, file.name))
        with contextlib.closing(sqlite3.connect(Path(folder, path.name))) as copied:
            return _to_memory(copied)


def _to_memory(connection: sqlite3.Connection) -> sqlite3.Connection:
    found = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.backup(found)
    except BaseException:
        found.close()
        raise
    return found


def _in_memory(connection: sqlite3.Connection) -> bool:
    return not connection.execute("PRAGMA database_list").fetchone()[2]


def _uri(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=ro"
