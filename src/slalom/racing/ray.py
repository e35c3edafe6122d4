"""Training on a Ray cluster: heats and finals as calls of actors, one a worker."""

from __future__ import annotations

import logging
import math
import re
import socket
from pathlib import Path
from typing import Any

import cloudpickle

from slalom.errors import InputError
from slalom.racing.crew import Crew
from slalom.racing.entrants import Entrant
from slalom.racing.limit import OutOfTimeError
from slalom.racing.runner import History
from slalom.racing.trainer import Runs
from slalom.train import Task
from slalom.train.kept_memory import keep_memory


class RayCrew(Crew):
    """Actors on a Ray cluster, spread over its nodes.

    One is placed where a CPU is free, but does not hold it: when a node is lost, those that are
    left take its actors over, however full they are. GPUs are held.

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
            from ray.exceptions import ObjectLostError, RayActorError
        except ImportError as error:
            raise InputError("engine='ray' needs Ray; pip install 'slalom[ray]'") from error
        self._ray, self.died = ray, (RayActorError, ObjectLostError)
        self._began = not ray.is_initialized()
        if self._began:
            _check_address(address)
            try:
                own: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False}
                ray.init(
                    address=address or "local", log_to_driver=False, logging_level=logging.ERROR,
                    **({} if address else own),
                )  # fmt: skip
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise InputError(f"there is no Ray cluster at {address}: {error}") from error
        options: dict[str, Any] = {"scheduling_strategy": "SPREAD"}
        if task.device.type == "cuda":  # Ray counts ten-thousandths, and above one in whole GPUs
            gpus = ray.cluster_resources().get("GPU", 0)
            options["num_gpus"] = min(1.0, math.floor(1e4 * gpus / workers) / 1e4)
        self._actor = ray.remote(**options)(_Actor)
        self._task = ray.put(cloudpickle.dumps(task))

    def forget(self, entrant: Entrant, seed: int) -> None:
        super().forget(entrant, seed)
        worker = self._crew[(entrant.number + seed) % len(self._crew)]
        if worker is not None:
            worker.forget.remote(entrant.number, seed)

    def close(self) -> None:
        """Let all actors go, and the cluster too if it was started for this race."""
        super().close()
        if self._began:
            self._ray.shutdown()

    def _hire(self) -> Any:
        worker = self._actor.remote(self._task, self.folder)
        self._ray.get(worker.begun.remote())
        return worker

    def _submit(self, worker: Any, request: bytes) -> Any:
        return worker.train.remote(self.task.target, request)

    def _result(self, pending: Any) -> History:
        _, undone = self._ray.wait([pending], timeout=self.limit.left)
        if undone:
            raise OutOfTimeError
        return self._ray.get(pending)

    def _dismiss(self, worker: Any) -> None:
        self._ray.kill(worker)


def _check_address(address: str | None) -> None:
    """Raise InputError if nobody answers there; Ray itself goes on asking for minutes."""
    if address in (None, "auto", "local"):
        return
    found = ADDRESS.fullmatch(address.removeprefix("ray://"))
    if found is None or int(found["port"]) > 65535:
        raise InputError(
            f"the address of a Ray cluster is {address!r}; it must be HOST:PORT, as in "
            "10.0.0.1:6379 or [::1]:6379, or auto"
        )
    try:
        host = found["six"] or found["host"]
        socket.create_connection((host, int(found["port"])), timeout=10).close()
    except (OSError, UnicodeError) as error:
        raise InputError(f"there is no Ray cluster at {address}: {error}") from error


ADDRESS = re.compile(
    r"(\[(?P<six>[0-9A-Fa-f:.]+(%\w+)?)\]|(?P<host>[^:\[\]/\s]+)):(?P<port>\d{1,5})"
)
"""Host and port; a host with colons of its own, as IPv6 has them, in brackets."""


class _Actor:
    """A worker: its runs."""

    def __init__(self, task: bytes, folder: Path | None):
        keep_memory()  # which changes no number
        shared = folder if folder and folder.is_dir() else None  # by this node and the race
        self._runs = Runs(cloudpickle.loads(task), shared)

    def begun(self) -> None:
        """Raises in the race what went wrong while this was made."""

    def train(self, target: float | None, request: bytes) -> History:
        self._runs.task.target = target  # it may have been found since this actor began
        return self._runs.train(cloudpickle.loads(request))

    def forget(self, number: int, seed: int) -> None:
        self._runs.forget(number, seed)
