"""Who trains in a race: this process, others of this machine, or a Ray cluster."""

from __future__ import annotations

from slalom.errors import InputError
from slalom.racing.abreast import Abreast
from slalom.racing.crew import Processes
from slalom.racing.runner import Runner
from slalom.racing.trainer import Trainer
from slalom.train import Task
from slalom.train.given import whole_number
from slalom.train.loop import Loop


def hired(task: Task, workers: int, engine: str, address: str | None, lanes: int = 1) -> Runner:
    """Who trains; so many runs side by side.

    Raises :class:`InputError` for what cannot be had here.
    """
    workers = whole_number("workers", workers)
    found = Abreast(task, lanes) if lanes > 1 else _hired(task, workers, engine, address)
    if isinstance(task, Loop):  # which evaluates where it does, and is not timed without that
        found.any_spacing = found.real = False
    return found


def _hired(task: Task, workers: int, engine: str, address: str | None) -> Runner:
    if engine == "ray":
        from slalom.racing.ray import RayCrew

        return RayCrew(task, workers, address)
    if engine != "processes":
        raise InputError(f"there is no engine {engine!r}; there are processes and ray")
    if address is not None:
        raise InputError("an address is of a Ray cluster; it goes with engine='ray'")
    return Processes(task, workers) if workers > 1 else Trainer(task)
