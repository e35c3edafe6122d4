"""What may make an update cheaper: how it is done, where it can be, and the code that does it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from slalom import optim
from slalom.optim.release import release
from slalom.optim.rule_optimizer import RuleOptimizer
from slalom.racing.machine import cores
from slalom.train import Run, Task
from slalom.train.compiled import refusal
from slalom.train.gathered import gathered, gathers
from slalom.train.kept_memory import keep_memory
from slalom.train.models import compile_model


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
        entrant: how it is written as a setting of one that races; empty where none can bring it.
    """

    code: str
    neutral: bool = False
    begin: Callable[[], object] = _nothing
    vary: Callable[[Task], Task] = _same
    exchange: Callable[[Any], Any] = _same
    dress: Callable[[Run], object] = _nothing
    fits: Callable[[Task, Any], bool] = lambda task, make: True
    group: str = ""
    entrant: str = ""


def _with_workers(n: int) -> Callable[[Task], Task]:
    def varied(task: Task) -> Task:
        found = copy.copy(task)
        found.train = copy.copy(task.train)
        found.train.loading = task.train.loading.with_workers(n)
        return found

    return varied


def _loads(task: Task, make: Any = None) -> bool:
    """Whether samples are asked for by index, and not in memory."""
    return task.train.stream is None and task.train.arrays is None


def _in_memory(task: Task) -> Task:
    found = copy.copy(task)
    found.train = gathered(task.train)
    return found


def _in_bfloat16(task: Task) -> Task:
    found = copy.copy(task)
    found.precision = torch.bfloat16
    return found


def _by_machine_code(task: Task) -> Task:
    found = copy.copy(task)
    found.compiled = True
    return found


def _channels_last(run: Run) -> None:
    run.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _has_images(task: Task, make: Any) -> bool:
    return any(p.dim() == 4 for p in task.make_model(0).parameters())


def _made_by(make: Any) -> Any:
    """What this makes of a parameter; None where it wants those of its model."""
    try:
        return make([torch.nn.Parameter(torch.zeros(2, 2))])
    except Exception:  # it is anybody's code
        return None


def _counterpart(make: Any, module: Any) -> Any:
    """The class in ``module`` that is called as what this makes, which is of the other one."""
    kind = type(_made_by(make))
    theirs = kind.__module__.startswith("torch.optim")
    if theirs == (module is optim) and (theirs or issubclass(kind, RuleOptimizer)):
        return getattr(module, kind.__name__, None)
    return None


def _by_class_of(module: Any) -> Callable[[Any], Any]:
    def exchange(make: Any) -> Any:
        kind: Any = _counterpart(make, module)
        takes = inspect.signature(kind).parameters

        def made(parameters: Any) -> Any:
            groups = make(parameters).param_groups
            kept = [{n: v for n, v in g.items() if n == "params" or n in takes} for g in groups]
            more = {"fused": True} if module is torch.optim and "fused" in takes else {}
            return kind([{**group, **more} for group in kept], lr=0.1)

        return made

    return exchange


def _zeroed(run: Run) -> None:
    def clear() -> None:
        for parameter in run.model.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()

    run.clear = clear


def _releases(task: Task, make: Any) -> bool:
    whole = task.accumulate == 1 and task.precision != torch.float16
    return whole and not (task.clip_norm or task.clip_value) and (
        isinstance(_made_by(make), RuleOptimizer)
    )  # fmt: skip


def _threads(n: int) -> Lever:
    return Lever(
        f"torch.set_num_threads({n})", begin=lambda: torch.set_num_threads(n), group="threads",
        fits=lambda task, make: torch.get_num_threads() != n,
    )  # fmt: skip


LEVERS: dict[str, Lever] = {
    "memory kept": Lever("slalom.keep_memory()", neutral=True, begin=keep_memory),
    "no workers": Lever(
        "DataLoader(..., num_workers=0)", neutral=True, vary=_with_workers(0), group="loading",
        fits=lambda task, make: _loads(task) and task.train.loading.workers > 0,
    ),
    "workers": Lever(
        f"DataLoader(..., num_workers={cores()})", neutral=True, vary=_with_workers(cores()),
        fits=lambda task, make: _loads(task) and not task.train.loading.workers, group="loading",
    ),
    "samples in memory": Lever(
        "Task(..., train=torch.utils.data.default_collate([*dataset]))", vary=_in_memory,
        fits=lambda task, make: gathers(task.train), group="loading",
    ),
    "Slalom's optimizer": Lever(
        "slalom.optim, the class of the same name", exchange=_by_class_of(optim),
        fits=lambda task, make: _counterpart(make, optim) is not None, group="update",
    ),
    "torch's optimizer": Lever(
        "torch.optim, the class of the same name, fused=True", exchange=_by_class_of(torch.optim),
        fits=lambda task, make: _counterpart(make, torch.optim) is not None, group="update",
    ),
    "updates in backward": Lever(
        "slalom.release(model, optimizer)  # in a loop of your own", group="update",
        dress=lambda run: release(run.model, run.optimizer), fits=_releases,  # type: ignore[arg-type]
    ),
    "gradients zeroed": Lever(
        "optimizer.zero_grad(set_to_none=False)  # in a loop of your own", dress=_zeroed,
        group="update",
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
        entrant="precision=bfloat16",
        fits=lambda task, make: task.precision is None,
    ),
    "machine code": Lever(
        "fit(..., machine_code=True)", vary=_by_machine_code,
        fits=lambda task, make: refusal(task, 0) is None,
    ),
    "torch.compile": Lever("fit(..., compile=True)", dress=lambda run: compile_model(run.model)),
}  # fmt: skip
"""All of them, by name."""
