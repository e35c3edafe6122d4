"""A run that looks at its losses and gradients before it updates by them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from slalom.train.run import Run

MOST = 100
"""Updates one after the other that may be left out before a run counts as lost."""

NAMES = 5
"""Parameters that are named, at most."""

RATES = ("lr", "initial_lr", "max_lr", "min_lr")
"""What of a parameter group schedules make a learning rate of."""


class GuardedRun(Run):
    """A :class:`Run` whose weights stay as they are where the loss is not finite.

    Attributes:
        skips: whether updates are left out whose loss or gradients are not finite; else the run
            has diverged there. Under float16 the gradient scaler looks at the gradients.
        skipped: updates left out so far.
        lost: names of the parameters whose gradients were not finite when it diverged; where all
            are, of those that are not finite themselves.
    """

    skips = False

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.skipped, self._in_a_row = 0, 0
        self._left_out = False
        self.lost: list[str] = []

    @property
    def _is_plain(self) -> bool:
        return super()._is_plain and not self.skips  # for which every gradient is looked at

    def _usable(self, loss: float) -> bool:
        looks = self.skips and self._scaler is None
        if math.isfinite(loss) and (not looks or self._finite(self._gradients())):
            return True
        self._left_out, self.lost = True, self.not_finite()
        return False

    def _sound(self, loss: float) -> bool:
        if not (self.skips and self._left_out):
            self._in_a_row = 0
            return super()._sound(loss)
        self._left_out = False
        self.skipped += 1
        self._in_a_row += 1
        if self._in_a_row >= MOST:
            self.diverged = f"{MOST} updates one after the other were left out, to step {self.step}"
        return self.diverged is None

    @property
    def first_loss(self) -> float:
        """The loss of the first update; infinite before."""
        return math.inf if self._first_loss is None else self._first_loss

    @property
    def finite(self) -> bool:
        """Whether all weights are."""
        return self._finite(self._parameters)

    def _finite(self, tensors: Iterable[torch.Tensor]) -> bool:
        """Whether tensors of this run are."""
        return finite(tensors)

    def lower(self, factor: float) -> None:
        """Multiply all learning rates, and those that the schedule begins from, by a factor."""
        for group in self.optimizer.param_groups:
            for name in RATES:
                if name in group:
                    group[name] = group[name] * factor
        schedulers: Any = (
            self._pace.scheduler,
            *getattr(self._pace.scheduler, "_schedulers", ()),
        )
        for scheduler in schedulers:
            if hasattr(scheduler, "base_lrs"):
                scheduler.base_lrs = [rate * factor for rate in scheduler.base_lrs]

    def _gradients(self) -> list[torch.Tensor]:
        return [p.grad for p in self._parameters if p.grad is not None]

    def not_finite(self) -> list[str]:
        """Names of the parameters that are not finite; where all are, of those whose gradients
        are not."""
        named = [(n, p) for module in self._modules for n, p in module.named_parameters()]
        graded = [(n, p.grad) for n, p in named if p.grad is not None]
        for tensors in (named, graded):  # weights first: theirs are the gradients of before
            if found := [n for n, t in tensors if not self._finite([t])]:
                return found
        return []

    def state_dict(self) -> dict[str, Any]:
        """As of a :class:`Run`."""
        return {**super().state_dict(), "skipped": [self.skipped, self._in_a_row]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As of a :class:`Run`."""
        super().load_state_dict(state)
        self.skipped, self._in_a_row = state["skipped"]
        self.lost, self._left_out = [], False


def finite(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether no tensor holds NaN or infinity."""
    parts = [t.detach() for t in tensors]
    parts = [t.coalesce().values() if t.is_sparse else t for t in parts]
    parts = [torch.view_as_real(t) if t.is_complex() else t for t in parts]
    if not parts:
        return True
    # a sum that is finite has no part that is not, and takes one pass; one that overflows is told
    # from it by a second
    total = torch.stack([p.sum(dtype=torch.float32).to(parts[0].device) for p in parts]).sum()
    if math.isfinite(total.item()):
        return True
    return all(bool(p.isfinite().all()) for p in parts)


def named(names: list[str]) -> str:
    """Names, a few of them, in a sentence."""
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return f"{', '.join(names[:NAMES])}{more}"
