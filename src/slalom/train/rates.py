"""The learning rates of a run: when its schedule changes them, and what that is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from slalom.train.followed import TRAIN_LOSS
from slalom.train.schedule import Schedule


class Rates:
    """The schedule of one run, and where that is as schedules count.

    Args:
        schedule: how the rates change.
        optimizer: of which.
        total: updates of the whole run; beyond it the rates stay what they are.

    Attributes:
        scheduler: torch's, or of its kind; None where nothing changes.
    """

    def __init__(self, schedule: Schedule, optimizer: torch.optim.Optimizer, total: int):
        self._schedule, self._total = schedule, total
        self.scheduler = schedule.scheduler(optimizer, total)
        self._monitor = schedule.monitor(self.scheduler)
        self._epochs, self._place = 0, 0  # epochs that ended, and updates of the present one
        self._loss, self._samples = 0.0, 0  # of training, since it was told of it

    def after(
        self, step: int, loss: float, samples: int, ends: bool, told: Callable[[str], float]
    ) -> None:
        """An update was made, the ``step``-th, of so many samples and of this loss; an epoch ended
        with it, or not. ``told`` is asked for what the schedule monitors."""
        self._place += 1
        self._epochs += ends
        if self._monitor == TRAIN_LOSS:
            self._loss, self._samples = self._loss + loss * samples, self._samples + samples
        if step <= self._total and self._schedule.due(
            step, self._epochs if ends else None, self._place
        ):
            self.scheduler.step(*([] if self._monitor is None else [self._monitored(told)]))
        if ends:
            self._place = 0

    def _monitored(self, told: Callable[[str], float]) -> float:
        if self._monitor != TRAIN_LOSS:
            return told(self._monitor or "")
        found = self._loss / self._samples
        self._loss, self._samples = 0.0, 0
        return found

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        scheduler = None if self.scheduler is None else self.scheduler.state_dict()
        return {
            "scheduler": scheduler, "epoch": [self._epochs, self._place],
            "lost": [self._loss, self._samples],
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        (self._epochs, self._place), (self._loss, self._samples) = state["epoch"], state["lost"]
