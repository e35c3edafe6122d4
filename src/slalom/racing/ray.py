"""Training on a Ray cluster: heats and finals as calls of actors, one a worker."""

from __future__ import annotations

import logging
from typing import Any

from slalom.errors import InputError
from slalom.racing.crew import Crew
from slalom.racing.entrants import Entrant
from slalom.racing.runner import Request, Runs, Trace, train
from slalom.train import Task


class RayCrew(Crew):
    """Actors on a Ray cluster, each with one CPU, or with its share of a GPU.

    Args:
        task: sent to every actor, so it must be one that cloudpickle can carry.
        workers: actors; they share the GPUs of the cluster evenly if the task asks for one.
        address: of a running cluster; None to start one on this machine for the race.

    Seconds of updates are measured on this machine all the same, alone.

    Raises :class:`InputError` if Ray is not installed or the cluster is not there.
    """

    real = True

    def __init__(self, task: Task, workers: int, address: str | None = None):
        super().__init__(task, workers)
        try:
            import ray
            from ray.exceptions import RayActorError
        except ImportError as error:
            raise InputError("engine='ray' needs Ray; pip install 'slalom[ray]'") from error
        self._ray, self.died = ray, RayActorError
        self._began = not ray.is_initialized()
        if self._began:
            try:
                options: dict[str, Any] = {"num_cpus": workers} if address is None else {}
                ray.init(
                    address=address, log_to_driver=False, logging_level=logging.ERROR, **options
                )
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise InputError(f"there is no Ray cluster at {address}: {error}") from error
        gpus = ray.cluster_resources().get("GPU", 0) if task.device.type == "cuda" else 0
        self._actor = ray.remote(num_cpus=1, num_gpus=gpus / workers if gpus else 0)(_Actor)
        self._task = ray.put(task)

    def forget(self, entrant: Entrant, seed: int) -> None:
        """See :class:`slalom.racing.runner.Runner`."""
        worker = self._crew[(entrant.number + seed) % len(self._crew)]
        if worker is not None:
            worker.forget.remote(entrant.number, seed)

    def close(self) -> None:
        """Let all actors go, and the cluster too if it was started for this race."""
        super().close()
        if self._began:
            self._ray.shutdown()

    def _hire(self) -> Any:
        return self._actor.remote(self._task)

    def _submit(self, worker: Any, request: Request) -> Any:
        return worker.train.remote(self.task.target, request)

    def _result(self, pending: Any) -> Trace:
        return self._ray.get(pending)

    def _dismiss(self, worker: Any) -> None:
        self._ray.kill(worker)


class _Actor:
    """A worker: its task and its runs."""

    def __init__(self, task: Task):
        self._task = task
        self._runs: Runs = {}

    def train(self, target: float | None, request: Request) -> Trace:
        self._task.target = target  # it may have been found since this actor began
        return train(self._runs, self._task, request)

    def forget(self, number: int, seed: int) -> None:
        self._runs.pop((number, seed), None)
