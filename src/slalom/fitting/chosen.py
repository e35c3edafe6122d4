"""What a run is trained with: an optimizer by its name, a class, a function, or a race's winner."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from slalom.errors import InputError
from slalom.racing.entrants import Entrant, families
from slalom.racing.result import Result
from slalom.racing.space import OF_THE_RUN, Choice, Linear
from slalom.train import Task
from slalom.train.rng import RandomStream
from slalom.train.varied import varied


@dataclass(frozen=True)
class Chosen:
    """An optimizer with its settings, and what of the run goes with them.

    Attributes:
        label: what it is called, settings included.
        make: parameters -> optimizer.
        batch_size: samples in an update; None for the task's.
        horizon: updates of the run, where they are a part of the setting; else None.
        training: what it has in place of the task's: warm-up, bounds of gradients.
        made_by: all that ``make`` is decided by.
    """

    label: str
    make: Callable[[Iterable[Any]], torch.optim.Optimizer]
    batch_size: int | Literal["all"] | None
    horizon: int | None
    training: Mapping[str, Any]
    made_by: Any

    def of(self, task: Task) -> Task:
        """The task as it is trained with it."""
        return varied(task, **self.training) if self.training else task

    def check(self, task: Task) -> None:
        """Raise :class:`InputError` if it makes no optimizer of the task's parameters."""
        model = task.make_model(0)
        try:
            with RandomStream(0):
                made: Any = self.make(task.parameters(model))
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{self.label} cannot be made: {error}") from error
        if not callable(getattr(made, "step", None)) or not hasattr(made, "param_groups"):
            raise InputError(
                f"{self.label} makes a {type(made).__name__}; it must make an optimizer of the "
                "parameters"
            )


def chosen(
    optimizer: Any, settings: Mapping[str, Any], batch_size: int | Literal["all"] | None, task: Task
) -> Chosen:
    """What :func:`slalom.fit` is given as ``optimizer``, and the settings beside it.

    Raises :class:`InputError` for what is no optimizer, for settings that it does not take, and for
    a race that nobody has won.
    """
    if batch_size is not None:
        return replace(chosen(optimizer, settings, None, task), batch_size=batch_size)
    if isinstance(optimizer, str) and Path(optimizer).exists():
        optimizer = Path(optimizer)
    if isinstance(optimizer, Path):
        optimizer = Result(optimizer)
    if not isinstance(optimizer, Result):
        return _of_entrant(_entrant(optimizer, settings))
    if settings:
        raise InputError(
            f"a race's winner has its own settings, and {next(iter(settings))} is given; name the "
            "optimizer to set it otherwise"
        )
    return _won(optimizer, task)


def _entrant(given: Any, settings: Mapping[str, Any]) -> Entrant:
    if isinstance(given, Entrant):
        return replace(given, hypers={**given.hypers, **settings})
    if isinstance(given, Mapping) and len(given) != 1:
        raise InputError(f"{len(given)} optimizers are given; a run has one, and a race several")
    family = families(given if isinstance(given, Mapping) else [given])[0]
    family = families([family], space={family.label: dict(settings)})[0]
    for name in settings:
        if isinstance(value := family.space.get(name), tuple | Choice | Linear):
            raise InputError(f"{name} is {value}; a run has one value of each, and a race several")
    own = {n: v for n, v in family.fixed.items() if n not in settings}
    hypers = {n: family.fixed[n] for n in settings}
    said = tuple(n for n in family.said if n in own)
    return Entrant(0, replace(family, space={}, fixed=own, said=said), hypers)


def _of_entrant(entrant: Entrant) -> Chosen:
    return Chosen(
        entrant.label, entrant.optimizer, entrant.batch_size, entrant.horizon, entrant.training,
        (entrant.family.make, entrant.arguments),
    )  # fmt: skip


def _won(result: Result, task: Task) -> Chosen:
    """The winner as it raced."""
    if result.entrant is not None:
        return _of_entrant(result.entrant)
    if (won := result.winner) is None:
        raise InputError(
            f"nobody won the race in {result.path}, so that there is nothing to train with; name "
            "an optimizer"
        )
    own = {n: v for n, v in won.hypers.items() if n in OF_THE_RUN}
    for name in re.findall(r"\bwith (\w+)=", won.code.rpartition("#")[2]):
        if name not in own:
            raise InputError(
                f"{won.label} raced with a {name} that its ledger does not tell; give fit the "
                "result of the race itself, or name the optimizer"
            )
    whole = won.batch == task.n_train != task.batch_size
    training = {n: v for n, v in own.items() if n not in ("batch_size", "horizon")}
    horizon = own.get("horizon")
    return Chosen(
        won.label, won.optimizer, "all" if whole else won.batch,
        None if horizon is None else int(horizon), training, (won.code, whole),
    )  # fmt: skip
