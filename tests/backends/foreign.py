"""A backend of another library, as one would write it: NumPy runs the program, node by node.

Importing this module puts it before all others, for tests that are run with ``-p foreign``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from slalom.backends import BACKENDS
from slalom.backends.base import Backend, Counts, Slot
from slalom.backends.general import Batch, RowsLaunch
from slalom.backends.row import Row

DTYPES = {torch.float32, torch.float64}

RUN = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative,
    "sqrt": np.sqrt, "abs": np.abs, "maximum": np.maximum, "minimum": np.minimum,
    "gt": np.greater, "ge": np.greater_equal, "lt": np.less, "le": np.less_equal,
    "eq": np.equal, "ne": np.not_equal, "and": np.logical_and, "or": np.logical_or,
    "not": np.logical_not, "where": np.where, "sign": lambda x: np.nan_to_num(np.sign(x)),
    "atan2": np.arctan2,
}  # fmt: skip
SERVED: list[str] = []
"""The rules that were run here, in order."""


class NumpyLaunch(RowsLaunch):
    def update(self, row: Row, batch: Batch) -> None:
        assert row.program is not None
        SERVED.append(row.rule.name)
        body, names = row.program.body, ("param", "grad", *batch.states)
        for tensors in zip(batch.params, batch.grads, *batch.states.values(), strict=True):
            given = {n: t.detach().numpy() for n, t in zip(names, tensors, strict=True)}
            wide = np.result_type(*given.values())
            values = {
                id(s): wide.type(float(v))
                for s, v in zip(row.program.scalars, row.values, strict=False)
            }

            def value(symbol, values=values, wide=wide):
                return wide.type(symbol.args[0]) if symbol.op == "constant" else values[id(symbol)]

            with np.errstate(all="ignore"):
                for node in body.nodes:
                    own = given.get(node.args[0]) if node.op == "tensor" else None
                    values[id(node)] = (
                        RUN[node.op](*map(value, node.args)) if own is None else own.astype(wide)
                    )
                results = {name: np.copy(value(s)) for name, s in body.outputs.items()}
                for name, result in results.items():
                    given[name][...] = result
        increment_version(batch.params)


class Numpy(Backend):
    name = "numpy"

    def refuses(self, slot: Slot) -> str | None:
        tensors = [t for t in (slot.param, slot.param.grad, *slot.state.values()) if t is not None]
        plain = all(
            type(t) in (Tensor, torch.nn.Parameter) and t.layout == torch.strided
            and t.dtype in DTYPES and t.device.type == "cpu" and not t.is_neg()
            and not t._is_zerotensor()
            for t in tensors
        )  # fmt: skip
        return None if plain and not (slot.by_rows or slot.alone) else "it is not for NumPy"

    def prepare(self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts):
        return NumpyLaunch(slots, absent, counts)


BACKENDS.insert(0, Numpy())
