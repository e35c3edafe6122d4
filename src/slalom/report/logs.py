"""Where a race is written to beside its ledger: TensorBoard, MLflow, Weights & Biases."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from slalom.errors import InputError, did_you_mean
from slalom.racing import events


class Log(events.Callback):
    """Writes the curves of all runs while they are made, and in the end the verdict.

    Args:
        service: a name of :data:`SERVICES`.

    Raises :class:`InputError` for a name that is not known, or a service that is not installed.
    """

    def __init__(self, service: str):
        self._make = maker_of(service)
        self._service: Any = None
        self._metric = ""
        self._written: dict[tuple[str, int], int] = {}

    def started(self, event: events.Started) -> None:
        """A race begins."""
        self._metric = event.metric
        self._service = self._make(event.task, event.folder)

    def moved(self, event: events.Moved) -> None:
        """What was not written yet of a run."""
        key = event.label, event.seed
        for found in event.evaluations:
            if found.step > self._written.get(key, 0):
                self._written[key] = found.step
                values = {
                    self._metric: found.metric, "valid_loss": found.valid_loss,
                    "train_loss": found.train_loss,
                }  # fmt: skip
                for name, value in values.items():
                    self._service.scalar(f"{event.label}/{event.seed}/{name}", value, found.step)

    def finished(self, event: events.Finished) -> None:
        """The verdict."""
        self._service.text("verdict", event.result.verdict.text)
        self._service.close()


class _TensorBoard:
    def __init__(self, module: Any, task: str, folder: Path):
        self._writer = module.SummaryWriter(str(folder / "tensorboard"))

    def scalar(self, tag: str, value: float, step: int) -> None:
        self._writer.add_scalar(tag, value, step)

    def text(self, tag: str, text: str) -> None:
        self._writer.add_text(tag, text)

    def close(self) -> None:
        self._writer.close()


class _MLflow:
    def __init__(self, module: Any, task: str, folder: Path):
        self._mlflow = module
        module.start_run(run_name=task)

    def scalar(self, tag: str, value: float, step: int) -> None:
        self._mlflow.log_metric(re.sub(r"[^\w\-./ ]", "_", tag), value, step=step)

    def text(self, tag: str, text: str) -> None:
        self._mlflow.log_text(text, f"{tag}.txt")

    def close(self) -> None:
        self._mlflow.end_run()


class _WandB:
    def __init__(self, module: Any, task: str, folder: Path):
        self._run = module.init(project="slalom", name=task, dir=str(folder))
        self._run.define_metric("*", step_metric="updates")  # runs are not one after the other

    def scalar(self, tag: str, value: float, step: int) -> None:
        self._run.log({tag: value, "updates": step})

    def text(self, tag: str, text: str) -> None:
        self._run.summary[tag] = text

    def close(self) -> None:
        self._run.finish()


SERVICES: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "tensorboard": (_TensorBoard, ("tensorboardX", "torch.utils.tensorboard")),
    "mlflow": (_MLflow, ("mlflow",)),
    "wandb": (_WandB, ("wandb",)),
}
"""Name -> (what writes, the modules one of which it needs)."""


def maker_of(service: str) -> Callable[[str, Path], Any]:
    """(name, folder) -> what writes to a service of :data:`SERVICES`, by ``scalar`` and ``text``.

    Raises :class:`InputError` for a name that is not known, or a service that is not installed.
    """
    if service not in SERVICES:
        hint = did_you_mean(service, SERVICES)
        raise InputError(f"log is {service!r}; it is one of {', '.join(SERVICES)}{hint}")
    make, modules = SERVICES[service]
    return partial(make, _first(service, modules))


def _first(service: str, modules: Iterable[str]) -> Any:
    for name in modules:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    needed = {"tensorboard": "tensorboardX or tensorboard"}.get(service, service)
    raise InputError(f"log={service!r} needs {needed}, which is not installed")
