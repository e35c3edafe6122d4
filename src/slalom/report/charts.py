"""All charts of a race, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable

from slalom.racing.result import Result
from slalom.report import curves, needed
from slalom.report.chart import Chart

CHARTS: tuple[Callable[[Result], Chart | None], ...] = (
    curves.metric, needed.finals, needed.profile, needed.learning_rates, curves.training_loss,
    curves.validation_loss, needed.heats,
)  # fmt: skip
"""What makes them, each None where it has nothing to show. A further chart is one more of these."""


def charts(result: Result) -> list[Chart]:
    """The charts of a race that have something to show."""
    return [made for make in CHARTS if (made := make(result)) is not None]
