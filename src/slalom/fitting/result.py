"""What a run has come to."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slalom.errors import InputError
from slalom.train import Evaluation, Task

ENDS = {
    "finished": "trained to its end",
    "reached": "trained until the target was reached and held",
}
"""How a run may have ended, and what is said of it."""


class Fit:
    """A run that is over; see :func:`slalom.fit`.

    Attributes:
        task: that was trained.
        model: in eval mode, with the weights that were evaluated last: of a task with ``ema``, and
            of a Schedule-Free optimizer, their average.
        optimizer: as it was at the end.
        label: what it was trained with.
        seed: of the run.
        history: every evaluation, in order.
        status: "finished" or "reached".
        skipped: updates that were left out since loss or gradients were not finite.
        path: the run's folder; None without one.
    """

    def __init__(
        self, task: Task, model: nn.Module, optimizer: torch.optim.Optimizer, label: str, seed: int,
        history: list[Evaluation], status: str, skipped: int, path: Path | None,
    ):  # fmt: skip
        self.task, self.model, self.optimizer, self.label = task, model, optimizer, label
        self.seed, self.history, self.status = seed, history, status
        self.skipped, self.path = skipped, path

    @property
    def last(self) -> Evaluation:
        """The last evaluation: steps, samples, seconds of updates, losses, metric."""
        return self.history[-1]

    @property
    def best(self) -> Evaluation:
        """The evaluation with the best metric, the first of equals."""
        return best_of(self.task, self.history)

    def to_json(self) -> dict[str, Any]:
        """What it has come to, in values that JSON has; numbers that are not finite as None."""

        def plain(evaluation: Evaluation) -> dict[str, Any]:
            values = asdict(evaluation).items()
            return {n: v if math.isfinite(v) else None for n, v in values}

        return {
            "task": self.task.name, "optimizer": self.label, "seed": self.seed,
            "metric": self.task.metric.name, "status": self.status, "skipped": self.skipped,
            "path": None if self.path is None else str(self.path), "best": plain(self.best),
            "history": [plain(e) for e in self.history],
        }  # fmt: skip

    def to_dataframe(self) -> Any:
        """One row an evaluation. Raises :class:`InputError` where pandas is missing."""
        try:
            import pandas
        except ImportError as error:
            raise InputError("a table needs pandas: pip install pandas, or slalom[data]") from error
        return pandas.DataFrame([vars(e) for e in self.history])

    def __repr__(self) -> str:
        last, best, metric = self.last, self.best, self.task.metric.name
        lines = [
            f"{self.task.name} with {self.label}, seed {self.seed}: {ENDS[self.status]}",
            f"{metric} {last.metric:.4g}, loss {last.valid_loss:.4g} after {last.step:,} steps "
            f"({last.samples:,} samples, {last.seconds:.3g} s of updates)",
        ]
        if best.step != last.step:
            lines.append(f"best {metric} {best.metric:.4g}, after {best.step:,} steps")
        if self.skipped:
            lines.append(f"{self.skipped:,} updates were left out")
        if self.path is not None:
            lines.append(str(self.path))
        return "\n".join(lines)


def best_of(task: Task, history: list[Evaluation]) -> Evaluation:
    """The evaluation with the best metric, the first of equals; NaN is the worst."""
    sign = 1 if task.higher_is_better else -1

    def worth(e: Evaluation) -> tuple[bool, float]:
        return e.metric == e.metric, sign * e.metric

    best = history[0]
    for evaluation in history[1:]:
        if worth(evaluation) > worth(best):
            best = evaluation
    return best
