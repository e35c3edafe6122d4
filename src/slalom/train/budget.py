"""How long a run is to be, as people say it: 10 epochs, 2000 steps, 1e6 samples, a minute."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass
from typing import Any, Self

from slalom.errors import InputError, did_you_mean

WORDS = {
    "epoch": "epochs", "epochs": "epochs", "step": "steps", "steps": "steps",
    "update": "steps", "updates": "steps", "sample": "samples", "samples": "samples",
    "s": "seconds", "second": "seconds", "seconds": "seconds", "m": "minutes",
    "min": "minutes", "minute": "minutes", "minutes": "minutes", "h": "hours", "hour": "hours",
    "hours": "hours",
}  # fmt: skip
"""What a budget may be counted in, as it may be written."""

SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}

WRITTEN = re.compile(r"\s*(?P<amount>[\d_,]*\.?\d+(?:e\d+)?)\s*(?P<unit>[a-z]+)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Budget:
    """The length of a run.

    Attributes:
        amount: above 0.
        unit: "epochs", "steps" (updates with batches of the task's size), "samples" or "seconds"
            (of updates alone, as they are timed on the machine).
    """

    amount: float
    unit: str

    @classmethod
    def read(cls, given: Any) -> Budget:
        """The budget that is written so: ``"10 epochs"``, ``"2000 steps"``, ``"1e6 samples"``,
        ``"90s"``, ``"10 minutes"``.

        Raises :class:`InputError` for what is none.
        """
        if isinstance(given, Budget):
            return given
        match = WRITTEN.fullmatch(given) if isinstance(given, str) else None
        word = match["unit"].lower() if match else ""
        amount = float(match["amount"].replace(",", "").replace("_", "")) if match else 0.0
        if word not in WORDS or not 0 < amount < math.inf:
            hint = did_you_mean(word, WORDS) if word and word not in WORDS else ""
            raise InputError(
                f"budget is {given!r}; it must be so many epochs, steps, samples or seconds, as in "
                f"'10 epochs' or '2000 steps'{hint}"
            )
        unit = WORDS[word]
        if unit in SECONDS:
            amount, unit = amount * SECONDS[unit], "seconds"
        return cls(amount, unit)

    def __str__(self) -> str:
        amount = f"{self.amount:,.0f}" if self.amount >= 1000 else f"{self.amount:g}"
        return f"{amount} {self.unit[:-1] if self.amount == 1 else self.unit}"

    def updates(self, batch: int, per_epoch: int, usual: int) -> int:
        """Updates that it lasts for: so many as it holds whole, which may be none; but for epochs.

        Args:
            batch: samples in an update.
            per_epoch: updates in an epoch.
            usual: samples in an update of the task, which steps are counted in.

        Raises :class:`InputError` for seconds, which are no count.
        """
        counts = {
            "epochs": math.ceil(self.amount * per_epoch - 1e-9),
            "steps": math.floor(self.amount * usual / batch + 1e-9),
            "samples": math.floor(self.amount / batch + 1e-9),
        }
        if self.unit not in counts:
            raise InputError(f"{self} are no number of updates until updates are timed")
        return counts[self.unit]


class Lasting:
    """How long a run of a task is.

    Attributes:
        budget: None where the question is who is at the target soonest.
        max_steps: updates after which a run ends; of a budget in seconds they are known when
            updates are timed.
    """

    budget: Budget | None = None
    target: float | None
    max_steps: int
    batch_size: int
    accumulate: int
    train: Any

    def lasting(self, budget: str | Budget) -> Self:
        """This task with the other question: a run takes the budget, and there is no target."""
        task = copy.copy(self)
        task.target = None
        task._last(budget)
        return task

    def _last(self, budget: str | Budget) -> None:
        self.budget = Budget.read(budget)
        if self.budget.unit != "seconds":  # those are a number of updates when these are timed
            self.max_steps = self.updates(self.batch_size) or 0
            if not self.max_steps:
                raise InputError(
                    f"the budget of {self.budget} is less than one update, which takes "
                    f"{self.batch_size} samples"
                )

    def updates(self, size: int) -> int | None:
        """Updates of ``size`` samples that its budget lasts for; None without, or of seconds."""
        if self.budget is None or self.budget.unit == "seconds":
            return None
        if self.budget.unit == "epochs":
            return self.updates_of(self.budget.amount, size)
        return self.budget.updates(size, self.updates_per_epoch(size), self.batch_size)

    def updates_of(self, epochs: float, size: int) -> int:
        """Updates of so many epochs, if each takes so many samples: of a sampler of the user's own
        those of its very epochs, as it has them of seed 0."""
        samples, part = self.train, max(1, size // self.accumulate)
        if samples.stream is not None or samples.order.even or size >= len(samples):
            return math.ceil(epochs * self.updates_per_epoch(size) - 1e-9)
        total = 0.0
        for epoch in range(math.ceil(epochs)):
            batches = len(samples.order.epoch(samples.held, part, 0, epoch))
            total += min(1.0, epochs - epoch) * -(-batches // self.accumulate)
        return math.ceil(total - 1e-9)

    def updates_per_epoch(self, size: int) -> int:
        """Updates in an epoch, if each takes so many samples."""
        samples, part = self.train, max(1, size // self.accumulate)
        if size >= len(samples):
            return 1
        batches = None if samples.stream else samples.order.batches(samples.held, part)
        if batches is None:
            batches = -(-samples.n // part)
        return -(-batches // self.accumulate)
