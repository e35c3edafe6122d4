"""A run's curves in TensorBoard, MLflow or Weights & Biases."""

from __future__ import annotations

from pathlib import Path

from slalom.fitting import events
from slalom.report.logs import Writing


class Log(Writing, events.Callback):
    """Writes every evaluation while it is made, and in the end what has come of the run."""

    def started(self, event: events.Started) -> None:
        """The run begins, or goes on."""
        self._metric = event.task.metric.name
        self._service = self._make(event.task.name, event.folder or Path("."))

    def evaluated(self, event: events.Evaluated) -> None:
        """What was found."""
        self._write("", self._metric, event.evaluation)

    def finished(self, event: events.Finished) -> None:
        """What has come of it."""
        self._service.text("run", repr(event.result))
