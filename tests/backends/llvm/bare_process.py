"""A process with the compiler and without torch, which takes seconds to import."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import slalom
from slalom import backends
from slalom.backends import llvm

START = f"""
import ctypes, os, sys, types
for name, at in {[(p.__name__, list(p.__path__)) for p in (slalom, backends, llvm)]!r}:
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = at
refusals = sys.modules["slalom.backends.refusals"] = types.ModuleType("refusals")
refusals.Unavailable = type("Unavailable", (RuntimeError,), {{}})

def text(number, name="answer"):
    return f"define i64 @{{name}}() {{{{\\n  ret i64 {{number}}\\n}}}}"

def call(address):
    return ctypes.CFUNCTYPE(ctypes.c_int64)(address)()

"""
"""``text(n)`` is the assembly of a function that returns n, and ``call`` calls it."""


def run(code: str, *, timeout: float = 60, **env: str | None) -> subprocess.CompletedProcess[str]:
    """Run this code; a variable of the environment that is None is taken away."""
    merged = {**os.environ, **env}
    return subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(code)],
        env={k: v for k, v in merged.items() if v is not None},
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def printed(code: str, **options) -> list[str]:
    """The lines that this code prints; it must end well."""
    done = run(code, **options)
    assert done.returncode == 0, done.stderr[-2000:] or f"ended by {done.returncode}"
    return done.stdout.splitlines()
