"""Jobs on matrices in machine code, one after the other as a table says.

Layers of small networks are products of some 64 by 128 by 128 numbers, of which a library spends
as much on the call as on the product, and on processors that its makers did not mean half of what
these can. Here one call does all jobs of an update.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator, Sequence

import numpy as np

from slalom.backends.llvm.functions import ACTIVATIONS, ERRORS
from slalom.backends.llvm.jit import jit
from slalom.backends.llvm.losses import cross_entropy, elementwise
from slalom.backends.llvm.losses import log_softmax as log_softmax_text
from slalom.backends.llvm.matrices import products, sums, transpositions
from slalom.backends.llvm.once import once
from slalom.backends.llvm.pointwise import activations, vectors

FIELDS = 16
"""Numbers of 8 bytes that a job takes."""

JOBS = (
    "product", "transpose", "row_sums", "times", "log_softmax", *ACTIVATIONS, "cross_entropy",
    *ERRORS,
)  # fmt: skip
"""What a job can be; its first field is the place in here."""

NO_FLOOR = float("-inf")

_ZERO = np.zeros(1, np.float32)

NONE_IGNORED = -(1 << 63)
"""A class that there is not."""

Matrix = tuple[int, int]
"""The address of float32, and how many of them it is from a row to the next; columns are
neighbours."""


def product(
    rows: int, columns: int, depth: int, left: tuple[int, int, int], right: Matrix, into: Matrix,
    bias: int = 0, floor: float = NO_FLOOR, positive: int = 0,
) -> list[int]:  # fmt: skip
    """The job ``into`` = ``left`` @ ``right``, and what follows it.

    Args:
        rows, columns, depth: of ``left`` (rows, depth) and ``right`` (depth, columns).
        left: address; numbers from a row to the next, and from a column to the next.
        bias: address of a number a row that is added; 0 for none.
        floor: what is less becomes this.
        positive: address of numbers that lie as ``into``: where they are not above 0 the result is
            0; or 0 for none.
    """
    return _job(
        "product", rows, columns, depth, *left, *right, *into, bias or _ZERO.ctypes.data,
        1 if bias else 0, _bits(floor), positive,
    )  # fmt: skip


def transpose(rows: int, columns: int, given: Matrix, into: Matrix) -> list[int]:
    """The job ``into`` (columns, rows) = ``given`` (rows, columns)."""
    return _job("transpose", rows, columns, *given, *into)


def row_sums(rows: int, columns: int, given: Matrix, into: int) -> list[int]:
    """The job of the sums of rows, to numbers at an address."""
    return _job("row_sums", rows, columns, *given, into)


def activation(
    kind: str, rows: int, columns: int, at: Matrix, slopes: int = 0, numbers: Sequence[float] = ()
) -> list[int]:
    """The job of one of :data:`ACTIVATIONS` with its ``numbers``, where a matrix lies; its slopes
    go to an address, alike, where one is given."""
    return _job(kind, rows, columns, *at, slopes, *map(_bits, numbers))


def times(rows: int, columns: int, at: Matrix, of: int) -> list[int]:
    """The job of a matrix times, number by number, what lies alike at an address."""
    return _job("times", rows, columns, *at, of)


def log_softmax(classes: int, samples: int, outputs: Matrix) -> list[int]:
    """The job of the logarithms of the shares of classes, where outputs lie."""
    return _job("log_softmax", classes, samples, *outputs)


def error_of(
    kind: str, samples: int, features: int, outputs: Matrix, targets: int, into: int, share: float,
    told: int, *, taught: bool, numbers: Sequence[float] = (),
) -> list[int]:  # fmt: skip
    """The job of one of :data:`ERRORS` with its ``numbers``.

    Args:
        outputs: (features, samples), rows of which go on to a whole vector. Targets and ``into``
            lie alike.
        targets: address.
        into: address of the gradient.
        share: by which each error is multiplied there.
        told: address of the sum of the errors, not multiplied.
        taught: whether a gradient is wanted.
    """
    return _job(
        kind, samples, features, *outputs, targets, into, _bits(share), told, int(taught),
        *map(_bits, numbers),
    )  # fmt: skip


def cross_entropy_of(
    samples: int, classes: int, outputs: Matrix, targets: int, into: int, share: float, told: int,
    *, taught: bool, weights: np.ndarray, smoothing: float = 0.0, ignored: int = NONE_IGNORED,
    mean: bool = False,
) -> list[int]:  # fmt: skip
    """The job of the cross entropy of outputs (classes, samples).

    Args:
        targets: address of classes, int64 (samples,).
        told: address of five numbers: the sum of the losses, not multiplied; of how many samples
            the class was known, of how many it was the first with the highest output, how many were
            ignored; the sum of the weights of the classes.
        weights: float32 (classes,), which must be there as long as the job.
        smoothing: the part of each sample that is of all classes, evenly.
        ignored: a class whose samples do not count.
        mean: whether ``share`` is divided by the sum of the weights.

    The rest is as for :func:`error_of`.
    """
    return _job(
        "cross_entropy", samples, classes, *outputs, targets, into, _bits(share), told,
        int(taught), weights.ctypes.data, _bits(1.0 - smoothing), _bits(smoothing / classes),
        _bits(float(weights.sum(dtype=float))), ignored, int(mean),
    )  # fmt: skip


def _job(kind: str, *fields: int) -> list[int]:
    return [JOBS.index(kind), *fields, *[0] * (FIELDS - 1 - len(fields))]


def _bits(value: float) -> int:
    return struct.unpack("<i", struct.pack("<f", value))[0]


class Dense:
    """Does jobs, one after the other, on one thread.

    Args:
        width: numbers in a vector.
        columns: vectors in a row of a product that are computed together.

    Raises :class:`slalom.backends.refusals.Unavailable` where there is no machine code.
    """

    def __init__(self, width: int, columns: int):
        self._width = width
        text = "\n".join(text_of(width, columns, fused=jit().fma))
        (address,) = jit().compile(text, "run")
        self._run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(address)

    def run(self, jobs: np.ndarray) -> None:
        """Do jobs, int64 of shape (jobs, FIELDS)."""
        self._run(jobs.ctypes.data, len(jobs))

    def stride(self, columns: int) -> int:
        """Numbers from one row to the next: whole vectors, and where a row is long an odd number of
        them, since rows that are powers of two apart drive one another out of the cache."""
        vectors = -(-columns // self._width)
        return self._width * (vectors if vectors * self._width <= 64 else vectors | 1)


@once
def dense() -> Dense:
    """That of this process, with the vectors of its processor."""
    return Dense(*jit().vector)


def text_of(width: int, columns: int, *, fused: bool) -> Iterator[str]:
    """LLVM's assembly of ``@run(jobs, many)``; see :class:`Dense`. ``fused``: whether to multiply
    and add in one rounding."""
    return _once(_parts(width, columns, fused=fused))


def _once(lines: Iterator[str]) -> Iterator[str]:
    """Without what is declared a second time."""
    declared: set[str] = set()
    for line in lines:
        if not line.startswith("declare "):
            yield line
        elif line not in declared:
            declared.add(line)
            yield line


def _parts(width: int, columns: int, *, fused: bool) -> Iterator[str]:
    bits = 32 * width  # compilers spare some processors their widest vectors, unless they are asked
    yield (
        f'attributes #0 = {{ nounwind "min-legal-vector-width"="{bits}" '
        f'"prefer-vector-width"="{bits}" }}'
    )
    yield from vectors(width)
    yield from products(width, columns, "fma" if fused else "fmuladd")
    yield from transpositions(width)
    yield from sums(width)
    yield from activations(width)
    yield from log_softmax_text(width)
    yield from cross_entropy(width)
    yield from elementwise(width)
    cases = " ".join(f"i64 {place}, label %{name}" for place, name in enumerate(JOBS))
    yield f"""
define void @run(ptr %jobs, i64 %many) #0 {{
entry:
  br label %next
next:
  %i = phi i64 [0, %entry], [%i.next, %done]
  %more = icmp slt i64 %i, %many
  br i1 %more, label %one, label %end
one:
  %at = mul i64 %i, {FIELDS}
  %job = getelementptr i64, ptr %jobs, i64 %at
  %kind = load i64, ptr %job, align 8
  switch i64 %kind, label %done [{cases}]"""
    for name in JOBS:
        yield f"""{name}:
  call void @{name}(ptr %job)
  br label %done"""
    yield """done:
  %i.next = add i64 %i, 1
  br label %next
end:
  ret void
}"""
