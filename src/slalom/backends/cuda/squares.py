"""The sum of the squares of all gradients: the kernels of a rule that keeps it of each tensor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace

import torch
from torch import Tensor

from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.work import Work
from slalom.ir.program import Program, trace
from slalom.rules.definition import rule
from slalom.rules.functions import Value, total


@cache
def squares_program() -> Program:
    """It keeps the sum of the squares of the gradient."""

    @rule(shapes={"squares": "one"})
    def squares(param: Value, grad: Value, squares: Value) -> tuple[Value, Value]:
        """The sum of the squares of a tensor's elements."""
        return param, total(grad * grad)

    return trace(squares, {}, first=False)


class Squares:
    """The gradients of one GPU and one type, those of the slots at these places."""

    def __init__(self, gpu: Gpu, kind: str, places: Sequence[int], shapes: Sequence[torch.Size]):
        each = gpu.empty(8 * len(places))
        self._found = each[: 8 * len(places)].view(torch.float64)
        where = {i: self._found.data_ptr() + 8 * k for k, i in enumerate(places)}
        arrays = (("param", kind), ("grad", kind), ("squares", "double"))
        rows = [(SimpleNamespace(values=(), noise=None), places)]
        self._work = Work(
            gpu, squares_program(), arrays, False, rows, shapes,
            lambda name, i: where[i] if name == "squares" else 0,
        )  # fmt: skip

    def run(self, grads: Sequence[int]) -> Tensor:
        """The sum, in float64, on the GPU; ``grads`` are the addresses of all gradients."""
        self._work.send(grads)
        self._work.start()
        return self._found.sum()
