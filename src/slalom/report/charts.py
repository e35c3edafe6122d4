"""All charts of a race, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable

from slalom.racing.result import Result
from slalom.report import curves, ended, needed, profiles
from slalom.report.chart import Chart


def finals(result: Result) -> Chart | None:
    """What came of each finalist on each seed."""
    return (needed if result.meta["budget"] is None else ended).finals(result)


def learning_rates(result: Result) -> Chart | None:
    """What came of each learning rate of the heats."""
    return (needed if result.meta["budget"] is None else ended).learning_rates(result)


CHARTS: tuple[Callable[[Result], Chart | None], ...] = (
    curves.metric, finals, profiles.profile, learning_rates, curves.training_loss,
    curves.validation_loss, needed.heats,
)  # fmt: skip
"""What makes them, each None where it has nothing to show. A further chart is one more of these."""


def charts(result: Result) -> list[Chart]:
    """The charts of a race that have something to show, each once: where the metric is the loss,
    that of the validation loss is the same."""
    found: list[Chart] = []
    for make in CHARTS:
        made = make(result)
        if made is not None and all(made.traces != other.traces for other in found):
            found.append(made)
    return found
