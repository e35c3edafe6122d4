"""What a step does to its gradients before the rules see them, and when it does nothing at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from slalom.backends.base import Slot
from slalom.backends.general import elements
from slalom.engine.distributed import number, over_processes, own_part
from slalom.rules.treated import BOUND, SCALE, SHRINK

ON_NONFINITE = ("propagate", "skip", "raise")
"""What may be done with a gradient that holds NaN or infinity."""


ROUNDING = ("nearest", "stochastic")
"""How a value is brought to bfloat16."""


@dataclass(frozen=True)
class Treatment:
    """Clipping, what is done about NaN and infinity, and how bfloat16 is rounded.

    Of all gradients and parameters of an optimizer alike.

    Attributes:
        clip_norm: the largest norm (of all gradients together, as one vector) that is let through;
            longer ones are scaled down to it, as by ``torch.nn.utils.clip_grad_norm_``.
        clip_value: the largest absolute value of an element that is let through.
        on_nonfinite: ``propagate`` as torch does, ``skip`` the step, or ``raise`` an error.
        independent_weight_decay: the share of itself that every parameter loses in a step at the
            full learning rate, whatever that is; under a schedule it follows the schedule's
            multiplier (Loshchilov & Hutter 2019, algorithm 2), so that nothing moves at a rate of
            zero. Beside the rule's own ``weight_decay``, if it has one.
        rounding: of what is kept in bfloat16, parameters and states: ``nearest`` as torch does,
            or ``stochastic``, up or down by chance, so that small updates are not lost.
        rounding_seed: of that chance.

    Raises ValueError if a bound is not positive, if both are given, or for an unknown choice.
    """

    clip_norm: float | None = None
    clip_value: float | None = None
    on_nonfinite: str = "propagate"
    independent_weight_decay: float | None = None
    rounding: str = "nearest"
    rounding_seed: int = 0

    def __post_init__(self) -> None:
        for name, bound in (("clip_norm", self.clip_norm), ("clip_value", self.clip_value)):
            if bound is not None and not (isinstance(bound, int | float) and bound > 0):
                raise ValueError(f"{name} is {bound!r}; it must be a number above 0, or None")
        if self.clip_norm is not None and self.clip_value is not None:
            raise ValueError("clip_norm and clip_value exclude each other; give one of them")
        share = self.independent_weight_decay
        if share is not None and not (isinstance(share, int | float) and 0 <= share < 1):
            raise ValueError(f"independent_weight_decay is {share!r}; it must be from 0 to below 1")
        if self.on_nonfinite not in ON_NONFINITE:
            raise ValueError(
                f"on_nonfinite is {self.on_nonfinite!r}; it must be one of {ON_NONFINITE}"
            )
        if self.rounding not in ROUNDING:
            raise ValueError(f"rounding is {self.rounding!r}; it must be one of {ROUNDING}")

    @property
    def measures(self) -> bool:
        """Whether every gradient has to be read before the first parameter may change."""
        return self.clip_norm is not None or self.on_nonfinite != "propagate"

    def factor(self, norm: Any) -> Any:
        """By what gradients of this norm (a float or a tensor) are multiplied; at most 1."""
        if self.clip_norm is None:
            return 1.0
        coefficient = self.clip_norm / (norm + 1e-6)  # torch's, to the last digit
        if isinstance(coefficient, Tensor):
            return coefficient.clamp(max=1.0)
        return coefficient if not coefficient > 1.0 else 1.0  # NaN stays

    def acts(self, scaled: bool) -> tuple[str, ...]:
        """The late hyper-parameters that rules have under this treatment."""
        asked = (scaled, self.clip_value, self.independent_weight_decay)
        return tuple(
            name
            for name, value in zip((SCALE, BOUND, SHRINK), asked, strict=True)
            if value is not None and value is not False
        )

    def late(self, scale: Any, group: Mapping[str, Any]) -> dict[str, Any]:
        """Their values in a step, by name."""
        found: dict[str, Any] = {}
        if scale is not None:
            found[SCALE] = scale
        if self.clip_value is not None:
            found[BOUND] = self.clip_value
        if self.independent_weight_decay is not None:
            found[SHRINK] = self.independent_weight_decay * multiplier(group)
        return found

    def rounds(self, slot: Slot) -> bool:
        """Whether something of a slot is rounded by chance; then its scalars are its own."""
        tensors = (slot.param, *slot.state.values())
        return self.rounding == "stochastic" and any(t.dtype == torch.bfloat16 for t in tensors)


FULL_RATE = "full_lr"
"""Option of a group: its learning rate when it was made, where a decay follows its schedule."""


def multiplier(group: Mapping[str, Any]) -> float:
    """The present learning rate of a group as a share of its full one; never above 1.

    The full one is what a scheduler climbs to (``max_lr``) or starts from (``initial_lr``), and
    without a scheduler the rate that the group was made with.
    """
    lr = float(group.get("lr", 1.0))
    for name in ("max_lr", "initial_lr", FULL_RATE):
        full = float(group.get(name, 0.0))
        if full > 0:
            return min(lr / full, 1.0)  # CyclicLR and SWALR go beyond, and tell nobody how far
    return float(lr > 0)


class NonFiniteGradientError(RuntimeError):
    """A gradient holds NaN or infinity, and ``on_nonfinite="raise"`` was asked for."""

    def __init__(self, named: Iterable[tuple[str, Tensor]]):
        found = []
        for name, grad in named:
            values = elements(grad)
            nans, infinities = number(values.isnan().sum()), number(values.isinf().sum())
            if nans or infinities:
                found.append(f"{name} ({nans} NaN, {infinities} infinite of {values.numel()})")
        some = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
        super().__init__(f"the gradient is not finite in {some}; nothing was updated")


def square_sum(grads: Iterable[Tensor]) -> float:
    """The sum of all squares, in double precision; of distributed gradients over all processes."""
    sums: defaultdict[Any, float] = defaultdict(float)
    for grad in grads:
        part, spread = own_part(grad)
        norm = torch.linalg.vector_norm(elements(part), dtype=torch.float64).item()
        sums[spread] += norm * norm
    return sum(over_processes(total, spread) for spread, total in sums.items())


def all_finite(grads: Iterable[Tensor]) -> bool:
    """Whether no gradient holds NaN or infinity, in this process or another."""
    return not any(number((~elements(g).isfinite()).sum()) for g in grads)
