"""Code on disk: run again only if nobody but this user can have written it; no litter, ever."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import pwd
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bare_process import START, printed

from slalom.backends.llvm import cache
from slalom.backends.llvm.cache import Cache, chosen
from slalom.backends.llvm.compile import optimised
from slalom.backends.llvm.jit import Jit

KEY = "0123abcd"
CODE = b"\x7fELF and so on" * 100

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="files have no modes there")


def text(number: int) -> str:
    return f"define i64 @answer() {{\n  ret i64 {number}\n}}"


def answer(jit: Jit, number: int) -> int:
    """What the code of ``text(number)`` returns."""
    return ctypes.CFUNCTYPE(ctypes.c_int64)(*jit.compile(text(number), "answer"))()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SLALOM_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def planted(folder) -> Path:
    """The file for ``text(7)``, holding code that returns 666, signed by the right secret."""
    jit = Jit()
    assert answer(jit, 7) == 7
    (file,) = folder.glob("*.o")
    evil = jit._machine.emit_object(optimised(text(666), jit._machine))
    Cache(folder).write(file.stem, evil)
    return file


def give_away(path: Path, monkeypatch) -> None:
    """Let another user own it, or seem to where only root could do that."""
    if os.geteuid() == 0:
        os.chown(path, 65534, -1)
        return
    real, inode = os.fstat, path.stat().st_ino

    def fstat(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        if found.st_ino != inode:
            return found
        return os.stat_result((*found[:4], found.st_uid + 1, *found[5:]))

    monkeypatch.setattr(cache.os, "fstat", fstat)


def test_what_is_kept_is_read(folder):
    assert Cache(folder).read(KEY) is None
    Cache(folder).write(KEY, CODE)
    assert Cache(folder).read(KEY) == CODE
    assert Cache(folder).read("0123abce") is None
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {f.stat().st_mode & 0o777 for f in folder.iterdir()} == {0o600}


def test_what_this_user_alone_can_have_written_is_run(planted):
    """Else the tests below would prove nothing."""
    assert answer(Jit(), 7) == 666


@pytest.mark.parametrize("whose", ["folder", "code", "secret"])
def test_what_another_user_owns_is_not_run(planted, whose, monkeypatch):
    places = {"folder": planted.parent, "code": planted, "secret": planted.parent / "secret"}
    give_away(places[whose], monkeypatch)
    assert answer(Jit(), 7) == 7


@pytest.mark.parametrize(
    ("whose", "mode"),
    [
        ("folder", 0o777), ("folder", 0o1777), ("folder", 0o770), ("folder", 0o702),
        ("code", 0o666), ("code", 0o620), ("code", 0o602),
        ("secret", 0o640), ("secret", 0o604), ("secret", 0o622),
    ],
)  # fmt: skip
def test_what_others_may_write_is_not_run(planted, whose, mode):
    places = {"folder": planted.parent, "code": planted, "secret": planted.parent / "secret"}
    places[whose].chmod(mode)
    assert answer(Jit(), 7) == 7


def test_links_are_not_followed(planted):
    elsewhere = planted.with_suffix(".away")
    planted.rename(elsewhere)
    planted.symlink_to(elsewhere)
    assert answer(Jit(), 7) == 7


@pytest.mark.parametrize("what", ["pipe", "folder"])
def test_what_is_no_file_is_not_waited_for(folder, what):
    Cache(folder).write(KEY, CODE)
    (folder / f"{KEY}.o").unlink()
    (os.mkfifo if what == "pipe" else os.mkdir)(folder / f"{KEY}.o")
    assert Cache(folder).read(KEY) is None
    if what == "pipe":
        with Cache(folder)._opened() as place, pytest.raises(PermissionError):
            place.read(f"{KEY}.o", 0)


@pytest.mark.parametrize(
    "how", ["flipped", "cut", "empty", "huge", "unsigned", "renamed", "new secret"]
)
def test_what_is_not_as_it_was_signed_is_not_read(folder, how):
    Cache(folder).write(KEY, CODE)
    file = folder / f"{KEY}.o"
    whole = file.read_bytes()
    if how == "flipped":
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif how == "cut":
        file.write_bytes(whole[:-1])
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "huge":
        os.truncate(file, 3 << 30)
    elif how == "unsigned":
        file.write_bytes(hashlib.sha256(CODE).digest() + CODE)
    elif how == "renamed":
        file.rename(folder / "other.o")
    else:
        (folder / "secret").unlink()
    assert Cache(folder).read("other" if how == "renamed" else KEY) is None


def test_code_that_does_not_link_is_made_anew(folder):
    """Signed and still not what its name promises: another function, or no object at all."""
    jit = Jit()
    assert answer(jit, 7) == 7
    (file,) = folder.glob("*.o")
    good = Cache(folder).read(file.stem)
    other = text(8).replace("@answer", "@other")
    for bad in (b"random bytes", jit._machine.emit_object(optimised(other, jit._machine))):
        Cache(folder).write(file.stem, bad)
        assert answer(Jit(), 7) == 7
        assert Cache(folder).read(file.stem) == good


def test_a_damaged_secret_is_made_anew(folder):
    Cache(folder).write(KEY, CODE)
    (folder / "secret").write_bytes(b"")
    assert Cache(folder).read(KEY) is None
    Cache(folder).write(KEY, CODE)
    assert Cache(folder).read(KEY) == CODE
    assert len((folder / "secret").read_bytes()) == 32


def full(*_args, **_options):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("at", ["write", "rename", "interrupt"])
def test_a_full_disk_leaves_no_litter(folder, at, monkeypatch):
    Cache(folder).write(KEY, CODE)
    before = sorted(folder.iterdir())
    if at == "write":
        monkeypatch.setattr(cache, "open", lambda *a: Full(*a), raising=False)
    elif at == "rename":
        monkeypatch.setattr(cache.os, "replace", full)
    else:
        monkeypatch.setattr(cache.os, "replace", lambda *a, **k: (_ for _ in ()).throw(Stop))
    try:
        Cache(folder).write("other", CODE)
        assert at != "interrupt"
    except Stop:
        assert at == "interrupt"
    assert sorted(folder.iterdir()) == before


class Stop(BaseException):
    """As Ctrl-C."""


class Full:
    """A file on a full disk: it can be made and read, not grow."""

    def __init__(self, *arguments):
        self.file = open(*arguments)  # noqa: SIM115
        self.read, self.write = self.file.read, full

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.file.close()


def test_a_disk_that_is_full_from_the_start(tmp_path):
    """No file may grow: neither the secret nor the code can be kept."""
    code = """
        import resource
        from slalom.backends.llvm.jit import jit
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        print(call(*jit().compile(text(7), "answer")), flush=True)
    """
    for _ in range(2):
        assert printed(code, SLALOM_CACHE=str(tmp_path / "kept")) == ["7"]
    assert list((tmp_path / "kept").iterdir()) == []


def test_what_killed_processes_left_goes_away_in_time(folder):
    Cache(folder).write(KEY, CODE)
    old, new = folder / "00.tmp", folder / "11.tmp"
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * cache._STALE,) * 2)
    Cache(folder).write(KEY, CODE)
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize(
    "why", ["a file in its place", "a file above it", "unwritable", "a device"]
)
def test_where_nothing_can_be_kept_code_is_made_all_the_same(tmp_path, why, monkeypatch):
    place = tmp_path / "kept"
    if why == "a file in its place":
        place.write_text("")
    elif why == "a file above it":
        place.write_text("")
        place = place / "below"
    elif why == "unwritable":
        monkeypatch.setattr(cache.os, "mkdir", full)
        monkeypatch.setattr(Path, "mkdir", full)
    else:
        place = Path("/dev/null")
    monkeypatch.setenv("SLALOM_CACHE", str(place))
    assert answer(Jit(), 7) == 7


def test_a_folder_that_can_only_be_read_is_read(planted, monkeypatch):
    monkeypatch.setattr(cache, "_NEW_FILE", cache._NEW_FILE | os.O_DIRECTORY)  # refused by any
    assert answer(Jit(), 7) == 666
    assert answer(Jit(), 8) == 8
    assert list(planted.parent.glob("*.o")) == [planted]


def test_the_folder_is_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("SLALOM_CACHE", str(tmp_path / "own"))
    assert chosen() == tmp_path / "own"
    monkeypatch.setenv("SLALOM_CACHE", "")
    assert chosen() == tmp_path / "xdg" / "slalom"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says its specification
    assert chosen() == tmp_path / "home" / ".cache" / "slalom"


def test_no_home_folder(monkeypatch):
    def unknown(_user):
        raise KeyError("uid not found")

    for name in ("HOME", "XDG_CACHE_HOME", "SLALOM_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert chosen() is None
    assert answer(Jit(), 7) == 7


def test_where_files_have_no_owner_the_users_profile_is_trusted(monkeypatch, tmp_path):
    """As on Windows, with paths in place of descriptors."""
    monkeypatch.setattr(cache, "_OWNED", False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder, kept in ((tmp_path / "home/deep/slalom", CODE), (tmp_path / "away", None)):
        Cache(folder).write(KEY, CODE)
        assert Cache(folder).read(KEY) == kept
    assert sorted(f.name for f in (tmp_path / "home/deep/slalom").iterdir()) == [
        f"{KEY}.o", "secret",
    ]  # fmt: skip


def test_writers_at_once(folder):
    """None sees another's half-written file, and none leaves one."""
    code = f"""{START}
from pathlib import Path
from slalom.backends.llvm.cache import Cache
for i in range(200):
    Cache(Path(sys.argv[1])).write("{KEY}", b"code" * 10_000)
    assert Cache(Path(sys.argv[1])).read("{KEY}") in (None, b"code" * 10_000)
"""
    workers = [subprocess.Popen([sys.executable, "-c", code, str(folder)]) for _ in range(3)]
    assert [w.wait(timeout=60) for w in workers] == [0, 0, 0]
    Cache(folder).write(KEY, CODE)
    assert Cache(folder).read(KEY) == CODE
    assert sorted(f.name for f in folder.iterdir()) == [f"{KEY}.o", "secret"]
