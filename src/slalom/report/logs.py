"""Where a race is written to beside its ledger: TensorBoard, MLflow, Weights & Biases."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Self

from slalom.errors import InputError, did_you_mean
from slalom.racing import events
from slalom.train import Evaluation


class Writing:
    """What is written to a service, from where it begins until this is left, however that is.

    Args:
        service: a name of :data:`SERVICES`.

    Raises :class:`InputError` for a name that is not known, or a service that is not installed.
    """

    def __init__(self, service: str):
        self._make = maker_of(service)
        self._service: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._service is not None:
            self._service.close(kind)

    def _write(self, prefix: str, metric: str, found: Evaluation) -> None:
        """An evaluation."""
        for name, value in (
            (metric, found.metric), ("valid_loss", found.valid_loss),
            ("train_loss", found.train_loss),
        ):  # fmt: skip
            self._service.scalar(f"{prefix}{name}", value, found.step)


class Log(Writing, events.Callback):
    """Writes the curves of all runs while they are made, and in the end the verdict."""

    def started(self, event: events.Started) -> None:
        """A race begins."""
        self._metric = event.metric
        self._written: dict[tuple[str, int], int] = {}
        self._service = self._make(event.task, event.folder)

    def moved(self, event: events.Moved) -> None:
        """What was not written yet of a run."""
        key = event.label, event.seed
        for found in event.evaluations:
            if found.step > self._written.get(key, 0):
                self._written[key] = found.step
                self._write(f"{event.label}/{event.seed}/", self._metric, found)

    def finished(self, event: events.Finished) -> None:
        """The verdict."""
        self._service.text("verdict", event.result.verdict.text)


class _TensorBoard:
    def __init__(self, module: Any, task: str, folder: Path):
        self._writer = module.SummaryWriter(str(folder / "tensorboard"))

    def scalar(self, tag: str, value: float, step: int) -> None:
        self._writer.add_scalar(tag, value, step)

    def text(self, tag: str, text: str) -> None:
        self._writer.add_text(tag, text)

    def close(self, kind: type[BaseException] | None) -> None:
        self._writer.close()


class _MLflow:
    def __init__(self, module: Any, task: str, folder: Path):
        self._mlflow = module  # nested, as the user may be in a run of their own
        self._id = module.start_run(run_name=task, nested=True).info.run_id

    def scalar(self, tag: str, value: float, step: int) -> None:
        tag = re.sub(r"[^\w\-./ ]", "_", tag)
        self._mlflow.log_metric(tag, value, step=step, run_id=self._id)

    def text(self, tag: str, text: str) -> None:
        self._mlflow.log_text(text, f"{tag}.txt", run_id=self._id)

    def close(self, kind: type[BaseException] | None) -> None:
        ended = "FAILED" if kind else "FINISHED"
        self._mlflow.end_run("KILLED" if kind is KeyboardInterrupt else ended)


class _WandB:
    def __init__(self, module: Any, task: str, folder: Path):
        self._run = module.init(  # one of its own beside that which the user may have open
            project="slalom", name=task, dir=str(folder), reinit="create_new"
        )
        self._run.define_metric("*", step_metric="updates")  # runs are not one after the other

    def scalar(self, tag: str, value: float, step: int) -> None:
        self._run.log({tag: value, "updates": step})

    def text(self, tag: str, text: str) -> None:
        self._run.summary[tag] = text

    def close(self, kind: type[BaseException] | None) -> None:
        self._run.finish(exit_code=int(kind is not None))


SERVICES: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "tensorboard": (_TensorBoard, ("tensorboardX", "torch.utils.tensorboard")),
    "mlflow": (_MLflow, ("mlflow",)),
    "wandb": (_WandB, ("wandb",)),
}
"""Name -> (what writes, the modules one of which it needs)."""


def services(log: Any) -> list[str]:
    """The services that a user names: one, or several.

    Raises :class:`InputError` for what is no name.
    """
    names = [log] if isinstance(log, str) else log
    if not isinstance(names, Collection) or not all(isinstance(n, str) for n in names):
        raise InputError(f"log is {log!r}; it must be one of {', '.join(SERVICES)}, or several")
    return list(names)


def maker_of(service: str) -> Callable[[str, Path], Any]:
    """(name, folder) -> what writes to a service of :data:`SERVICES`, by ``scalar`` and ``text``,
    until ``close`` with the class of what it was ended by, or None.

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
