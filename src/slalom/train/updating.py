"""How a run makes its updates."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from slalom.train.ahead import Ahead
from slalom.train.backward import backward
from slalom.train.clipping import Clipping
from slalom.train.gradient import summed_gradient
from slalom.train.objective import Objective
from slalom.train.rates import Rates
from slalom.train.reduction import Reduction
from slalom.train.rng import RandomStream
from slalom.train.task import Task
from slalom.train.tree import moved

BLOWN = 1e3
"""A run has diverged when its loss is not finite, or above so many times the first loss plus 1."""


_PLAIN = ("_update", "_turn", "_next", "_gradient", "_backward", "_apply", "_count", "_noted")
"""Methods that :meth:`Updating._plainly` does not call, or not always."""


class Updating:
    """The updates of a :class:`slalom.train.run.Run`, which is made and kept there."""

    task: Task
    seed: int
    model: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    step: int
    samples: int
    seconds: float
    diverged: str | None
    _whole: bool
    _on_cpu: bool
    _closed: bool
    _part: int
    _updates: Any
    _random: RandomStream
    _parameters: list[nn.Parameter]
    _first_loss: float | None
    _recent: tuple[float, int]
    _pace: Rates
    _scaler: torch.amp.GradScaler | None
    _average: Any
    _clip: Clipping

    _as_here = True
    """Whether a class makes its updates as they are made here."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._as_here = all(getattr(cls, name) is getattr(Updating, name) for name in _PLAIN)

    @abstractmethod
    def _told(self, name: str) -> float:
        """What a schedule is told of the model on the validation set."""

    def advance(self, steps: int) -> float:
        """Make so many updates, fewer if the run diverges; the mean loss over those made."""
        if self.diverged is not None:
            return math.nan
        losses: list[float] = []
        with self._drawing():
            start = time.perf_counter()
            try:
                while steps and self.diverged is None:
                    steps -= self._make(steps, losses)
            finally:
                self.seconds += time.perf_counter() - start
        return sum(losses) / len(losses) if losses else math.nan

    def _drawing(self) -> AbstractContextManager[None]:
        """Within it the random numbers that updates draw are those of this run."""
        return self._random

    def _make(self, steps: int, losses: list[float]) -> int:
        """Make so many updates, or fewer; how many. Their losses go to ``losses``."""
        if self._is_plain and self._first_loss is not None:
            return self._plainly(steps, losses)
        loss = self._update()
        if self._noted(loss) and math.isfinite(loss):
            losses.append(loss)
        return 1

    @property
    def _is_plain(self) -> bool:
        """Whether an update is no more than forward, backward and step of one batch."""
        task = self.task
        return (
            self._as_here and self._on_cpu and not self._whole and not self._closed
            and task.accumulate == 1 and self.objective.turns == (None,) and self._scaler is None
            and self._average is None and task.reduction.kind != "sum"
            and not isinstance(self._updates, Ahead)
        )  # fmt: skip

    def _plainly(self, steps: int, losses: list[float]) -> int:
        """As :meth:`_make`, where :attr:`_is_plain`: what ``_update`` and ``_noted`` do, in one
        frame. Of a small net each call from one method to the next costs a hundredth of an update.

        Ends with the first loss that would have to be looked at more closely.
        """
        clear, batches, learn, step = self.clear, self._updates, self._learn, self.optimizer.step
        clip = self._clip if self._clip.needed else None
        most = BLOWN * (abs(self._first_loss or 0.0) + 1)
        for made in range(steps):
            ((batch, n),) = batches[self.step]
            clear()
            value = learn(batch)
            if not -math.inf < value <= most:
                if self._usable(value):
                    self._apply()
                self._count(value, n)
                if self._noted(value) and math.isfinite(value):
                    losses.append(value)
                return made + 1
            if clip is not None:
                clip(None)
            step()
            self._count(value, n)
            total, done = self._recent
            self._recent = total + value, done + 1
            losses.append(value)
        return steps

    def _update(self) -> float:
        batches, n = self._next()
        if self._closed:
            found: list[float] = []

            def closure() -> float:
                found.append(self._gradient(batches))
                return found[-1]

            self.optimizer.step(closure)
            value = found[0]
        elif len(turns := self.objective.turns) == 1:
            value = self._turn(turns[0], batches)
        else:
            value = sum(self._turn(turn, batches) for turn in turns)
        self._count(value, n)
        return value

    def batch(self) -> tuple[Any, int] | None:
        """(the next batch, its samples), for :meth:`take`; None where an update is made of more
        than the gradient of one batch."""
        if self._whole or self._closed:
            return None
        batches, n = self._next()
        return (batches[0][0], n) if len(batches) == 1 else None

    def take(self, loss: float, n: int) -> float:
        """Make the update of gradients that were set from outside, of the loss of ``n`` samples,
        and return their mean; the clock and random numbers are the caller's."""
        loss = loss / n if self.task.reduction.kind == "sum" else loss
        if self._usable(loss):
            self._apply()
        self._count(loss, n)
        self._noted(loss)
        return loss

    def _count(self, value: float, n: int) -> None:
        """An update of this loss and so many samples was made."""
        self.step += 1
        self.samples += n
        if self._pace.scheduler is not None:
            ends = self._whole or self._updates.ended
            self._pace.after(self.step, value, n, ends, self._told)
        if self._average is not None:
            self._average.update_parameters(self.model)

    def _turn(self, turn: str | None, batches: Any) -> float:
        """Update a part of the model, or all of it; the loss it was updated by."""
        self.objective.turn = turn
        value = self._gradient(batches)
        if turn is not None and (part := self.objective.part(self.model)) is not None:
            own = set(map(id, part))
            for parameter in self._parameters:  # what has no gradient is passed over
                if id(parameter) not in own:
                    parameter.grad = None
        if self._usable(value):
            self._apply()
        return value

    def _usable(self, loss: float) -> bool:
        """Whether an update may be made of the gradients there are."""
        return True

    def _next(self) -> tuple[Any, int]:
        """(the batches of the next update, their samples); of all samples they are made anew."""
        task = self.task
        if self._whole:
            return lambda: task.train.chunks(self._part, self.seed, self.step), task.n_train
        batches = self._updates[self.step]
        return batches, batches[0][1] if len(batches) == 1 else sum(n for _, n in batches)

    def _gradient(self, batches: Any) -> float:
        """Set the gradient of the batches; their mean loss."""
        task = self.task
        self.clear()
        if not self._whole and len(batches) == 1:
            batch, n = batches[0]
            if not self._on_cpu:
                batch = moved(batch, task.device)
            value = self._learn(batch)
            return value / n if task.reduction.kind == "sum" else value
        drawn: Any = batches() if callable(batches) else batches
        return self._summed(drawn, batches)

    def _learn(self, batch: Any) -> float:
        """Set the gradient of one batch, where there is none; its loss."""
        loss = self._loss(batch)
        self._backward(loss)
        if isinstance(self._updates, Ahead):  # while the device is at work
            self._updates.after(self.step)
        return loss.item()

    def clear(self) -> None:
        """Drop all gradients, as zero_grad does, which takes 20 times as long."""
        for parameter in self._parameters:
            parameter.grad = None

    def _summed(self, drawn: Iterable[tuple[Any, int]], batches: Any, **more: Any) -> float:
        """Set the gradient of many batches, or of the parts of them that are ``drawn`` here."""
        task = self.task
        return summed_gradient(
            self._loss, self._parameters, drawn,
            task.n_train if self._whole else sum(n for _, n in batches),
            self._reduction, task.device, self._backward, as_reduced=not self._whole, **more,
        )  # fmt: skip

    @property
    def _reduction(self) -> Reduction:
        """How batches are put together."""
        return self.task.reduction

    def _loss(self, batch: Any) -> Any:
        self.objective.updates = self.step
        if self.task.precision is None:
            return self.objective.loss(self.model, batch)
        with self.task.numbers():
            return self.objective.loss(self.model, batch)

    def _backward(self, loss: Any) -> None:
        backward(loss if self._scaler is None else self._scaler.scale(loss))

    def _apply(self) -> None:
        """Clip the gradients and update."""
        scaler = self._scaler
        self._clip(scaler)
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)
            scaler.update()

    def _noted(self, loss: float) -> bool:
        """Keep the loss of an update; whether the run can go on."""
        if not self._sound(loss):
            return False
        if math.isfinite(loss):  # no update was left out
            total, done = self._recent  # one by one, which rounds alike wherever a run is cut
            self._recent = total + loss, done + 1
        return True

    def _sound(self, loss: float) -> bool:
        if self._first_loss is None:
            self._first_loss = loss
        if not math.isfinite(loss):
            self.diverged = f"the loss was {loss} in step {self.step}"
        elif loss > BLOWN * (abs(self._first_loss) + 1):
            self.diverged = f"the loss rose from {self._first_loss:.3g} to {loss:.3g}"
        return self.diverged is None
