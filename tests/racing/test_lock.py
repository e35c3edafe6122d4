"""One writer a ledger, whoever dies."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slalom.errors import InputError
from slalom.racing import lock as locks
from slalom.racing import snapshot
from slalom.racing.ledger import Ledger
from slalom.racing.lock import Lock, raced
from small import META


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(locks, "PATIENCE", 0.05)
    Ledger(tmp_path / "ledger.sqlite", create=META).close()
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def other() -> Iterator[Callable[[Callable[[], object]], int]]:
    """Start another process, which does this and then waits to be killed; its number."""
    started: list[int] = []

    def start(work: Callable[[], object]) -> int:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                kept = work()  # noqa: F841 - what it holds is held
                os.write(writer, b"x")
                time.sleep(60)
            finally:
                os._exit(1)
        os.close(writer)
        started.append(pid)
        assert os.read(reader, 1) == b"x"
        os.close(reader)
        return pid

    yield start
    for pid in started:
        kill(pid)


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def test_who_races_is_told_and_its_death_frees_the_ledger(path, other):
    pid = other(lambda: Ledger(path))
    before = path.read_bytes()
    with pytest.raises(InputError, match=rf"is being raced by process {pid}; wait until that is"):
        Ledger(path)
    assert path.read_bytes() == before
    kill(pid)
    assert not raced(path)
    ledger = Ledger(path)
    assert raced(path)
    ledger.close()
    assert [f.name for f in path.parent.iterdir()] == [path.name]


def test_children_do_not_hold_it_with_their_parent(path, other):
    """A worker, or a user's own, may outlive the race."""

    def with_a_child() -> Ledger:
        ledger = Ledger(path)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        (path.parent / "child").write_text(str(child))
        os.close(reader), os.close(writer)
        return ledger

    pid = other(with_a_child)
    try:
        kill(pid)
        Ledger(path).close()
    finally:
        os.kill(int((path.parent / "child").read_text()), signal.SIGKILL)


def test_what_is_raced_can_be_read(path, other):
    def noting() -> Ledger:
        ledger = Ledger(path)
        ledger.note("in the log")
        return ledger

    other(noting)
    for _ in range(2):
        ledger = Ledger(path, read_only=True)
        assert [r["text"] for r in ledger.rows("SELECT text FROM note")] == ["in the log"]
        ledger.close()
    with pytest.raises(InputError, match="is being raced by"):
        Ledger(path)


def test_reading_it_does_not_free_it(path, other):
    """The system lets go of all locks of a process on a file when it closes it anywhere."""
    ledger = Ledger(path)
    ledger.note("in the log")
    for _ in range(2):
        assert raced(path)
        Ledger(path, read_only=True).close()
        with pytest.raises(InputError, match="is being raced by this process"):
            Ledger(path)

    def refused() -> None:
        locks._ours.clear()  # a process of its own knows of none
        with pytest.raises(InputError, match=rf"is being raced by process {os.getppid()};"):
            Ledger(path)

    other(refused)
    ledger.note("and goes on")
    ledger.close()
    assert [f.name for f in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b'{"process": "\x1b[2J", "host": "h"}', b"[" * 100_000]
)
def test_a_lock_says_no_more_than_who(content, path, other):
    def holding() -> Lock:
        lock = Lock(path)
        path.with_name(f"{path.name}-lock").write_bytes(content)
        return lock

    def of_another_file_descriptor() -> object:
        kept = holding()  # writing it by its name has let go of the lock: take it once more
        locks._lock(kept._file)
        return kept

    other(of_another_file_descriptor)
    with pytest.raises(InputError, match="is being raced by another process; wait"):
        Ledger(path)


def test_a_name_of_a_host_is_shown_as_text(path, other, monkeypatch):
    monkeypatch.setattr(locks.socket, "gethostname", lambda: "ho\x1b[31mst")
    pid = other(lambda: Lock(path))
    monkeypatch.setattr(locks.socket, "gethostname", lambda: "here")
    with pytest.raises(InputError) as caught:
        Lock(path)
    assert f"by process {pid} on ho\\x1b[31mst; wait" in str(caught.value)


def test_two_that_make_one_do_not_overwrite_each_other(tmp_path, other):
    path = tmp_path / "ledger.sqlite"
    pid = other(lambda: Ledger(path, create=META))
    with pytest.raises(InputError, match="exists already"):
        Ledger(path, create=META | {"id": "f" * 16})
    kill(pid)
    ledger = Ledger(path)
    assert ledger.meta["id"] == META["id"]
    ledger.close()


def test_a_lock_that_was_removed_is_no_lock(path):
    """Its file is gone as its holder lets go, while another has opened it already."""
    lock = Lock(path)
    beside = path.with_name(f"{path.name}-lock")
    beside.unlink()
    beside.touch()
    assert not lock._still_there(lock._file)
    lock.release()
    assert beside.exists()  # it is another's
    assert not lock.hold()
    assert lock.hold()
    lock.release()
    assert not beside.exists()


def test_what_is_no_lock_is_refused_in_a_sentence(path):
    beside = path.with_name(f"{path.name}-lock")
    beside.symlink_to(path.parent / "elsewhere")
    with pytest.raises(InputError, match="cannot be written"):
        Ledger(path)
    assert not (path.parent / "elsewhere").exists()
    beside.unlink()
    beside.mkdir()
    with pytest.raises(InputError, match="cannot be written: Is a directory"):
        Ledger(path)
    assert not raced(path)


@pytest.mark.parametrize("moment", ["wal", "database"])
def test_who_looks_with_another_program_does_not_disturb_who_reads(
    path, other, moment, monkeypatch
):
    """SQLite puts the log of a killed race into its file for anybody, and removes the log."""

    def noting() -> Ledger:
        ledger = Ledger(path)
        ledger.note("in the log")
        return ledger

    kill(other(noting))
    looked = []
    copy = shutil.copyfile

    def while_another_looks(source: Path, to: Path) -> object:
        done = copy(source, to) if moment == "wal" else None  # a file without its log is no error
        if not looked:
            with contextlib.closing(sqlite3.connect(path)) as another:
                looked.extend(another.execute("SELECT text FROM note"))
        return done or copy(source, to)

    monkeypatch.setattr(snapshot.shutil, "copyfile", while_another_looks)
    ledger = Ledger(path, read_only=True)
    assert [r["text"] for r in ledger.rows("SELECT text FROM note")] == ["in the log"]
    ledger.close()
    assert looked


def test_what_is_written_all_the_time_is_told(path, monkeypatch):
    monkeypatch.setattr(snapshot, "PATIENCE", 0.05)
    backup = snapshot._copy

    def while_another_writes(files: object) -> sqlite3.Connection:
        os.utime(path, ns=(time.time_ns(), time.time_ns()))
        return backup(files)

    monkeypatch.setattr(snapshot, "_copy", while_another_writes)
    with pytest.raises(InputError, match="changes while it is read, though nobody races it; end"):
        Ledger(path, read_only=True)
