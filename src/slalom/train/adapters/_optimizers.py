"""What ``configure_optimizers`` says of groups and schedules, apart from the optimizer."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from slalom.errors import InputError

INSTEAD = "give schedule=, as in functools.partial(torch.optim.lr_scheduler.StepLR, step_size=30)"


def configured(made: Any, make: Callable[[], nn.Module], options: Mapping[str, Any]) -> dict:
    """The options of a task that follow from a module's ``configure_optimizers``."""
    optimizers, schedules = _sorted_out(made.configure_optimizers())
    if len(optimizers) > 1:
        raise InputError(
            f"configure_optimizers makes {len(optimizers)} optimizers; write the loop for "
            "slalom.trial"
        )
    found: dict[str, Any] = {}
    if optimizers and "parameter_groups" not in options:
        groups = _groups(optimizers[0])
        trained = sum(p.requires_grad for p in made.parameters())
        if len(groups) > 1 or len(groups[0]["params"]) < trained or len(groups[0]) > 1:
            found["parameter_groups"] = _groups_of
    if schedules and "schedule" not in options:
        if len(schedules) > 1:
            raise InputError(f"configure_optimizers makes {len(schedules)} schedules; {INSTEAD}")
        found |= _schedule(schedules[0])
    return found


def _sorted_out(given: Any) -> tuple[list[Any], list[Any]]:
    """(optimizers, schedules) in any of the forms that Lightning takes."""
    if given is None:
        return [], []
    if isinstance(given, Mapping):
        schedule = given.get("lr_scheduler")
        return [given["optimizer"]], [] if schedule is None else [schedule]
    if not isinstance(given, list | tuple):
        return [given], []
    if len(given) == 2 and isinstance(given[0], list | tuple):
        return list(given[0]), list(given[1])
    parts = [_sorted_out(one) for one in given]
    return [o for own, _ in parts for o in own], [s for _, own in parts for s in own]


def _groups(optimizer: Any) -> list[dict[str, Any]]:
    """The groups with what they have of their own; rates as factors on the optimizer's."""
    base = optimizer.defaults
    found = []
    for group in optimizer.param_groups:
        group = {**group, "lr": group.get("initial_lr", group.get("lr"))}
        own = {n: v for n, v in group.items() if n in base and n != "params" and v != base[n]}
        if "lr" in own and base["lr"]:
            own["lr"] = own["lr"] / base["lr"]
        if "weight_decay" in own and base["weight_decay"]:
            own["weight_decay"] = own["weight_decay"] / base["weight_decay"]
        found.append({"params": group["params"], **own})
    return found


def _groups_of(model: Any) -> list[dict[str, Any]]:
    """The groups that the model's own ``configure_optimizers`` makes."""
    optimizers, _ = _sorted_out(model.configure_optimizers())
    return _groups(optimizers[0])


class _Again:
    """Makes the same schedule for another optimizer."""

    def __init__(self, kind: type, arguments: dict[str, Any]):
        self._kind, self._arguments = kind, arguments

    def __call__(self, optimizer: Any) -> Any:
        return self._kind(optimizer, **self._arguments)


def _schedule(given: Any) -> dict[str, Any]:
    """The options of a task for a schedule that was made of an optimizer."""
    config = given if isinstance(given, Mapping) else {"scheduler": given}
    scheduler = config["scheduler"]
    name = type(scheduler).__name__
    if config.get("frequency", 1) != 1 or name == "ReduceLROnPlateau":
        raise InputError(f"the {name} follows a metric, or not every step or epoch; {INSTEAD}")
    arguments: dict[str, Any] = {}
    for parameter in list(inspect.signature(type(scheduler)).parameters.values())[1:]:
        if parameter.name in ("last_epoch", "verbose"):
            continue
        if parameter.name == "lr_lambda":
            arguments["lr_lambda"] = list(scheduler.lr_lambdas)
            if len(arguments["lr_lambda"]) == 1:
                arguments["lr_lambda"] = arguments["lr_lambda"][0]
        elif hasattr(scheduler, parameter.name):
            value = getattr(scheduler, parameter.name)
            arguments[parameter.name] = sorted(value.elements()) if isinstance(
                value, Counter) else value  # fmt: skip
        else:
            raise InputError(f"a {name} does not say what it was made of; {INSTEAD}")
    again = _Again(type(scheduler), arguments)
    return {"schedule": again, "schedule_every": config.get("interval", "epoch")}
