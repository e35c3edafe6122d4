"""What may make an update cheaper: how it is done, where it can be, and the code that does it."""

from __future__ import annotations

import contextlib
import copy
import inspect
import os
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
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
        environment: variables that its process is to be started with.
        stays: whether one process makes all its turns, since its first update takes long.
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
    environment: Mapping[str, str] = field(default_factory=dict)
    stays: bool = False
    vary: Callable[[Task], Task] = _same
    exchange: Callable[[Any], Any] = _same
    dress: Callable[[Run], object] = _nothing
    fits: Callable[[Task, Any], bool] = lambda task, make: True
    group: str = ""
    entrant: str = ""


def _kept_loading(task: Task) -> Task:
    """Batches as :class:`slalom.train.Run` has them, and no DataLoader anew in each epoch."""
    found = copy.copy(task)
    found.train = copy.copy(task.train)
    found.train.by_loader = False
    return found


def _with_workers(n: int) -> Callable[[Task], Task]:
    def varied(task: Task) -> Task:
        found = _kept_loading(task)
        found.train.loading = task.train.loading.with_workers(n)
        return found

    return varied


def _loads(task: Task, make: Any = None) -> bool:
    """Whether samples are asked for by index, and not in memory."""
    return task.train.stream is None and task.train.arrays is None


def _in_memory(task: Task) -> Task:
    found = _kept_loading(task)
    found.train = gathered(found.train)
    return found


def _in_bfloat16(task: Task) -> Task:
    found = copy.copy(task)
    found.precision = torch.bfloat16
    return found


def _by_machine_code(task: Task) -> Task:
    found = copy.copy(task)
    found.compiled = True
    return found


def _compiled(run: Run) -> None:
    for module in run.model.modules():
        name, forward = type(module).__module__, type(module).forward
        if name not in sys.modules and hasattr(forward, "__globals__"):
            # a file that its process has not imported, in which the compiler looks for names
            sys.modules[name] = types.ModuleType(name)
            vars(sys.modules[name]).update(forward.__globals__)
    compile_model(run.model)


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
    """The class in ``module`` that is called as what this makes, and takes all its options."""
    made = _made_by(make)
    kind = type(made)
    if not (kind.__module__.startswith("torch.optim") or issubclass(kind, RuleOptimizer)):
        return None
    found = getattr(module, kind.__name__, None)
    if found is None:
        return None
    takes, usual = (inspect.signature(k).parameters for k in (found, kind))
    lacks = [n for n in made.param_groups[0] if n != "params" and n not in takes]
    same = all(n in usual and made.param_groups[0][n] == usual[n].default for n in lacks)
    return found if same else None


def by_class_of(module: Any, **more: Any) -> Callable[[Any], Any]:
    """What makes an optimizer -> what makes the one of ``module`` that is called so."""

    def exchange(make: Any) -> Any:
        kind: Any = _counterpart(make, module)
        takes = inspect.signature(kind).parameters

        def made(parameters: Any) -> Any:
            groups = make(parameters).param_groups
            kept = [{n: v for n, v in g.items() if n == "params" or n in takes} for g in groups]
            return kind([{**group, **more} for group in kept], lr=0.1)

        return made

    return exchange


def plain(make: Any) -> Any:
    """What makes torch's optimizer of the same name, as it is when nothing more is said; where
    torch has none, what there is."""
    return make if _counterpart(make, torch.optim) is None else by_class_of(torch.optim)(make)


def _ours(make: Any) -> Any:
    made = issubclass(type(_made_by(make)), RuleOptimizer)
    return make if made else by_class_of(optim)(make)


def _has_ours(make: Any) -> bool:
    return _counterpart(make, optim) is not None


def _fuses(task: Task, make: Any) -> bool:
    kind = _counterpart(make, torch.optim)
    fused = kind is not None and "fused" in inspect.signature(kind).parameters
    return fused and not getattr(_made_by(make), "defaults", {}).get("fused")


def _zeroed(run: Run) -> None:
    def clear() -> None:
        for parameter in run.model.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()

    run.clear = clear


def _releases(task: Task, make: Any) -> bool:
    whole = task.accumulate == 1 and task.precision != torch.float16
    return whole and not (task.clip_norm or task.clip_value) and _has_ours(make)


def _huge_pages(task: Task, make: Any) -> bool:
    """Whether the system gives pages of 2 MiB to those who ask for them, and torch does not yet."""
    with contextlib.suppress(OSError):
        chosen = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="ascii")
        return "[madvise]" in chosen and HUGE not in os.environ
    return False


HUGE = "THP_MEM_ALLOC_ENABLE"
"""What torch looks at when its first tensor is allocated."""


def _threads(n: int) -> Lever:
    return Lever(
        f"torch.set_num_threads({n})", begin=lambda: torch.set_num_threads(n), group="threads",
        fits=lambda task, make: torch.get_num_threads() != n,
    )  # fmt: skip


LEVERS: dict[str, Lever] = {
    "memory kept": Lever("slalom.keep_memory()", neutral=True, begin=keep_memory),
    "huge pages": Lever(
        f"# start Python with {HUGE}=1 in its environment", environment={HUGE: "1"},
        fits=_huge_pages,
    ),
    "batches": Lever(
        "slalom.train.Batches(n, batch_size, seed)  # batches[step]: indices into your tensors",
        vary=_kept_loading, group="loading",
        fits=lambda task, make: task.train.by_loader and task.train.arrays is not None,
    ),
    "workers kept": Lever(
        "DataLoader(..., persistent_workers=True)", vary=_kept_loading, group="loading",
        fits=lambda task, make: task.train.by_loader and task.train.arrays is None,
    ),
    "no workers": Lever(
        "DataLoader(..., num_workers=0)", neutral=True, vary=_with_workers(0), group="loading",
        fits=lambda task, make: _loads(task) and task.train.loading.workers > 0,
    ),
    "workers": Lever(
        f"DataLoader(..., num_workers={cores()}, persistent_workers=True)", neutral=True,
        vary=_with_workers(cores()), group="loading",
        fits=lambda task, make: _loads(task) and not task.train.loading.workers,
    ),
    "samples in memory": Lever(
        "Task(..., train=torch.utils.data.default_collate([*dataset]))", vary=_in_memory,
        fits=lambda task, make: gathers(task.train), group="loading",
    ),
    "Slalom's optimizer": Lever(
        "slalom.optim, the class of the same name", exchange=_ours, group="update",
        fits=lambda task, make: _has_ours(make) and _ours(make) is not make,
    ),
    "machine code": Lever(
        "fit(..., machine_code=True)  # with slalom.optim", vary=_by_machine_code, exchange=_ours,
        fits=lambda task, make: _has_ours(make) and refusal(task, 0) is None, group="update",
    ),
    "updates in backward": Lever(
        "slalom.release(model, optimizer)  # of slalom.optim, in a loop of your own",
        group="update", exchange=_ours, fits=_releases,
        dress=lambda run: release(run.model, run.optimizer),  # type: ignore[arg-type]
    ),
    "torch's fused optimizer": Lever(
        "torch.optim, the class of the same name, fused=True", group="update",
        exchange=by_class_of(torch.optim, fused=True), fits=_fuses,
    ),
    "bfloat16": Lever(
        'Task(..., precision="bfloat16")', vary=_in_bfloat16, group="arithmetic",
        entrant="precision=bfloat16",
        fits=lambda task, make: task.precision is None,
    ),
    "channels_last": Lever(
        "model.to(memory_format=torch.channels_last)", dress=_channels_last, fits=_has_images
    ),
    "one thread": _threads(1),
    "all cores": _threads(cores()),
    "matmul precision medium": Lever(
        'torch.set_float32_matmul_precision("medium")', group="arithmetic",
        begin=lambda: torch.set_float32_matmul_precision("medium"),
        fits=lambda task, make: task.precision is None,
    ),
    "gradients zeroed": Lever(
        "optimizer.zero_grad(set_to_none=False)  # in a loop of your own", dress=_zeroed,
        group="update",
    ),
    "denormals flushed": Lever(
        "torch.set_flush_denormal(True)", begin=lambda: torch.set_flush_denormal(True)
    ),
    "torch.compile": Lever(
        "fit(..., compile=True)", dress=_compiled, stays=True
    ),
}  # fmt: skip
"""All of them, by name, in the order of what they usually bring for what it takes to find out."""
