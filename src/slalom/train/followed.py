"""Schedules that were made for another optimizer, followed by the one that is raced."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import CyclicLR, ReduceLROnPlateau

from slalom.errors import InputError

Pair = tuple[Any, Any]
"""An optimizer of the user's, which updates nothing here, and its schedule, before their first
step."""

VALID_LOSS, TRAIN_LOSS, METRIC = "the loss of validation", "the loss of training", "the metric"
"""What a schedule may be told of any task; another name is a value that the objective logs."""

Option = tuple[str, int | None]
"""An option of a group, or one of its numbers: ("momentum", None), ("betas", 0)."""

MOMENTUM: tuple[Option, ...] = (("momentum", None), ("betas", 0))
"""What torch's schedulers take for a momentum."""


class Followed:
    """Makes, of an optimizer, a schedule that follows one of the user's own.

    Args:
        made: updates of the whole run -> :data:`Pair`.
        ends: whether the schedule hangs on them.
        name: what it is called.
        monitor: what it is told at each of its steps: :data:`VALID_LOSS`, :data:`METRIC`, that of
            the task, :data:`TRAIN_LOSS`, the mean since its step before, or a value that the
            objective logs; None if nothing.
        frequency: it makes a step once in so many updates or epochs.
        anew: whether updates are counted from the beginning of each epoch.
    """

    def __init__(
        self, made: Callable[[int], Pair], ends: bool, name: str, *, monitor: str | None = None,
        frequency: int = 1, anew: bool = False,
    ):  # fmt: skip
        self._made, self.ends, self.__name__ = made, ends, name
        self.monitor, self.frequency, self.anew = monitor, frequency, anew
        self._pairs: dict[int, Pair] = {}

    @property
    def sets(self) -> set[Option]:
        """What it changes beside the rates."""
        return changed(*self._pair(1000))

    @property
    def decisive(self) -> Any:
        """The schedule itself, and what makes it for runs of other lengths."""
        optimizer, scheduler = self._pair(1000)
        own = {n: v for n, v in vars(scheduler).items() if n != "optimizer"}  # functions too
        often = self.monitor, self.frequency, self.anew
        return self.__name__, self.ends, often, _numbers(optimizer), own

    def __call__(self, optimizer: torch.optim.Optimizer, total: int) -> Following:
        return Following(optimizer, *copy.deepcopy(self._pair(total)))

    def _pair(self, total: int) -> Pair:
        if total not in self._pairs:
            self._pairs[total] = without_parameters(*self._made(total))
        return self._pairs[total]


class Following:
    """A schedule of one optimizer by that of another.

    The rates are the other's as shares of its full one: of the rate that a group begins with, or of
    the ``max_lr`` that it rises to. Weight decay is taken as a share of the one it begins with. All
    else that the schedule changes in a group is set to the same value, where the optimizer's group
    has it; momentum and the first of ``betas`` count as one, as they do to torch's schedulers.

    Attributes:
        scheduler: the other's.
        sets: what it changes beside the rates.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, theirs: Any, scheduler: Any):
        theirs.step = _step  # which schedules look for, to warn where nothing is updated
        theirs._opt_called = True
        self.optimizer, self._theirs, self.scheduler = optimizer, theirs, scheduler
        groups, given = optimizer.param_groups, theirs.param_groups
        if len(given) not in (1, len(groups)):
            raise InputError(
                f"the schedule is of {len(given)} parameter groups, and there are {len(groups)}; "
                "give schedule="
            )
        self._given = given * (len(groups) if len(given) == 1 else 1)
        self.base_lrs = [group["lr"] for group in groups]
        self._full = full_rates(theirs, scheduler) * (len(self._given) // len(given))
        self._decays = [
            (group.get("weight_decay"), own.get("weight_decay"))
            for group, own in zip(groups, self._given, strict=True)
        ]
        self.sets = changed(theirs, scheduler)
        self._set()

    def step(self, *told: float) -> None:
        """To the next update, or epoch; ``told`` what it monitors, if anything."""
        before = [dict(group) for group in self._theirs.param_groups]
        self.scheduler.step(*told)
        for was, group in zip(before, self._theirs.param_groups, strict=True):
            self.sets |= _differing(was, group, self._theirs.defaults)
        self._set()

    def _set(self) -> None:
        both = zip(self.optimizer.param_groups, self._given, strict=True)
        for place, (group, given) in enumerate(both):
            base, full = self.base_lrs[place], self._full[place]
            group["lr"] = given["lr"] * (base / full if full else 1.0)
            for name, index in self.sets:
                value = given[name] if index is None else given[name][index]
                if (name, index) in MOMENTUM:
                    name, index = ("betas", 0) if "betas" in group else ("momentum", None)
                elif name == "weight_decay":
                    value = self._decay(value, *self._decays[place])
                if name in group:
                    group[name] = _replaced(group[name], index, value)

    def _decay(self, value: float, base: float | None, full: float) -> float | None:
        if not base or value == full:
            return base
        if not full:
            raise InputError(
                f"the {type(self.scheduler).__name__} makes a weight_decay of 0 one of {value:g}, "
                "of which that of another optimizer can be no multiple; let it begin above 0"
            )
        return value * (base / full)

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, in plain values."""
        return {
            "schedule": self.scheduler.state_dict(), "groups": _numbers(self._theirs),
            "sets": [list(option) for option in self.sets],
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; the optimizer has the rates of there already."""
        self.scheduler.load_state_dict(state["schedule"])
        for group, numbers in zip(self._theirs.param_groups, state["groups"], strict=True):
            group.update(numbers)
        self.sets = {(name, index) for name, index in state["sets"]}


class Numbered:
    """A scheduler that is told how many epochs or updates there were, as those of timm are."""

    def __init__(self, scheduler: Any, every: str):
        self._step = scheduler.step if every == "epoch" else scheduler.step_update
        self._scheduler, self._count = scheduler, 0

    def step(self) -> None:
        """To the next update, or epoch."""
        self._count += 1
        self._step(self._count)

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        return {"count": self._count, "scheduler": self._scheduler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._count = state["count"]
        self._scheduler.load_state_dict(state["scheduler"])


def full_rates(optimizer: Any, scheduler: Any = None) -> list[float]:
    """The rates of the groups that their schedule begins with, or rises to."""
    rates: list[float] = [
        g.get("max_lr", g.get("initial_lr", g["lr"])) for g in optimizer.param_groups
    ]
    return list(scheduler.max_lrs) if isinstance(scheduler, CyclicLR) else rates  # type: ignore


def takes_a_momentum(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a scheduler of torch's finds a momentum, or betas, in all groups of an optimizer."""
    name = "betas" if "betas" in optimizer.defaults else "momentum"
    return name in optimizer.defaults and all(name in group for group in optimizer.param_groups)


def stands_in(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """An optimizer of the same groups that all have a momentum, and updates nothing."""
    groups = []
    for group in optimizer.param_groups:
        betas = group.get("betas", (0.0,))
        others = {n: v for n, v in group.items() if n != "betas"}
        groups.append({**others, "momentum": group.get("momentum", betas[0])})
    others = {n: v for n, v in optimizer.defaults.items() if n != "betas"}
    return torch.optim.Optimizer(groups, {**others, "momentum": 0.0})


def changed(optimizer: Any, scheduler: Any) -> set[Option]:
    """What of its optimizer's options, beside the rate, a schedule changes in its next step.

    Seen by taking it, on a copy whose options are numbers that no schedule would come to by itself:
    what it sets to a value of its own is told from what it leaves alone, also where they are equal.
    """
    theirs, copied = without_parameters(optimizer, scheduler)
    theirs.step, theirs._opt_called = _step, True
    for group in theirs.param_groups:
        for name in theirs.defaults.keys() & group.keys() - {"lr"}:
            value = group[name]
            for index in range(len(value)) if isinstance(value, tuple) else (None,):
                number = value if index is None else value[index]
                if isinstance(number, int | float) and not isinstance(number, bool):
                    group[name] = _replaced(group[name], index, number * 0.9876 + 0.0123)
    before = [dict(group) for group in theirs.param_groups]
    try:
        copied.step(*([0.0] if isinstance(copied, ReduceLROnPlateau) else []))
    except (ValueError, TypeError):  # it has no next step, or asks for more
        return set()
    return set().union(*(
        _differing(was, group, theirs.defaults)
        for was, group in zip(before, theirs.param_groups, strict=True)
    ))  # fmt: skip


def _differing(one: Any, other: Any, names: Iterable[str]) -> set[Option]:
    found: set[Option] = set()
    for name in set(names) & one.keys() & other.keys() - {"lr"}:
        if isinstance(one[name], tuple) and isinstance(other[name], tuple):
            pairs = zip(one[name], other[name], strict=False)
            found |= {(name, i) for i, (a, b) in enumerate(pairs) if a != b}
        elif isinstance(other[name], int | float) and one[name] != other[name]:
            found.add((name, None))
    return found


def _replaced(value: Any, index: int | None, number: Any) -> Any:
    """The value of an option with one of its numbers replaced; as it is if it has no such."""
    if index is None:
        return number
    if not isinstance(value, tuple) or len(value) <= index:
        return value
    return (*value[:index], number, *value[index + 1 :])


def without_parameters(optimizer: Any, scheduler: Any) -> Pair:
    """A copy of both, whose parameters have one number each.

    Raises :class:`InputError` for what cannot be copied.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    small = {id(p): nn.Parameter(torch.zeros(1)) for p in parameters}
    try:
        return copy.deepcopy((optimizer, scheduler), small)
    except Exception as error:  # anybody's code
        raise InputError(
            f"the {type(scheduler).__name__} cannot be copied ({error}); give schedule="
        ) from error


def _numbers(optimizer: Any) -> list[dict[str, Any]]:
    return [{n: v for n, v in g.items() if n != "params"} for g in optimizer.param_groups]


def _step(*given: Any) -> None:
    raise AssertionError("it updates nothing")


_step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
