"""Say which backend serves each parameter of an optimizer, and why."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.parameter import is_lazy

from slalom.backends.narrow import owner
from slalom.engine.distributed import is_distributed
from slalom.engine.naming import names_in
from slalom.optim.rule_optimizer import RuleOptimizer
from slalom.optim.spent import Spent


@dataclass(frozen=True, repr=False)
class Explanation:
    """What :func:`explain` found, a row a parameter; prints as a table.

    Attributes:
        rows: (name or place, shape, dtype, backend, reason) of each parameter, where backend is
            ``llvm``, ``cuda``, ``foreach``, ``autograd`` (differentiable) or ``none`` (not
            updated). Of several rules in one optimizer the reason ends with the parameter's own.
        bytes: the bytes for each parameter (one number of one tensor), on average over those that
            have a gradient or states: ``param``, ``grad`` and each state by its name.
    """

    rows: list[tuple[str, tuple[int, ...], torch.dtype, str, str]]
    bytes: dict[str, float]

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        if not self.rows:
            return "no parameters"
        cells = [
            (name, "x".join(map(str, shape)) or "scalar", str(dtype)[6:], backend, reason)
            for name, shape, dtype, backend, reason in self.rows
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ]
        if self.bytes:
            each = ", ".join(f"{name} {size:.3g}" for name, size in self.bytes.items())
            lines.append(f"bytes a parameter: {each}; {sum(self.bytes.values()):.4g} in all")
        if any(owner(name, self.bytes) not in (None, "param") for name in self.bytes):
            lines.append(
                "8 bits make a step on a CPU faster where states outgrow its caches, and slower "
                "within them"
            )
        return "\n".join(lines)


def explain(optimizer: torch.optim.Optimizer) -> Explanation:
    """Which backend serves each parameter in the next step, and why: a table when printed.

    Looks at the parameters and gradients as they are now, and changes nothing. Raises TypeError if
    the optimizer is not Slalom's.
    """
    if not isinstance(optimizer, RuleOptimizer):
        raise TypeError(
            f"explain() takes an optimizer of slalom.optim, not {type(optimizer).__name__}"
        )
    recorded = any(group.get("differentiable") for group in optimizer.param_groups)
    plan = None if recorded else optimizer.plan()
    served = {} if plan is None else plan.served_by_parameter()
    count = sum(p.numel() for g in optimizer.param_groups for p in g["params"] if id(p) in served)
    kept = {n: size / count for n, size in plan.bytes.items()} if plan and count else {}
    rows = []
    for g, group in enumerate(optimizer.param_groups):
        for name, param in zip(names_in(group, g), group["params"], strict=True):
            if is_lazy(param):
                rows.append((name, (), param.dtype, "none", "it is lazy, and has no shape yet"))
                continue
            backend, why = served.get(id(param), ("none", None))
            if param.grad is None:
                backend, why = "none", "it has no gradient"
            elif type(param.grad) is Spent:
                backend, why = "none", "its gradient was used inside backward"
            elif recorded:
                whose = "its" if group.get("differentiable") else "another"
                backend, why = "autograd", f"{whose} group is differentiable"
            elif why is None:
                part = "compiled, for the part of it that this process holds"
                why = part if is_distributed(param) else "compiled"
            remark = optimizer.remark(group, name)
            why = f"{why}; {remark}" if remark else why
            rows.append((name, tuple(param.shape), param.dtype, backend, why))
    return Explanation(rows, kept)
