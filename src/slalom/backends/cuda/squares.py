"""The sum of the squares of all gradients: the kernels of a rule that keeps it of each tensor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.work import Places, Work
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

    def __init__(
        self, gpu: Gpu, kind: str, places: Sequence[int], shapes: Sequence[torch.Size],
        places_of: Places,
    ):  # fmt: skip
        each = gpu.empty(8 * len(places))
        self._found = each[: 8 * len(places)].view(torch.float64)
        self._own = np.zeros((len(places), 3), np.int64)
        self._own[:, 2] = self._found.data_ptr() + 8 * np.arange(len(places))
        self._grads = places_of(["grad"], places)[:, 0]
        own = np.arange(self._own.size).reshape(self._own.shape)
        arrays = (("param", kind), ("grad", kind), ("squares", "double"))
        rows = [(SimpleNamespace(values=(), noise=None), places)]
        self._work = Work(
            gpu, squares_program(), arrays, False, rows, shapes,
            lambda _, members: own[: len(members)],
        )  # fmt: skip

    def run(self, addresses: np.ndarray) -> Tensor:
        """The sum, in float64, on the GPU; ``addresses`` are those of :meth:`Work.send`."""
        self._own[:, 1] = addresses[self._grads]
        self._work.send(self._own.ravel())
        self._work.start()
        return self._found.sum()
