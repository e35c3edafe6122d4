"""The compiled ``driver.c``: what it calls, and how it is called from Python."""

from __future__ import annotations

import ctypes
import os
from functools import partial
from importlib import resources

from slalom.backends.llvm.anatomy import anatomy
from slalom.backends.llvm.jit import jit
from slalom.backends.llvm.once import once
from slalom.backends.llvm.torch_c import needed, welcome

LINE = 64
"""Elements in a line, the unit in which threads share out the work: a block of codes."""

BLOCK = 64
"""Lines in a block, the unit in which sums are taken."""

STALE, CHANGED, MOVED = -1, 1, 2
"""What ``gather`` returns: STALE, or the sum of the others."""


class Table(ctypes.Structure):
    """What a launch hands to the driver; ``driver.c`` says what the fields are."""

    _fields_ = [
        ("torch", ctypes.c_void_p),
        ("anatomy", ctypes.c_void_p),
        ("segments", ctypes.c_void_p),
        ("n_segments", ctypes.c_int64),
        ("absent", ctypes.c_void_p),
        ("n_absent", ctypes.c_int64),
        ("grads", ctypes.c_void_p),
        ("written", ctypes.c_void_p),
        ("n_written", ctypes.c_int64),
        ("sums", ctypes.c_void_p),
        ("stage", ctypes.c_int64),
        ("lines", ctypes.c_int64),
        ("grain", ctypes.c_int64),
        ("fresh", ctypes.c_int64),
    ]


class Watch(ctypes.Structure):
    """The objects that a step relies on; ``driver.c`` says what the fields are."""

    _fields_ = [
        ("python", ctypes.c_void_p),
        ("key", ctypes.c_void_p),
        ("n_groups", ctypes.c_int64),
        ("params", ctypes.c_void_p),
        ("states", ctypes.c_void_p),
    ]


class Driver:
    """The compiled driver.

    Raises :class:`slalom.backends.refusals.Unavailable` where there is none.

    Attributes:
        torch, python: the addresses of what the driver calls.
        anatomy: the address of what is known of torch's objects; None where it is not.
        asks: the functions of torch that are missing, so that Python has to ask in their place.
        gather: look at the tensors of a table, holding the interpreter.
        run: run a table, the interpreter free for other threads meanwhile; torch's error code.
        measure: sum the squared gradients of a table by blocks; torch's error code.
        run_held: as ``run``, holding the interpreter: for steps shorter than a change of threads.
        updated: what is left to do of a table that was updated elsewhere: autograd is told, and the
            update counted.
        holds: whether groups and states (their ids) hold the objects of a watch.
    """

    def __init__(self) -> None:
        optional = welcome()
        found = (*needed(), *optional.values())
        self.asks = frozenset(name for name, address in optional.items() if not address)
        self._torch = (ctypes.c_void_p * len(found))(*found)
        api = ("PyDict_Next", "PyDict_GetItem", "PyList_Size", "PyList_GetItem", "PyErr_Clear")
        self._python = (ctypes.c_void_p * len(api))(*map(_python, api))
        self.torch, self.python = map(ctypes.addressof, (self._torch, self._python))
        self._anatomy = anatomy()
        self.anatomy = ctypes.addressof(self._anatomy) if self._anatomy else None
        text = resources.files("slalom.backends.llvm").joinpath("driver.ll").read_text()
        names = ("gather", "run", "updated", "measure", "holds", "alone")
        gather, run, updated, measure, holds, alone = jit().compile(text, *names)
        address, number = ctypes.c_void_p, ctypes.c_int64
        self.gather = ctypes.PYFUNCTYPE(number, address)(gather)
        self.run = ctypes.CFUNCTYPE(ctypes.c_int32, address)(run)
        self.measure = ctypes.CFUNCTYPE(ctypes.c_int32, address)(measure)
        self.run_held = ctypes.PYFUNCTYPE(ctypes.c_int32, address)(run)
        self.updated = ctypes.PYFUNCTYPE(None, address)(updated)
        self.holds = ctypes.PYFUNCTYPE(number, address, address, address)(holds)
        # In a forked child OpenMP would wait for threads that only the parent has.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=partial(self._torch.__setitem__, 0, alone))


def _python(function: str) -> int | None:
    """The address of a function of Python's C interface."""
    return ctypes.cast(getattr(ctypes.pythonapi, function), ctypes.c_void_p).value


@once
def driver() -> Driver:
    """The driver of this process."""
    return Driver()
