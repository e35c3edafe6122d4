"""Say which backend serves each parameter of an optimizer, and why."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from slalom.kernel.local import is_distributed
from slalom.optim.optimizer import RuleOptimizer


@dataclass(frozen=True)
class Explanation:
    """What :func:`explain` found, a row a parameter; prints as a table.

    Attributes:
        rows: (name or place, shape, dtype, backend, reason) of each parameter, where backend is
            ``llvm``, ``eager`` or ``none`` (not updated).
    """

    rows: list[tuple[str, tuple[int, ...], torch.dtype, str, str]]

    def __str__(self) -> str:
        cells = [
            (name, "x".join(map(str, shape)) or "scalar", str(dtype)[6:], backend, reason)
            for name, shape, dtype, backend, reason in self.rows
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)] if cells else []
        return "\n".join(
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in cells
        )


def explain(optimizer: torch.optim.Optimizer) -> Explanation:
    """Which backend serves each parameter in the next step, and why; ``print`` it.

    Looks at the parameters and gradients as they are now; changes nothing but that the states of
    parameters with a gradient are made. Raises TypeError if the optimizer is not Slalom's.
    """
    if not isinstance(optimizer, RuleOptimizer):
        raise TypeError(
            f"explain() takes an optimizer of slalom.optim, not {type(optimizer).__name__}"
        )
    reasons = optimizer.plan().reasons_by_parameter()
    rows = []
    for g, group in enumerate(optimizer.param_groups):
        names = group.get("param_names", [])
        for i, param in enumerate(group["params"]):
            name = names[i] if names else f"group {g}, parameter {i}"
            if id(param) in reasons:
                reason = reasons[id(param)]
                backend = "llvm" if reason is None else "eager"
                part = "compiled, for the part of it that this process holds"
                why = reason or (part if is_distributed(param) else "compiled")
            else:
                backend, why = "none", "it has no gradient"
            rows.append((name, tuple(param.shape), param.dtype, backend, why))
    return Explanation(rows)
