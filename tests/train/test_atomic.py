"""Checkpoint files are whole or not there, whenever the process that writes them dies."""

from __future__ import annotations

import os
import signal
import textwrap
import time

import pytest
import torch

from served import Started
from slalom.train import atomic


@pytest.mark.parametrize("point", ["fsync", "replace"])
def test_a_process_that_dies_while_it_saves_leaves_the_old_file(point, tmp_path):
    path = tmp_path / "c.pt"
    atomic.save(path, {"i": 1})
    code = f"""
        import os, signal
        from pathlib import Path
        from slalom.train import atomic
        os.{point} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        atomic.save(Path({str(path)!r}), {{"i": 2}})
    """
    ended = Started(exec, textwrap.dedent(code), {}).ended()
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert atomic.load(path) == {"i": 1}


def test_a_file_is_never_written_over(tmp_path):
    path = tmp_path / "c.pt"
    atomic.save(path, {"i": 1})
    old = path.read_bytes()
    with open(path, "rb") as reader:
        atomic.save(path, {"i": 2})
        assert reader.read() == old
    assert atomic.load(path) == {"i": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_what_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic.save(tmp_path / "c.pt", {"i": 1})
    assert not list(tmp_path.iterdir())


def test_a_file_is_whole_whenever_the_process_dies(tmp_path):
    code = f"""
        import torch
        from pathlib import Path
        from slalom.train import atomic
        for i in range(10**6):
            state = {{"i": i, "data": torch.full((50_000,), float(i))}}
            atomic.save(Path({str(tmp_path / "c.pt")!r}), state)
    """
    for wait in (0.0, 0.01, 0.03, 0.06):
        (tmp_path / "c.pt").unlink(missing_ok=True)
        started = Started(exec, textwrap.dedent(code), {})
        while not (tmp_path / "c.pt").exists():
            time.sleep(0.001)
            assert started.process.is_alive()
        time.sleep(wait)
        started.process.kill()
        assert started.ended().returncode == -signal.SIGKILL
        state = atomic.load(tmp_path / "c.pt")
        assert torch.equal(state["data"], torch.full((50_000,), float(state["i"])))
