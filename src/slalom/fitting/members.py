"""What the runs of an ensemble have come to, each and together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from scipy.special import stdtrit
from torch import Tensor, nn

from slalom.errors import InputError
from slalom.fitting.averaged import Averaged, kind_of
from slalom.fitting.result import Fit
from slalom.train import Evaluation, Task
from slalom.train.tree import moved

LEVEL = 0.95
"""Of intervals."""


class Ensemble:
    """The runs of a task from several seeds; see :func:`slalom.ensemble`.

    Attributes:
        task: that was trained.
        label: what it was trained with.
        fits: what each run has come to, in the order of their seeds: ``.seed``, ``.model``,
            ``.history``.
        lost: seed -> why its run went wrong.
        training: ``"side by side"``, or why the runs were trained one after the other.
        path: the folder; None without one.
    """

    def __init__(
        self, task: Task, label: str, fits: Sequence[Fit], lost: dict[int, str], training: str,
        path: Path | None,
    ):  # fmt: skip
        self.task, self.label, self.fits = task, label, list(fits)
        self.lost, self.training, self.path = lost, training, path

    @property
    def models(self) -> list[nn.Module]:
        """The models, in eval mode, with the weights that were evaluated last."""
        return [fit.model for fit in self.fits]

    @property
    def metrics(self) -> dict[int, float]:
        """Seed -> the metric at the end."""
        return {fit.seed: fit.last.metric for fit in self.fits}

    @property
    def mean(self) -> Evaluation:
        """The mean of the last evaluations."""
        last = [vars(fit.last) for fit in self.fits]
        found: Any = {name: fmean(one[name] for one in last) for name in last[0]}
        return Evaluation(**{**found, "step": round(found["step"])})

    @property
    def deviation(self) -> float:
        """The standard deviation of the metric from seed to seed; NaN of one run."""
        values = list(self.metrics.values())
        return stdev(values) if len(values) > 1 else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of 95% of the mean metric over all seeds, by Student's t: as of seeds drawn
        at random, whose metrics are normal. NaN of one run."""
        n, middle = len(self.fits), self.mean.metric
        if n < 2:
            return math.nan, math.nan
        half = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * self.deviation / math.sqrt(n)
        return middle - half, middle + half

    @cached_property
    def model(self) -> Averaged:
        """The models as one, in eval mode, for loss and metric of the task: its outputs are those
        of the mean of their probabilities, or the mean of their values."""
        return Averaged(self.models, self.task.loss).eval()

    def predict(self, *inputs: Any) -> Tensor:
        """What the models say in the mean of what a model is called with, such as ``x``.

        Returns probabilities, (n, classes) under a cross-entropy and of each decision under a
        binary one; the mean of the values under ``MSELoss``, ``L1Loss`` and their like.

        Raises :class:`InputError` under any other loss, which does not say what a mean is.
        """
        first = next(self.model.parameters())
        given = [self._as_given(value, first) for value in inputs]
        with torch.no_grad(), self.task.numbers():
            return self.model.predict(*given)

    @staticmethod
    def _as_given(value: Any, like: Tensor) -> Any:
        if not isinstance(value, Tensor) and hasattr(value, "__array__"):
            value = torch.as_tensor(value)
            value = value.to(like.dtype) if value.is_floating_point() else value
        return moved(value, like.device)

    @cached_property
    def averaged(self) -> tuple[float, float] | None:
        """(loss, metric) of the mean predictions on the validation set; None where there is no
        mean."""
        if kind_of(self.task.loss) is None:
            return None
        try:
            return self.task.judge(self.model)
        except InputError:  # outputs of which there is none
            return None

    def to_json(self) -> dict[str, Any]:
        """What it has come to, in values that JSON has; numbers that are not finite as None."""

        def plain(value: float) -> float | None:
            return value if math.isfinite(value) else None

        averaged = None if self.averaged is None else list(map(plain, self.averaged))
        return {
            "task": self.task.name, "optimizer": self.label, "metric": self.task.metric.name,
            "mean": plain(self.mean.metric), "interval": list(map(plain, self.interval)),
            "deviation": plain(self.deviation), "averaged": averaged, "training": self.training,
            "path": None if self.path is None else str(self.path),
            "lost": {str(seed): why for seed, why in self.lost.items()},
            "seeds": [fit.to_json() for fit in self.fits],
        }  # fmt: skip

    def to_dataframe(self) -> Any:
        """One row an evaluation, with its seed. Raises :class:`InputError` where pandas is
        missing."""
        try:
            import pandas
        except ImportError as error:
            raise InputError("a table needs pandas: pip install pandas, or slalom[data]") from error
        rows = [{"seed": f.seed, **vars(e)} for f in self.fits for e in f.history]
        return pandas.DataFrame(rows)

    def _lines(self) -> list[str]:
        name, values = self.task.metric.name, self.metrics.values()
        low, high = self.interval
        lines = [
            f"{self.task.name} with {self.label}, {len(self.fits)} seeds, {self.training}",
            f"{name} {self.mean.metric:.4g} in the mean ({low:.4g} to {high:.4g}, 95%), from "
            f"{min(values):.4g} to {max(values):.4g}, standard deviation {self.deviation:.2g}",
        ]
        if self.averaged is not None:
            lines.append(f"{name} {self.averaged[1]:.4g} of their mean predictions")
        lines += [f"seed {seed} is left out: {why}" for seed, why in self.lost.items()]
        return lines if self.path is None else [*lines, str(self.path)]

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        heads = ("seed", self.task.metric.name, "loss", "steps", "best", "at step")
        rows = [
            (f.seed, f"{f.last.metric:.4g}", f"{f.last.valid_loss:.4g}", f"{f.last.step:,}",
             f"{f.best.metric:.4g}", f"{f.best.step:,}")
            for f in self.fits
        ]  # fmt: skip
        told = "".join(f"<p>{escape(line)}</p>" for line in self._lines())
        head = "".join(f"<th>{escape(name)}</th>" for name in heads)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows
        )
        return f"{told}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
