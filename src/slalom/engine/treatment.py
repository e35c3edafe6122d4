"""What a step does to its gradients before the rules see them, and when it does nothing at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from slalom.backends.base import Slot, beside
from slalom.backends.general import elements
from slalom.backends.narrow import CODES
from slalom.engine.distributed import number, over_processes, own_part
from slalom.engine.keeping import REMAINDERS, asked_for, check_asked
from slalom.errors import InputError
from slalom.rules.definition import Rule
from slalom.rules.treated import BOUND, SCALE, SHRINK

ON_NONFINITE = ("propagate", "skip", "raise")
"""What may be done with a gradient that holds NaN or infinity."""


ROUNDING = ("nearest", "stochastic")
"""How a value is brought to bfloat16."""


@dataclass(frozen=True)
class Treatment:
    """Clipping, what is done about NaN and infinity, and what is kept in how many bits.

    Of all gradients and parameters of an optimizer alike.

    Attributes:
        clip_norm: the largest norm (of all gradients together, as one vector) that is let through;
            longer ones are scaled down to it, as by ``torch.nn.utils.clip_grad_norm_``.
        clip_value: the largest absolute value of an element that is let through.
        on_nonfinite: ``propagate`` as torch does, ``skip`` the step, or ``raise`` an error, for
            which a step waits for the GPU. A step that is skipped does not count.
        independent_weight_decay: the share of itself that every parameter loses in a step at the
            full learning rate, whatever that is; under a schedule it follows the schedule's
            multiplier (Loshchilov & Hutter 2019, algorithm 2), so that nothing moves at a rate of
            zero. Beside the rule's own ``weight_decay``, if it has one.
        rounding: of what is kept in bfloat16 or 8 bits, parameters and states: ``nearest`` as torch
            does, or ``stochastic``, up or down by chance, so that small updates are not lost.
        rounding_seed: of that chance.
        state_dtype: what states of the parameter's shape are kept in: ``float32``, ``bfloat16`` (or
            these dtypes) or ``8bit``, of all or by the name of the state; as torch where not named.
            In 8 bits are those of parameters of 65536 elements or more, the others and what holds
            weights are not; see :mod:`slalom.backends.narrow`.
        remainder: of parameters in bfloat16, ``exact``: the lower half of a float32 as a state, so
            that training is that of float32 parameters to the bit; of these or float16, ``kahan``:
            what rounding lost, in the parameter's dtype.

    Raises ValueError if a bound is not positive, if both are given, or for an unknown choice.
    """

    clip_norm: float | None = None
    clip_value: float | None = None
    on_nonfinite: str = "propagate"
    independent_weight_decay: float | None = None
    rounding: str = "nearest"
    rounding_seed: int = 0
    state_dtype: Any = None
    remainder: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "state_dtype", asked_for(self.state_dtype))
        if self.remainder not in REMAINDERS:
            raise InputError(f"remainder is {self.remainder!r}; it must be exact, kahan or None")
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

    def check(self, rules: Collection[Rule]) -> None:
        """Raise :class:`slalom.InputError` where no rule has what ``state_dtype`` names."""
        check_asked(self.state_dtype, self.remainder, [*rules])

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

    def refuse_narrow(self, where: str) -> None:
        """Raise ValueError if anything is to be kept in other dtypes than torch keeps it in."""
        for name in ("state_dtype", "remainder"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} is not served with {where}; leave one out")

    def rounds(self, slot: Slot) -> bool:
        """Whether something of a slot is rounded by chance; then its scalars are its own."""
        return self.rounding == "stochastic" and not {
            t.dtype for t in (slot.param, *slot.state.values())
        }.isdisjoint((torch.bfloat16, *CODES))


FULL_RATE = "full_lr"
"""Option of a group: its learning rate when it was made, where a decay follows its schedule."""


def multiplier(group: Mapping[str, Any]) -> Any:
    """The present learning rate of a group as a share of its full one; never above 1.

    The full one is what a scheduler climbs to (``max_lr``) or starts from (``initial_lr``), and
    without a scheduler the rate that the group was made with. A tensor where the rate is one.
    """
    lr = group.get("lr", 1.0)
    full = [group.get(name, 0.0) for name in ("max_lr", "initial_lr", FULL_RATE)]
    if isinstance(lr, Tensor) and not on_host(lr):
        return _multiplier_there(lr.detach().double().reshape(()), full)
    for own in map(float, full):
        if own > 0:
            # CyclicLR and SWALR go beyond, and tell nobody how far
            return min(float(lr) / own, 1.0)
    return float(lr > 0)


def on_host(number: Tensor) -> bool:
    """Whether a tensor may be asked for its value without waiting for a device."""
    return number.device.type == "cpu"


def _multiplier_there(lr: Tensor, full: Sequence[Any]) -> Tensor:
    """The same where nobody may ask for the rate."""
    found = (lr > 0).double()
    for own in reversed(full):
        share = (lr / beside(own, lr)).clamp(max=1.0)
        if isinstance(own, Tensor):
            found = torch.where(beside(own, lr) > 0, share, found)
        elif own > 0:
            found = share
    return found


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


def square_sum(grads: Iterable[Tensor]) -> float | Tensor:
    """The sum of all squares, in double precision; of distributed gradients over all processes.

    A tensor on the device of the first gradient, unless that is the CPU.
    """
    norms: defaultdict[Any, list[Tensor]] = defaultdict(list)
    for grad in grads:
        part, way = own_part(grad)
        norms[way].append(torch.linalg.vector_norm(elements(part), dtype=torch.float64))
    total: float | Tensor = 0.0
    for way, own in norms.items():
        squares = torch.stack([n.to(own[0].device) for n in own]).square().sum()
        squares = over_processes(squares, way)
        total = beside(squares if squares.device.type != "cpu" else squares.item(), total) + total
    return total


def all_finite(grads: Iterable[Tensor]) -> bool:
    """Whether no gradient holds NaN or infinity, in this process or another."""
    return not any(number((~elements(g).isfinite()).sum()) for g in grads)
