"""Puts the simulated GPU in the place of the CPU's backend, for tests that are run with ``-p``."""

from __future__ import annotations

from standin import Simulated

from slalom.backends import BACKENDS

BACKENDS[0] = Simulated()
BACKENDS[0].name = "llvm"  # as tests call what compiles
