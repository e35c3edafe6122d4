"""Ctrl-C, pressed once and more often."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from slalom.interrupts import AGAIN, interrupted_once


@pytest.fixture(autouse=True)
def _as_python_starts() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_another_does_not_disturb_the_answer_to_the_first() -> None:
    done: list[str] = []

    @contextlib.contextmanager
    def cleaned() -> Iterator[None]:
        try:
            yield
        finally:
            press()
            with contextlib.suppress(OSError):
                try:
                    raise OSError
                finally:
                    press()
            done.append("cleaned")

    def race() -> None:
        with interrupted_once(), cleaned():
            try:
                press()
            except KeyboardInterrupt:
                press()
                done.append("told")
                raise

    with pytest.raises(KeyboardInterrupt):
        race()
    assert done == ["told", "cleaned"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_that_was_caught_and_forgotten_is_not_the_last() -> None:
    with interrupted_once():
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                press()


def test_the_handlers_of_others_are_left_alone() -> None:
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    with interrupted_once():
        press()
        press()
    assert len(pressed) == 2
    thread = threading.Thread(target=lambda: interrupted_once().__enter__())
    thread.start()
    thread.join()


def test_one_that_python_drops_comes_again(capsys: pytest.CaptureFixture[str]) -> None:
    """While an object is finalised, an exception has nowhere to go."""

    class Finalised:
        def __del__(self) -> None:
            press()
            press()

    told = sys.unraisablehook

    def race() -> None:
        with interrupted_once():
            Finalised()
            late = time.monotonic() + 10
            while time.monotonic() < late:
                time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        race()
    assert sys.unraisablehook is told
    assert not capsys.readouterr().err


def test_what_else_python_drops_is_told_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: seen.append(what.exc_type))

    class Faulty:
        def __del__(self) -> None:
            raise ValueError

    with interrupted_once():
        Faulty()
    assert seen == [ValueError]


def test_none_comes_after_its_end() -> None:
    class Finalised:
        def __del__(self) -> None:
            press()

    with interrupted_once():
        Finalised()
    time.sleep(5 * AGAIN)


def test_one_that_comes_while_torch_is_imported_ends_the_command_without_a_word(tmp_path):
    (tmp_path / "torch.py").write_text(
        "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(9)"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    command = [sys.executable, "-m", "slalom", "--version"]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
