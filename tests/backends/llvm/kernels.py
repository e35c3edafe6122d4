"""Every rule's loop over every element type, with numbers to run it on."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from slalom.backends.llvm.lower import lower
from slalom.backends.llvm.memory import SIZES
from slalom.ir.program import Program, is_whole, multiplies, trace
from slalom.rules import RULES

COUNT = 1003
"""Elements in each array: whole vectors of every width, and a rest."""

PIECES = ((0, 37), (37, COUNT))
"""What is updated by one call."""


@dataclass(frozen=True)
class Kernel:
    """One loop: its text for machines that fuse multiply-adds or do not, its scalars, its arrays.

    Attributes:
        kind: LLVM's name of the element type of all its arrays.
        row: the doubles that it reads, random bits behind them if it rounds by chance.
    """

    name: str
    kind: str
    program: Program
    stochastic: bool
    row: np.ndarray

    @property
    def arrays(self) -> tuple[str, ...]:
        return ("param", "grad", *self.program.live_state)

    def text(self, fma: bool) -> str:
        arrays = tuple((name, self.kind) for name in self.arrays)
        return lower(self.program, arrays, fma=fma, stochastic=self.stochastic)

    def numbers(self) -> list[np.ndarray]:
        """The bits of each array's elements: of ordinary, tiny, huge and special numbers."""
        random = np.random.default_rng(COUNT)
        found = []
        for place in range(len(self.arrays)):
            x = random.standard_normal(COUNT) * 2.0 ** random.integers(-12, 5, COUNT)
            if place > 1:  # most states are means of squares
                x = np.where(random.random(COUNT) < 0.8, abs(x), x)
            edges = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-7, 6e4, 3e38, 1e-320, 1.0]
            at = random.choice(COUNT, 40 * len(edges) // 2, replace=False)
            x[at] = np.resize(edges, len(at))
            found.append(bits_of(x, self.kind))
        return found


def kernels(kind: str, *, stochastic: bool = False) -> list[Kernel]:
    """A kernel for every rule that goes element by element, as in its second step."""
    return [_kernel(name, kind, stochastic) for name, r in RULES.items() if not is_whole(r)]


def summing(kind: str, *, stochastic: bool = False) -> dict[str, Callable[[bool], str]]:
    """Of every rule that sums what writes its text, as in its second step.

    It is told whether the machine fuses multiply-adds.
    """
    found = {}
    for name, rule in RULES.items():
        if is_whole(rule) and not multiplies(rule):
            kernel = _kernel(name, kind, stochastic)
            kinds = [(n, "float" if n in rule.shapes else kind) for n in kernel.arrays]
            found[name] = lambda fma, k=kernel, own=tuple(kinds): lower(
                k.program, own, fma=fma, stochastic=stochastic
            )
    return found


def _kernel(name: str, kind: str, stochastic: bool) -> Kernel:
    rule = RULES[name]
    hypers = {**rule.hypers, "lr": 0.0123}
    first = [rule.start(n, hypers) for n in rule.numbers]
    program = trace(rule, hypers, step=2, first=False, numbers=first)
    row = program.row(2, False, *hypers.values(), *first)[: len(program.scalars)]
    noise = [float(0xDEADBEEF)] if stochastic else []
    return Kernel(name, kind, program, stochastic, np.array([*row, *noise], np.float64))


def bits_of(x: np.ndarray, kind: str) -> np.ndarray:
    """The bits of float64 numbers as this element type has them."""
    with np.errstate(over="ignore"):
        if kind == "bfloat":
            return (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        number = {"half": np.float16, "float": np.float32, "double": np.float64}[kind]
        return x.astype(number).view(f"u{SIZES[kind]}")


def without_nans_bits(bits: np.ndarray, kind: str) -> np.ndarray:
    """The same bits, every NaN made one: which NaN comes out is each machine's own affair."""
    width, digits = {"bfloat": (16, 7), "half": (16, 10), "float": (32, 23), "double": (64, 52)}[
        kind
    ]
    infinity = (1 << (width - 1)) - (1 << digits)
    nan = (bits & bits.dtype.type((1 << (width - 1)) - 1)) > infinity
    return np.where(nan, bits.dtype.type(infinity + 1), bits)


def run_here(address: int, kernel: Kernel) -> list[np.ndarray]:
    """The arrays after machine code of this process has run over them."""
    arrays = kernel.numbers()
    addresses = (ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays))
    function = ctypes.CFUNCTYPE(
        None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p
    )(address)
    for begin, end in PIECES:
        function(addresses, kernel.row.ctypes.data, begin, end, None)
    return arrays
