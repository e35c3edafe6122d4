"""One writer a ledger: who races holds a lock, which the system frees however its process ends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

from slalom.errors import InputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PATIENCE = 0.5
"""Seconds after which who holds a lock is believed to keep it: those who only look hold it less."""

_ours: set[str] = set()
_one_at_a_time = threading.Lock()  # closing a file lets go of all locks that its process has on it


class Lock:
    """The right to write a ledger, until it is released or its process ends.

    It is a file beside the ledger, locked by the system and named after it; forked processes do not
    hold it with their parent.

    Args:
        ledger: its path; its folder is there.
        used: what is done with it, as a message says it.

    Raises :class:`InputError`, which says who has it, or why the file cannot be made.
    """

    def __init__(self, ledger: Path, used: str = "raced"):
        self._ledger, self._used, self._path = ledger, used, _beside(ledger)
        self._name = os.path.realpath(self._path)
        self._process = os.getpid()
        self._file: int | None = self._waited_for()

    def hold(self) -> bool:
        """Whether it is held still; if not, as where its folder was removed, it is taken anew.

        Raises :class:`InputError` where another has it by now.
        """
        if self._file is not None and self._still_there(self._file):
            return True
        self.release()
        self._file = self._waited_for()
        return False

    def _waited_for(self) -> int:
        late = time.monotonic() + PATIENCE
        while (taken := self._taken(self._ledger)) is None:
            if time.monotonic() > late:
                who = "this process" if self._name in _ours else _holder(self._path)
                raise InputError(
                    f"{self._ledger} is being {self._used} by {who}; wait until that is over, "
                    "or end it"
                )
            time.sleep(0.02)
        return taken

    def _taken(self, ledger: Path) -> int | None:
        """The locked file; None if another has it."""
        with _one_at_a_time:
            if self._name in _ours:
                return None
            try:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
            except OSError as error:
                raise InputError(f"{ledger} cannot be written: {error.strerror}") from error
            kept = False
            try:
                if not _lock(file) or not self._still_there(file):
                    return None
                with contextlib.suppress(OSError):  # the disk is full: then nobody can say who
                    os.ftruncate(file, 0)
                    who = {"process": self._process, "host": socket.gethostname()}
                    os.write(file, json.dumps(who).encode())
                _ours.add(self._name)
                kept = True
                return file
            finally:
                if not kept:
                    os.close(file)

    def _still_there(self, file: int) -> bool:
        """Whether the file is not one that who had the lock before has removed."""
        try:
            return os.path.samestat(os.fstat(file), os.stat(self._path))
        except OSError:
            return False

    def release(self) -> None:
        """Let go of it, and leave nothing behind."""
        with _one_at_a_time:
            if self._file is None or self._process != os.getpid():
                return
            if self._still_there(self._file):  # and not another's
                with contextlib.suppress(OSError):
                    self._path.unlink()
            os.close(self._file)
            self._file = None
            _ours.discard(self._name)


def raced(ledger: Path) -> bool:
    """Whether somebody holds the lock of a ledger; nothing is written to find out."""
    path = _beside(ledger)
    with _one_at_a_time:
        if os.path.realpath(path) in _ours:
            return True
        try:
            file = os.open(path, os.O_RDONLY | _NO_LINK)
        except OSError:
            return False
        try:
            return not _lock(file, shared=True)
        finally:
            os.close(file)


_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def _beside(ledger: Path) -> Path:
    return ledger.with_name(f"{ledger.name}-lock")


def _lock(file: int, *, shared: bool = False) -> bool:
    """Lock a file if nobody else has; where a disk knows no locks, nobody ever has."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.lockf(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def _holder(path: Path) -> str:
    """Who holds a lock, as far as that is on record."""
    try:
        who = json.loads(path.read_text())
        process, host = who["process"], who["host"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"
    if type(process) is not int or not isinstance(host, str) or len(host) > 255:
        return "another process"
    return f"process {process}" if host == socket.gethostname() else f"process {process} on {host}"
