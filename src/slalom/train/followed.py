"""Schedules that were made for another optimizer, followed by the one that is raced."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from slalom.errors import InputError

Pair = tuple[Any, Any]
"""An optimizer of the user's, which updates nothing here, and its schedule, before their first
step."""


class Followed:
    """Makes, of an optimizer, a schedule that follows one of the user's own.

    The rates are the other's as shares of its full one: of the rate that a group begins with, or of
    the ``max_lr`` that it rises to. All else of the optimizer, momentum too, stays as it is.

    Args:
        made: updates of the whole run -> :data:`Pair`.
        ends: whether the schedule hangs on them.
        name: what it is called.
    """

    def __init__(self, made: Callable[[int], Pair], ends: bool, name: str):
        self._made, self.ends, self.__name__ = made, ends, name
        self._pairs: dict[int, Pair] = {}

    @property
    def decisive(self) -> Any:
        """The schedule itself, and what makes it for runs of other lengths."""
        optimizer, scheduler = self._pair(1000)
        own = {n: v for n, v in vars(scheduler).items() if n != "optimizer"}  # functions too
        return self.__name__, self.ends, _numbers(optimizer), own

    def __call__(self, optimizer: torch.optim.Optimizer, total: int) -> Following:
        return Following(optimizer, *copy.deepcopy(self._pair(total)))

    def _pair(self, total: int) -> Pair:
        if total not in self._pairs:
            self._pairs[total] = without_parameters(*self._made(total))
        return self._pairs[total]


class Following:
    """A schedule of one optimizer by that of another."""

    def __init__(self, optimizer: torch.optim.Optimizer, theirs: Any, scheduler: Any):
        theirs.step = _step  # which schedules look for, to warn where nothing is updated
        theirs._opt_called = True
        self.optimizer, self._theirs, self._scheduler = optimizer, theirs, scheduler
        groups, given = optimizer.param_groups, theirs.param_groups
        if len(given) not in (1, len(groups)):
            raise InputError(
                f"the schedule is of {len(given)} parameter groups, and there are {len(groups)}; "
                "give schedule="
            )
        self._given = given * (len(groups) if len(given) == 1 else 1)
        self.base_lrs = [group["lr"] for group in groups]
        self._full = full_rates(theirs, scheduler) * (len(self._given) // len(given))
        self._set()

    def step(self) -> None:
        """To the next update, or epoch."""
        self._scheduler.step()
        self._set()

    def _set(self) -> None:
        both = zip(self.optimizer.param_groups, self._given, strict=True)
        for (group, given), base, full in zip(both, self.base_lrs, self._full, strict=True):
            group["lr"] = given["lr"] * (base / full if full else 1.0)

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, in plain values."""
        return {"schedule": self._scheduler.state_dict(), "groups": _numbers(self._theirs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; the optimizer has the rates of there already."""
        self._scheduler.load_state_dict(state["schedule"])
        for group, numbers in zip(self._theirs.param_groups, state["groups"], strict=True):
            group.update(numbers)


def full_rates(optimizer: Any, scheduler: Any = None) -> list[float]:
    """The rates of the groups that their schedule begins with, or rises to."""
    rates = [g.get("max_lr", g.get("initial_lr", g["lr"])) for g in optimizer.param_groups]
    return getattr(scheduler, "max_lrs", rates)


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
