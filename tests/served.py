"""Processes that begin with torch and slalom imported, which takes seconds: forks of one server.

The server does nothing else and runs no threads, so each of them is as a fresh one.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SERVED = multiprocessing.get_context("forkserver")
SERVED.set_forkserver_preload(["slalom.cli", "slalom.api"])


class Started:
    """A call in a process of its own, in a folder and with the environment that this one has now.

    Args:
        function: what is called there, by its name in its module.
        arguments: what it is given, pickled.
        cwd: another folder.
        env: variables of the environment that are other than here.

    Attributes:
        process: it, to be killed.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ):
        self._said = tempfile.TemporaryDirectory(prefix="slalom-said-")
        where = self._said.name, cwd or Path.cwd(), {**os.environ, **(env or {})}
        self.process = SERVED.Process(target=_call, args=(*where, function, *arguments))
        self.process.start()

    def ended(self, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Its status, stdout and stderr, when it has ended."""
        with self._said as said:
            self.process.join(timeout)
            status = self.process.exitcode
            if status is None:
                self.process.kill()
                raise subprocess.TimeoutExpired(self.process.name, timeout)
            texts = [Path(said, name).read_text() for name in _STREAMS]
            return subprocess.CompletedProcess(self.process.name, status, *texts)


_STREAMS = "stdout", "stderr"


def _call(
    said: str, cwd: Path, env: dict[str, str], function: Callable[..., Any], *arguments: Any
) -> None:
    for name in _STREAMS:
        os.dup2(os.open(Path(said, name), os.O_WRONLY | os.O_CREAT), getattr(sys, name).fileno())
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    function(*arguments)


def printed(code: str) -> str:
    """What this code prints, which ends well."""
    done = Started(exec, code, {}).ended()
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def slalom(*arguments: str) -> None:
    """What the command ``slalom`` does with these arguments."""
    from slalom.cli import main

    sys.argv = ["slalom", *arguments]
    main()
