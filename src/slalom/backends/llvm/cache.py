"""Machine code kept on disk between processes, and run again only if nobody else can have made it.

The folder and every file must belong to this user and be writable by nobody else; what was opened
is asked, not its name, so that nothing can be exchanged in between. What a file holds is signed
with a secret that lies beside it, so that a file which came here in another way (unpacked, copied,
damaged, renamed) is not run either. Whatever fails here costs a compilation, nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

_SECRET = "secret"
_STALE = 3600.0
"""Seconds after which a half-written file belongs to a process that was killed."""

_MOST = 1 << 24
"""Bytes that are read of a file: more than any code has, and of a larger one nothing verifies."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_READ_FILE = _READ | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe waits
_NEW_FILE = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
)
_OWNED = hasattr(os, "geteuid")
"""Whether files have an owner and a mode. Where not (Windows), the user's profile is trusted."""


def chosen() -> Path | None:
    """Where code goes: ``SLALOM_CACHE``, or ``slalom`` below ``XDG_CACHE_HOME`` or ``~/.cache``.

    None where there is no such place, as for a user without a home folder.
    """
    own, base = os.environ.get("SLALOM_CACHE"), os.environ.get("XDG_CACHE_HOME", "")
    try:
        if own:
            return Path(own).absolute()
        folder = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    except (OSError, RuntimeError, KeyError):
        return None
    return folder / "slalom" if folder.is_absolute() else None


class Cache:
    """Code by its key, in ``folder``; None, or a folder that cannot be trusted, keeps nothing."""

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._swept = False

    def read(self, key: str) -> bytes | None:
        """The code kept under this key, if it is ours and whole."""
        try:
            with self._opened() as place:
                content = place.read(f"{key}.o", _OTHERS_WRITE)
                signature, code = content[:32], content[32:]
                good = hmac.compare_digest(signature, _sign(place.secret(), key, code))
        except OSError:
            return None
        return code if good else None

    def write(self, key: str, code: bytes) -> None:
        """Keep this code, if there is a place for it."""
        with contextlib.suppress(OSError), self._opened() as place:
            if not self._swept:
                self._swept = True
                place.sweep()
            place.write(f"{key}.o", _sign(place.secret(), key, code) + code)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[_Place]:
        """Raises OSError for a folder that is not there or not ours alone."""
        if self._folder is None:
            raise FileNotFoundError("no folder for code")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _OWNED:
            if not self._folder.resolve().is_relative_to(Path.home().resolve()):
                raise PermissionError(f"{self._folder} is not in the user's profile")
            yield _Place(self._folder, None)
            return
        descriptor = os.open(self._folder, _READ | os.O_DIRECTORY)
        try:
            _demand(os.fstat(descriptor), stat.S_ISDIR, _OTHERS_WRITE)
            yield _Place(self._folder, descriptor)
        finally:
            os.close(descriptor)


class _Place:
    """An open folder; every method raises OSError if it cannot do what it says."""

    def __init__(self, folder: Path, descriptor: int | None):
        self._folder, self._descriptor = folder, descriptor

    def _name(self, name: str) -> str:
        return name if self._descriptor is not None else str(self._folder / name)

    def read(self, name: str, forbidden: int) -> bytes:
        """A file of this user, none of whose ``forbidden`` mode bits are set."""
        descriptor = os.open(self._name(name), _READ_FILE, dir_fd=self._descriptor)
        with open(descriptor, "rb") as file:
            if _OWNED:
                _demand(os.fstat(descriptor), stat.S_ISREG, forbidden)
            return file.read(_MOST)

    def write(self, name: str, content: bytes) -> None:
        """Whole or not at all, whoever else writes or reads, and whatever happens meanwhile."""
        temporary = self._name(f"{secrets.token_hex(8)}.tmp")
        descriptor = os.open(temporary, _NEW_FILE, 0o600, dir_fd=self._descriptor)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
            fds = {"src_dir_fd": self._descriptor, "dst_dir_fd": self._descriptor}
            os.replace(temporary, self._name(name), **fds)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=self._descriptor)
            raise

    def secret(self) -> bytes:
        """What this user's code is signed with; made when it is first asked for."""
        with contextlib.suppress(FileNotFoundError):
            if len(secret := self.read(_SECRET, stat.S_IRWXG | stat.S_IRWXO)) == 32:
                return secret
        self.write(_SECRET, secrets.token_bytes(32))
        return self.read(_SECRET, stat.S_IRWXG | stat.S_IRWXO)  # another's, if it came between

    def sweep(self) -> None:
        """Remove what killed processes left."""
        with os.scandir(self._folder if self._descriptor is None else self._descriptor) as entries:
            for entry in entries:
                if not entry.name.endswith(".tmp"):
                    continue
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < time.time() - _STALE:
                        os.unlink(self._name(entry.name), dir_fd=self._descriptor)


def _demand(found: os.stat_result, kind: object, forbidden: int) -> None:
    """Raises PermissionError for what another may have written."""
    if not kind(found.st_mode):  # type: ignore[operator]
        raise PermissionError("of another kind than it should be")
    if found.st_uid != os.geteuid():
        raise PermissionError("another user's")
    if stat.S_IMODE(found.st_mode) & forbidden:
        raise PermissionError("open to other users")


def _sign(secret: bytes, key: str, code: bytes) -> bytes:
    return hmac.digest(secret, key.encode() + b"\0" + code, hashlib.sha256)
