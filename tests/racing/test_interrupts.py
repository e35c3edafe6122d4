"""Ctrl-C, pressed once and more often."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from slalom.racing.interrupts import interrupted_once


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
