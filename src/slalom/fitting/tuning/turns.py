"""Processes that make turns of a task with levers, as who asks has them."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import torch

from slalom.errors import InputError
from slalom.fitting.tuning.levers import LEVERS
from slalom.fitting.tuning.packing import Packed, got, put
from slalom.fitting.tuning.worker import Sent, Turn
from slalom.train import Run, Task

FORKS = sys.platform == "linux"
"""Whether a process that has imported torch can be forked; elsewhere each turn starts anew."""


class FailedError(Exception):
    """A turn that could not be made."""


class LateError(Exception):
    """A turn that was not over in time."""


@dataclass(frozen=True)
class Tried:
    """What is trained: with levers, by their names, or in batches of another size."""

    names: tuple[str, ...] = ()
    size: int | None = None

    def __str__(self) -> str:
        if self.size is not None:
            return f"batches of {self.size}"
        return " + ".join(self.names) or "as it is"


class Turns:
    """Turns of a task, each in a process made for it. To be closed.

    Args:
        kind: of the run: :class:`slalom.train.Run`, or the loop that people write.

    Raises :class:`InputError` where the task cannot be sent to a process.
    """

    def __init__(self, task: Task, make: Any, batch_size: Any, kind: type[Run]):
        try:
            packed = Packed.of((task, make, batch_size))
        except Exception as error:
            raise InputError(f"the task cannot be sent to other processes: {error}") from error
        self._sent = Sent(packed, torch.get_num_threads(), kind)
        self._servers: dict[Any, _Server] = {}

    def turn(
        self, tried: Tried, steps: int | None = None, seconds: float = 0.0, until: float = 1e9
    ) -> Turn:
        """So many updates, or those of so many seconds. Raises :class:`FailedError`, and
        :class:`LateError` where it is not over by ``until`` of :func:`time.monotonic`."""
        stays = any(LEVERS[name].stays for name in tried.names)
        environment = {n: v for name in tried.names for n, v in LEVERS[name].environment.items()}
        apart = FORKS and not stays
        key = (*environment.items(),) if apart else tried
        if key not in self._servers:
            self._servers[key] = _Server(self._sent, apart, environment)
        kept = False
        try:
            found = self._servers[key].ask((tried.names, tried.size, steps, seconds), until)
            kept = apart or stays
            return found
        except FailedError:
            kept = apart and self._servers[key].lives  # it was a process of this one's
            raise
        finally:
            if not kept:
                self._servers.pop(key).end()

    def done(self, tried: Tried) -> None:
        """No more turns of it are asked for."""
        if (server := self._servers.pop(tried, None)) is not None:
            server.end()

    def close(self) -> None:
        """End all processes."""
        while self._servers:
            self._servers.popitem()[1].end()


class _Server:
    """A process of :mod:`slalom.fitting.tuning.worker`, and those that it starts."""

    def __init__(self, sent: Sent, apart: bool, environment: dict[str, str]):
        found = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **environment}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "slalom.fitting.tuning.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, **found},
            start_new_session=True,  # Ctrl-C is for who asks, and ends these
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions, self._answers = self._process.stdin, self._process.stdout
        self._first: Any = (sent, apart)
        self._read: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask(self, question: Any, until: float) -> Turn:
        try:
            if self._first is not None:
                put(self._first, self._questions)
                self._first = None
            put(question, self._questions)
        except OSError:
            raise FailedError(f"its process ended with {self._process.wait()}") from None
        threading.Thread(target=self._reading, daemon=True).start()
        try:
            answer = self._read.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            self.end()
            raise LateError from None
        if answer is None:
            raise FailedError(f"its process ended with {self._process.wait()}")
        if isinstance(answer, dict):
            raise FailedError(answer["error"])
        return answer

    @property
    def lives(self) -> bool:
        """Whether it can be asked once more."""
        return self._process.poll() is None

    def _reading(self) -> None:
        try:
            self._read.put(got(self._answers))
        except (EOFError, OSError, ValueError):
            self._read.put(None)

    def end(self) -> None:
        """End it and what it has started, whatever they are doing."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        with contextlib.suppress(OSError):
            self._questions.close()
        self._process.wait()
