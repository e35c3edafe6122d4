"""A run's curves in TensorBoard, MLflow or Weights & Biases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slalom.fitting import events
from slalom.report.logs import maker_of


class Log(events.Callback):
    """Writes every evaluation while it is made, and in the end what has come of the run.

    Raises :class:`slalom.InputError` for a name that is not known, or what is not installed.
    """

    def __init__(self, name: str):
        self._make = maker_of(name)
        self._service: Any = None
        self._metric = ""

    def started(self, event: events.Started) -> None:
        """The run begins, or goes on."""
        self._metric = event.task.metric.name
        self._service = self._make(event.task.name, event.folder or Path("."))

    def evaluated(self, event: events.Evaluated) -> None:
        """What was found."""
        found = event.evaluation
        for name, value in (
            (self._metric, found.metric), ("valid_loss", found.valid_loss),
            ("train_loss", found.train_loss),
        ):  # fmt: skip
            self._service.scalar(name, value, found.step)

    def finished(self, event: events.Finished) -> None:
        """What has come of it."""
        self._service.text("run", repr(event.result))
        self._service.close()
