"""The one call of a step: look at every tensor, then run every segment on torch's threads.

The driver is the same for every rule. It reads a table of segments; a segment is one parameter
with its gradient and states, the machine code of its rule and its row of scalars.
"""

from __future__ import annotations

import ctypes
import os
from functools import partial
from importlib import resources

from slalom.kernel.jit import jit, once
from slalom.kernel.torch_c import addresses

LINE = 16
"""Elements in a line, the unit in which threads share out the work: a cache line of float32."""

BLOCK = 256
"""Lines in a block, the unit in which squares are summed."""


STATE, PLAIN, PARAM, GRAD_OF, NO_GRAD_OF = range(5)
"""Kinds of check: a tensor at an address known before; any tensor; a parameter, whose version
autograd must see rise; the gradient of a parameter; a parameter that must have no gradient."""


class Check(ctypes.Structure):
    """One tensor that a step looks at: where it is found and what it must be."""

    _fields_ = [
        ("tensor", ctypes.c_void_p),  # torch's TensorImpl: of the tensor, or of the parameter ...
        ("kind", ctypes.c_int64),  # ... whose gradient is meant, if this is GRAD_OF
        ("holder", ctypes.c_void_p),  # where the Python object holds ``tensor``, or null
        ("dtype", ctypes.c_int64),
        ("dim", ctypes.c_int64),
        ("sizes", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("address", ctypes.c_void_p),  # of the elements; looked at for STATE alone
    ]


class Segment(ctypes.Structure):
    """One parameter: the code to run, its scalars, its arrays, its length, its first line."""

    _fields_ = [
        ("update", ctypes.c_void_p),
        ("row", ctypes.c_void_p),
        ("arrays", ctypes.c_void_p),
        ("numel", ctypes.c_int64),
        ("first_line", ctypes.c_int64),
        ("square", ctypes.c_void_p),  # the code that sums the squares of its gradient
    ]


class Table(ctypes.Structure):
    """All that a step needs, handed to the driver by its address."""

    _fields_ = [
        ("functions", ctypes.c_void_p),
        ("checks", ctypes.c_void_p),
        ("n_checks", ctypes.c_int64),
        ("arrays", ctypes.c_void_p),
        ("segments", ctypes.c_void_p),
        ("n_segments", ctypes.c_int64),
        ("lines", ctypes.c_int64),
        ("grain", ctypes.c_int64),
        ("sums", ctypes.c_void_p),  # a double for each block of lines
    ]


class Driver:
    """The compiled driver. Raises :class:`slalom.kernel.jit.Unavailable` where there is none.

    Attributes:
        functions: the table of torch's C functions, for :attr:`Table.functions`.
        gather: fill a table's arrays with the addresses its checks find, holding the interpreter;
            not 0 if a tensor is not what its check says, and then nothing must be run.
        same: whether a dict of dicts (its id) holds the objects listed (the list's address).
        listed: whether a list (its id) holds the objects listed (their list's address).
        count: add one to so many counters at an address, doubles if the last argument is 1.
        run: run a table, the interpreter free for other threads meanwhile; torch's error code.
        measure: sum the squared gradients of a table by blocks; torch's error code.
        run_held: as ``run``, holding the interpreter: for steps shorter than a change of threads.
    """

    def __init__(self) -> None:
        found = addresses()
        self.functions = (ctypes.c_void_p * len(found))(*found)
        assembly = resources.files("slalom.kernel").joinpath("driver.ll").read_text()
        names = ("gather", "run", "measure", "same", "listed", "count", "alone")
        gather, run, measure, same, listed, count, alone = jit().compile(assembly, *names)
        address, number = ctypes.c_void_p, ctypes.c_int64
        self.gather = ctypes.PYFUNCTYPE(number, address)(gather)
        self.run = ctypes.CFUNCTYPE(ctypes.c_int32, address)(run)
        self.measure = ctypes.CFUNCTYPE(ctypes.c_int32, address)(measure)
        self.run_held = ctypes.PYFUNCTYPE(ctypes.c_int32, address)(run)
        self.same = partial(
            ctypes.PYFUNCTYPE(number, address, address, address)(same), _python("PyDict_Next")
        )
        self.listed = partial(
            ctypes.PYFUNCTYPE(number, address, address, address, address)(listed),
            _python("PyList_Size"), _python("PyList_GetItem"),
        )  # fmt: skip
        self.count = ctypes.PYFUNCTYPE(None, address, number, ctypes.c_bool)(count)
        # In a forked child OpenMP would wait for threads that only the parent has.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=partial(self.functions.__setitem__, 0, alone))


def _python(function: str) -> int | None:
    """The address of a function of Python's C interface."""
    return ctypes.cast(getattr(ctypes.pythonapi, function), ctypes.c_void_p).value


@once
def driver() -> Driver:
    """The driver of this process."""
    return Driver()
