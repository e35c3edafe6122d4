"""What ``configure_optimizers`` says of groups and schedules, apart from the optimizer."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from slalom.errors import InputError
from slalom.train.followed import Followed, full_rates, without_parameters
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
        _refuse(schedules[0])
        scheduler, found["schedule_every"] = _parts(schedules[0])
        pair = without_parameters(optimizers[0], scheduler)  # which would be kept alive
        of = functools.partial(_pair, make) if asks else lambda total: pair
        found["schedule"] = Followed(of, asks, type(scheduler).__name__)
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
    return optimizers[0], _parts(schedules[0])[0]


def _sorted_out(given: Any) -> tuple[list[Any], list[Any]]:
    """(optimizers, schedules) in any of the forms that Lightning takes."""
    if given is None:
        return [], []
    if isinstance(given, Mapping):
        schedule = given.get("lr_scheduler")
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
    rates = full_rates(optimizer, *(_parts(s)[0] for s in schedules[:1]))
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group = {**group, "lr": rate}
        cycled = ("momentum", "betas") if "max_momentum" in group else ()
        own = {
            n: v for n, v in group.items()
            if n in base and n not in ("params", *cycled) and v != base[n]
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


def _parts(given: Any) -> tuple[Any, str]:
    """(the scheduler, what it counts) in either of the forms that Lightning takes."""
    config = given if isinstance(given, Mapping) else {"scheduler": given}
    return config["scheduler"], config.get("interval", "epoch")


def _refuse(given: Any) -> None:
    """Raise :class:`InputError` for a schedule that cannot be followed; warn of what is not."""
    scheduler, _ = _parts(given)
    name = type(scheduler).__name__
    often = given.get("frequency", 1) if isinstance(given, Mapping) else 1
    if often != 1 or name == "ReduceLROnPlateau":
        raise InputError(f"the {name} follows a metric, or not every step or epoch; {INSTEAD}")
    if getattr(scheduler, "cycle_momentum", False):
        warnings.warn(
            f"the {name} changes the momentum too; in a race that stays what it is of each entrant",
            stacklevel=5,
        )
