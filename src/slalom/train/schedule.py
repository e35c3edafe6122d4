"""Learning rates that change on the way."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from slalom.errors import InputError, did_you_mean
from slalom.train.followed import (
    METRIC,
    MOMENTUM,
    VALID_LOSS,
    Followed,
    Following,
    Numbered,
    changed,
    stands_in,
    takes_a_momentum,
)

Factor = Callable[[int, int], float]
"""(update, updates of the whole run) -> the share of the learning rate that it is made with."""

COOLING = 0.2
"""The share of a run in which a warm-up-stable-decay schedule decays."""


def constant(step: int, total: int) -> float:
    """The whole rate, always."""
    return 1.0


def cosine(step: int, total: int) -> float:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))


def linear(step: int, total: int) -> float:
    """A line from 1 to 0."""
    return max(0.0, 1 - step / total)


def wsd(step: int, total: int) -> float:
    """1, and a line down to 0 in the last fifth (warm-up, stable, decay; Hu et al. 2024)."""
    return min(1.0, max(0.0, (1 - step / total) / COOLING))


FACTORS: dict[str, Factor] = {f.__name__: f for f in (constant, cosine, linear, wsd)}
NAMES = (*FACTORS, "one_cycle")
"""The schedules known by name."""


@dataclass(frozen=True)
class Schedule:
    """How the learning rates of a run change.

    Args:
        of: a name of :data:`NAMES`; a function (step, total) -> factor of the learning rate; or
            what makes a torch scheduler of an optimizer, such as a ``functools.partial`` of a class
            of ``torch.optim.lr_scheduler``; or a :class:`Followed`. None for constant rates.
        warmup: updates in which the rate rises in a line, before and beside the rest; below 1 a
            share of the run.
        every: what a scheduler of torch counts, updates or epochs.

    Raises :class:`InputError` for anything else.
    """

    of: Any = None
    warmup: float = 0
    every: Literal["step", "epoch"] = "step"

    def __post_init__(self) -> None:
        if isinstance(self.of, str) and self.of not in NAMES:
            hint = did_you_mean(self.of, NAMES)
            raise InputError(
                f"schedule {self.of!r} is unknown; it is one of {', '.join(NAMES)}, a function "
                f"(step, total) -> factor, or what makes a torch scheduler{hint}"
            )
        if isinstance(self.of, LRScheduler):
            raise InputError(
                f"schedule is a {type(self.of).__name__} of one optimizer; give what makes one, as "
                f"in functools.partial(torch.optim.lr_scheduler.{type(self.of).__name__}, ...)"
            )
        if self.of is not None and not isinstance(self.of, str) and not callable(self.of):
            raise InputError(
                f"schedule is a {type(self.of).__name__}; it must be a name or callable"
            )
        warm = self.warmup
        if isinstance(warm, bool) or not isinstance(warm, int | float) or not 0 <= warm < math.inf:
            raise InputError(
                f"warmup is {warm!r}; it must be updates, or a share of the run below 1"
            )
        if self.warmup and (self.of == "one_cycle" or self._makes):
            raise InputError(
                "warmup goes with schedules that are a name or a function; one_cycle has its own, "
                "and a torch scheduler takes one by SequentialLR"
            )
        if self.every not in ("step", "epoch"):
            raise InputError(f"schedule_every is {self.every!r}; it must be 'step' or 'epoch'")

    @property
    def _makes(self) -> bool:
        """Whether it makes a scheduler of an optimizer, and is no function of two numbers."""
        if self.of is None or isinstance(self.of, str):
            return False
        if isinstance(self.of, Followed):
            return True
        made: Any = self.of
        while isinstance(made, functools.partial):
            made = made.func
        if isinstance(made, type):
            return True
        parameters = inspect.signature(self.of).parameters.values()
        needed = [
            p for p in parameters
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]  # fmt: skip
        return len(needed) < 2

    @property
    def ends(self) -> bool:
        """Whether it follows from the length of the run, so that it must be known beforehand.

        What makes a scheduler of torch is told no length: it goes on as it was written.
        """
        if isinstance(self.of, Followed):
            return self.of.ends
        return (self.of not in (None, "constant") and not self._makes) or 0 < self.warmup < 1

    @property
    def branches(self) -> bool:
        """Whether it ends, and longer runs begin as shorter ones do."""
        return self.of == "wsd" and not 0 < self.warmup < 1

    def shared(self, total: int) -> int:
        """The first so many updates of a run of this length are those of any longer one; all of
        them where it has no end."""
        if not self.ends:
            return total
        if not self.branches:
            return 0
        return next(step for step in range(total + 1) if wsd(step, total) < 1)

    @property
    def frequency(self) -> int:
        """The updates or epochs of one of its steps."""
        return self.of.frequency if isinstance(self.of, Followed) else 1

    @property
    def acts(self) -> bool:
        """Whether it changes any rate."""
        return self.of not in (None, "constant") or self.warmup > 0

    @property
    def told(self) -> str | None:
        """It in words; None where nothing changes."""
        if not self.acts:
            return None
        made = getattr(self.of, "func", self.of)  # of a partial
        name = made if isinstance(made, str) else getattr(made, "__name__", "")
        name = "constant" if self.of is None else name if name.isidentifier() else "given"
        if not self.warmup:
            return f"{name} schedule"
        share = f"{self.warmup:.0%} of it" if self.warmup < 1 else f"{self.warmup:g} updates"
        return f"{name} schedule with a warm-up of {share}"

    def scheduler(self, optimizer: torch.optim.Optimizer, total: int) -> Any:
        """The scheduler of an optimizer, for a run of so many updates; None if nothing changes.

        Raises :class:`InputError` if what the user gave makes none.
        """
        if not self.acts:
            return None
        if self.of == "one_cycle":
            top = [group["lr"] for group in optimizer.param_groups]
            return OneCycleLR(optimizer, top, total_steps=total + 1, cycle_momentum=False)
        if isinstance(self.of, Followed):
            return self.of(optimizer, total)
        if self._makes:
            return self._of_optimizer(optimizer)
        factor: Any = self.of if callable(self.of) else FACTORS[self.of or "constant"]
        warm = self.warmup * total if self.warmup < 1 else self.warmup

        def at(step: int) -> float:
            share = float(factor(step, total))
            if not 0 <= share < math.inf:
                raise InputError(
                    f"schedule gives {share:g} for update {step} of {total}; it must give a factor "
                    "of the learning rate, from 0 on"
                )
            return min(1.0, (step + 1) / warm if warm else 1.0) * share

        return LambdaLR(optimizer, at)

    def monitor(self, scheduler: Any) -> str | None:
        """What the scheduler of a run is told at each step, as :class:`Followed` has it.

        A plateau follows the loss of validation where it looks for the least, and the metric where
        it looks for the most.
        """
        if isinstance(self.of, Followed):
            return self.of.monitor
        scheduler = getattr(scheduler, "scheduler", scheduler)  # that which is followed
        if not isinstance(scheduler, ReduceLROnPlateau):
            return None
        return METRIC if scheduler.mode == "max" else VALID_LOSS

    def cycles(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether it changes the momentum of an optimizer, too."""
        if isinstance(self.of, Followed):
            found = self.of.sets
        elif not self._makes:
            return False
        else:
            theirs = stands_in(optimizer)
            found = changed(theirs, self._made_of(theirs))
        return not found.isdisjoint(MOMENTUM)

    def due(self, step: int, epochs: int | None, place: int) -> bool:
        """Whether the rates change after so many updates: ``place`` are those of the present epoch,
        ``epochs`` how many have ended, where one ends here."""
        if self.every == "epoch":
            return epochs is not None and epochs % self.frequency == 0
        anew = isinstance(self.of, Followed) and self.of.anew
        return (place if anew else step) % self.frequency == 0

    def _of_optimizer(self, optimizer: torch.optim.Optimizer) -> Any:
        """What the user's function makes of it; where the optimizer has not one momentum that such
        a scheduler could change, of one that has."""
        if takes_a_momentum(optimizer):
            return self._made_of(optimizer)
        theirs = stands_in(optimizer)
        return Following(optimizer, theirs, self._made_of(theirs))

    def _made_of(self, optimizer: torch.optim.Optimizer) -> Any:
        try:
            made = self.of(optimizer)
        except TypeError as error:
            if inspect.isfunction(self.of):
                raise InputError(
                    f"schedule is called with an optimizer, as it takes one argument, and fails: "
                    f"{error}; a factor of the learning rate is a function of (step, total)"
                ) from error
            raise
        if not hasattr(made, "step") or not hasattr(made, "state_dict"):
            raise InputError(
                f"schedule made a {type(made).__name__} of an optimizer; it must make a "
                "scheduler of torch.optim.lr_scheduler"
            )
        if isinstance(made, ReduceLROnPlateau) and self.every == "step":
            raise InputError(
                "a ReduceLROnPlateau asks how good the model is on the validation set, which "
                "takes long after every update; give schedule_every='epoch'"
            )
        return Numbered(made, self.every) if hasattr(made, "step_update") else made
