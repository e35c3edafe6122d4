"""What cannot be served, and the words for it."""

from __future__ import annotations

import torch
from torch import Tensor

from slalom.ir.program import Program
from slalom.rules.definition import Rule


class Unavailable(RuntimeError):  # noqa: N818 - a state of affairs, not a mistake
    """A backend cannot work here, or not any longer; the message says why."""


class RefusedTensorError(RuntimeError):
    """A tensor that no way of updating can serve; the message says which and why."""


def refuse_no_matrix(program: Program, param: Tensor) -> None:
    """Raise :class:`RefusedTensorError` for a tensor that is no matrix to a program of these."""
    name, why = program.rule.class_name, None
    if program.by_rows and hasattr(param, "full_tensor"):
        raise RefusedTensorError(
            f"{name} sums up rows or columns, and one is a DTensor whose gradient or state is not "
            "distributed as it is; redistribute these"
        )
    if param.is_complex():
        why = f"{name} does not support complex parameters"  # in torch's words
    elif param.layout != torch.strided:
        why = f"{name} multiplies matrices, and a parameter of {param.layout} is none"
    elif hasattr(param, "full_tensor"):
        why = (
            f"{name} multiplies matrices, and one is a DTensor whose gradient or state is not "
            "distributed as it is, or that is cut in a way of its own; shard it by FSDP, or along "
            "one axis by tensor parallelism"
        )
    if why is not None and program.multiplies:
        raise RefusedTensorError(why)


def refuse_squares(rule: Rule, way: str) -> None:
    """Raise :class:`RefusedTensorError` for a rule that keeps square matrices."""
    if rule.squares:
        raise RefusedTensorError(
            f"{rule.class_name} keeps square matrices, which {way}=True does not serve; leave it "
            "out"
        )


def refuse_narrow(param: Tensor) -> None:
    """Raise :class:`RefusedTensorError` for a tensor whose codes or remainder lie elsewhere."""
    if hasattr(param, "full_tensor"):
        raise RefusedTensorError(
            "a state of 8 bits or a remainder is kept of a DTensor whose gradient or state is not "
            "distributed as it is; redistribute these"
        )


UNPREPARED = (
    "a graph is recorded of a step that was not made before: make a few steps with the same "
    "parameters first, on a side stream, as torch's guide to CUDA graphs has it"
)
"""What is to be said where something would be made in every replay, or cannot be made then."""

SUMMED = "it is a DTensor, and its rule sums over all of it"
OWNED = "it is a DTensor: a process multiplies each matrix for all, and sends them their parts"
"""Why machine code does not serve a DTensor whose rule looks at all of it."""

WHOLE = "its rule sums over whole tensors, of which there are no kernels"
"""Why a backend without sums does not serve a rule."""

CROOKED = "its rule sums over rows or columns, and its elements do not lie row by row"
"""Why machine code does not serve a tensor of a rule that looks at rows or columns."""

CODED_LINES = (
    "its rule sums over rows or columns and keeps states in 8 bits, of which there are no kernels "
    "together"
)
"""Why kernels do not serve a rule of rows or columns whose states are codes."""

TOGETHER = (
    "its rule asks all tensors together, and sums over rows or columns, of which there are no "
    "kernels"
)
"""Why kernels do not serve a rule with crossings that looks at rows or columns too."""

MATRICES = "its rule multiplies matrices, of which there is no machine code"
"""Why machine code does not serve a rule with operations on whole matrices."""


def small_amiss(own: str, tensor: Tensor) -> str | None:
    """Why machine code does not read a state that is smaller than its parameter; None if it does.

    ``own`` is how the state is called.
    """
    if tensor.dtype in (torch.float32, torch.float64) and tensor.is_contiguous():
        return None
    return f"{own} is not float32 or float64 that lies in order in its memory"
