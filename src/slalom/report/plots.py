"""The charts of a result, for notebooks and scripts: ``result.plot``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from slalom.errors import InputError
from slalom.racing.result import Result
from slalom.report import charts, curves, needed, profiles
from slalom.report.chart import UNITS, Chart
from slalom.report.drawings import drawing
from slalom.report.style import Key, legend

if TYPE_CHECKING:
    import plotly.graph_objects as go

QUANTITIES = {
    "metric": curves.metric, "train_loss": curves.training_loss,
    "valid_loss": curves.validation_loss,
}  # fmt: skip


class Plots:
    """The charts of a race, each made anew when it is asked for.

    All take ``unit``, what training is counted in (``"steps"``, ``"seconds"`` or ``"samples"``),
    and ``backend``: ``"plotly"`` for an interactive figure, ``"matplotlib"`` for a drawing. They
    raise :class:`InputError` for other words, where the race has nothing to show there, and where
    matplotlib is asked for and not installed.
    """

    def __init__(self, result: Result):
        self._result = result

    def curves(
        self, quantity: Literal["metric", "train_loss", "valid_loss"] = "metric", **how: Any
    ) -> go.Figure | Any:
        """The metric or a loss over training: a line a rule, with its seeds as a band."""
        if quantity not in QUANTITIES:
            raise InputError(
                f"there is no quantity {quantity!r}; there are {', '.join(QUANTITIES)}"
            )
        return self._drawn(QUANTITIES[quantity](self._result), **how)

    def learning_rates(self, **how: Any) -> go.Figure | Any:
        """What each learning rate needed to the target, or had come to at the end of the budget."""
        return self._drawn(charts.learning_rates(self._result), **how)

    def finals(self, **how: Any) -> go.Figure | Any:
        """What each finalist needed on each seed, or had come to at its end; a line a seed."""
        return self._drawn(charts.finals(self._result), **how)

    def profile(self, others: Sequence[Result] = (), **how: Any) -> go.Figure | Any:
        """The performance profile of a race with ``full=True``, or of this one and others, each
        of its own task; see :func:`slalom.report.profiles.profile_of_tasks`."""
        if others:
            _, chart, keys = profiles.profile_of_tasks([self._result, *others])
            return self._drawn(chart, keys, **how)
        return self._drawn(profiles.profile(self._result), **how)

    def heats(self, **how: Any) -> go.Figure | Any:
        """How far each setting was trained in the heats."""
        return self._drawn(needed.heats(self._result), **how)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Any other chart of the page, by the function that makes it."""
        for make in charts.CHARTS:
            if make.__name__ == name:
                return lambda **how: self._drawn(make(self._result), **how)
        names = ", ".join(make.__name__ for make in charts.CHARTS)
        raise AttributeError(f"there is no chart {name!r}; there are curves, {names}")

    def _drawn(
        self, chart: Chart | None, keys: Sequence[Key] | None = None, *, unit: str = UNITS[0],
        backend: str = "plotly",
    ) -> go.Figure | Any:  # fmt: skip
        if unit not in UNITS:
            raise InputError(f"there is no unit {unit!r}; there are {', '.join(UNITS)}")
        if backend not in ("plotly", "matplotlib"):
            raise InputError(f"there is no backend {backend!r}; there are plotly and matplotlib")
        if chart is None:
            raise InputError("this race has nothing to show there")
        if backend == "matplotlib":
            return drawing(chart, legend(self._result) if keys is None else keys, unit)
        from slalom.report.figures import figure, height

        drawn = figure(chart, unit)
        drawn.update_layout(
            title={"text": chart.caption.replace("<", "&lt;"), "font": {"size": 15}},
            margin={"t": 90}, height=height(chart) + 80,
        )  # fmt: skip
        return drawn
