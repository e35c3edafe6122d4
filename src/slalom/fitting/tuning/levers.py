"""What may make an update cheaper: how it is done, where it can be, and the code that does it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from slalom import optim
from slalom.racing.machine import cores
from slalom.train import Run, Task
from slalom.train.kept_memory import keep_memory


def _nothing(*_: Any) -> None:
    pass


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Lever:
    """One of them.

    Attributes:
        code: what a user writes for it.
        neutral: whether it changes no number by its nature; of others the first ones are compared.
        begin: in a process, before anything else; it is the process's.
        vary: task -> the task with it.
        exchange: what makes an optimizer -> the same with it.
        dress: does it to a run that has been made.
        fits: (task, what makes an optimizer) -> whether there is anything for it to do.
        group: of levers that exclude one another.
    """

    code: str
    neutral: bool = False
    begin: Callable[[], object] = _nothing
    vary: Callable[[Task], Task] = _same
    exchange: Callable[[Any], Any] = _same
    dress: Callable[[Run], object] = _nothing
    fits: Callable[[Task, Any], bool] = lambda task, make: True
    group: str = ""


def _without_workers(task: Task) -> Task:
    found = copy.copy(task)
    found.train = copy.copy(task.train)
    found.train.loading = replace(found.train.loading, workers=0, options={}, _live=None)
    return found


def _in_bfloat16(task: Task) -> Task:
    found = copy.copy(task)
    found.precision = torch.bfloat16
    return found


def _channels_last(run: Run) -> None:
    run.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _has_images(task: Task, make: Any) -> bool:
    return any(p.dim() == 4 for p in task.make_model(0).parameters())


def _class_of(make: Any) -> Any:
    """torch's optimizer class that this makes, if there is one of ours by its name."""
    made = make([torch.nn.Parameter(torch.zeros(2, 2))])
    kind = type(made)
    ours = getattr(optim, kind.__name__, None)
    return ours if kind.__module__.startswith("torch.optim") else None


def _has_class(task: Task, make: Any) -> bool:
    try:
        return _class_of(make) is not None
    except Exception:  # it is anybody's code, and wants the parameters of its model
        return False


def _ours(make: Any) -> Any:
    kind = _class_of(make)

    def made(parameters: Any) -> Any:
        found = make(parameters)
        known = kind([torch.nn.Parameter(torch.zeros(1))], lr=0.1).defaults
        return kind([{n: v for n, v in g.items() if n == "params" or n in known}
                     for g in found.param_groups], lr=0.1)  # fmt: skip

    return made


def _threads(n: int) -> Lever:
    return Lever(
        f"torch.set_num_threads({n})", begin=lambda: torch.set_num_threads(n), group="threads",
        fits=lambda task, make: torch.get_num_threads() != n,
    )  # fmt: skip


LEVERS: dict[str, Lever] = {
    "memory kept": Lever("slalom.keep_memory()", neutral=True, begin=keep_memory),
    "no workers": Lever(
        "DataLoader(..., num_workers=0)", neutral=True, vary=_without_workers,
        fits=lambda task, make: task.train.loading.workers > 0 and task.train.stream is None,
    ),
    "Slalom's optimizer": Lever(
        "slalom.optim, the class of the same name", exchange=_ours, fits=_has_class
    ),
    "one thread": _threads(1),
    "all cores": _threads(cores()),
    "channels_last": Lever(
        "model.to(memory_format=torch.channels_last)", dress=_channels_last, fits=_has_images
    ),
    "denormals flushed": Lever(
        "torch.set_flush_denormal(True)", begin=lambda: torch.set_flush_denormal(True)
    ),
    "matmul precision medium": Lever(
        'torch.set_float32_matmul_precision("medium")', group="arithmetic",
        begin=lambda: torch.set_float32_matmul_precision("medium"),
        fits=lambda task, make: task.precision is None,
    ),
    "bfloat16": Lever(
        'Task(..., precision="bfloat16")', vary=_in_bfloat16, group="arithmetic",
        fits=lambda task, make: task.precision is None,
    ),
    "torch.compile": Lever("fit(..., compile=True)", dress=lambda run: run.model.compile()),
}  # fmt: skip
"""All of them, by name."""
