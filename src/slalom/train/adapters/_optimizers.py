"""What ``configure_optimizers`` says of groups and schedules, apart from the optimizer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from slalom.errors import InputError
from slalom.train.followed import Followed, changed, full_rates, without_parameters
from slalom.train.rng import RandomStream

INSTEAD = "give schedule=, as in functools.partial(torch.optim.lr_scheduler.StepLR, step_size=30)"

TRIED = 1000
"""The length of a run for which a module is asked what it would make, where none is known."""


def configured(made: Any, make: Callable[[], nn.Module], options: Mapping[str, Any]) -> dict:
    """The options of a task that follow from a module's ``configure_optimizers``."""
    optimizers, schedules, asks = _made_for(options.get("max_steps") or TRIED, made)
    if len(optimizers) > 1:
        raise InputError(
            f"configure_optimizers makes {len(optimizers)} optimizers; write the loop for "
            "slalom.trial"
        )
    found: dict[str, Any] = {}
    if optimizers and "parameter_groups" not in options:
        groups = _groups(optimizers[0], schedules)
        trained = sum(p.requires_grad for p in made.parameters())
        if len(groups) > 1 or len(groups[0]["params"]) < trained or len(groups[0]) > 1:
            found["parameter_groups"] = _groups_of
    if schedules and "schedule" not in options:
        if len(schedules) > 1:
            raise InputError(f"configure_optimizers makes {len(schedules)} schedules; {INSTEAD}")
        told = _told(schedules[0], options)
        found["schedule_every"] = told.interval
        pair = without_parameters(optimizers[0], told.scheduler)  # which would be kept alive
        of = functools.partial(_pair, make) if asks else lambda total: pair
        found["schedule"] = Followed(
            of, asks, type(told.scheduler).__name__, monitor=told.monitor,
            frequency=told.frequency, anew=True,
        )  # fmt: skip
    return found


def _made_for(total: int, module: Any) -> tuple[list[Any], list[Any], bool]:
    """(optimizers, schedules, whether they hang on the length) of a run of so many updates."""
    trainer = module._trainer
    known, trainer.total, trainer.asked = trainer.total, total, False
    try:
        made = _sorted_out(module.configure_optimizers())
    finally:
        trainer.total = known
    return *made, trainer.asked


def _pair(make: Callable[[], nn.Module], total: int) -> tuple[Any, Any]:
    """The optimizer and the schedule that the module makes for a run of so many updates."""
    with RandomStream(0):
        optimizers, schedules, _ = _made_for(total, make())
    return optimizers[0], _scheduler(schedules[0])


def _sorted_out(given: Any) -> tuple[list[Any], list[Any]]:
    """(optimizers, schedules) in any of the forms that Lightning takes."""
    if given is None:
        return [], []
    if isinstance(given, Mapping):
        schedule = given.get("lr_scheduler")
        if schedule is not None and "monitor" in given:
            config = schedule if isinstance(schedule, Mapping) else {"scheduler": schedule}
            schedule = {"monitor": given["monitor"], **config}
        return [given["optimizer"]], [] if schedule is None else [schedule]
    if not isinstance(given, list | tuple):
        if not hasattr(given, "param_groups"):
            raise InputError(
                f"configure_optimizers gives a {type(given).__name__} and no optimizer for it"
            )
        return [given], []
    if len(given) == 2 and isinstance(given[0], list | tuple):
        return list(given[0]), list(given[1])
    parts = [_sorted_out(one) for one in given]
    return [o for own, _ in parts for o in own], [s for _, own in parts for s in own]


def _groups(optimizer: Any, schedules: list[Any]) -> list[dict[str, Any]]:
    """The groups with what they have of their own; rates as factors on the optimizer's."""
    base = optimizer.defaults
    found = []
    scheduler = _scheduler(schedules[0]) if schedules else None
    rates = full_rates(optimizer, scheduler)
    changes = {n for n, _ in changed(optimizer, scheduler)} if schedules else set[str]()
    changes -= {"weight_decay"}  # of which each group has a share of its own
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group = {**group, "lr": rate}
        own = {
            n: v for n, v in group.items()
            if n in base and n not in {"params", *changes} and v != base[n]
        }  # fmt: skip
        if "lr" in own and base["lr"]:
            own["lr"] = own["lr"] / base["lr"]
        if "weight_decay" in own and base["weight_decay"]:
            own["weight_decay"] = own["weight_decay"] / base["weight_decay"]
        found.append({"params": group["params"], **own})
    return found


def _groups_of(model: Any) -> list[dict[str, Any]]:
    """The groups that the model's own ``configure_optimizers`` makes."""
    optimizers, schedules, _ = _made_for(TRIED, model)
    return _groups(optimizers[0], schedules)


@dataclass(frozen=True)
class _Told:
    """What Lightning is told of a schedule."""

    scheduler: Any
    interval: str
    frequency: int
    monitor: str | None


def _scheduler(given: Any) -> Any:
    return given["scheduler"] if isinstance(given, Mapping) else given


def _told(given: Any, options: Mapping[str, Any]) -> _Told:
    """It in either of the forms that Lightning takes. :class:`InputError` for what would act
    otherwise here."""
    config = given if isinstance(given, Mapping) else {"scheduler": given}
    scheduler, interval = config["scheduler"], config.get("interval", "epoch")
    name, frequency = type(scheduler).__name__, config.get("frequency", 1)
    monitor = None
    if config.get("reduce_on_plateau", isinstance(scheduler, ReduceLROnPlateau)):
        monitor = config.get("monitor")
        if not isinstance(monitor, str):
            raise InputError(
                f"the {name} has no monitor; configure_optimizers names one, as in "
                "{'optimizer': ..., 'lr_scheduler': ..., 'monitor': 'val_loss'}"
            )
        if interval != "epoch":
            raise InputError(
                f"the {name} is told {monitor} after every update, and a race validates at the end "
                "of an epoch; give it the interval 'epoch'"
            )
    if interval == "step" and frequency > 1 and options.get("accumulate", 1) > 1:
        raise InputError(
            f"the {name} counts every {frequency} batches, of which some make no update; {INSTEAD}"
        )
    return _Told(scheduler, interval, frequency, monitor)
