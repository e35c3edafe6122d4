"""One training run: made of a task, an optimizer and a seed, and resumable to the bit."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from slalom.errors import InputError
from slalom.train import atomic
from slalom.train.batches import Batches
from slalom.train.evaluation import Evaluation
from slalom.train.gradient import full_gradient
from slalom.train.rng import RandomStream
from slalom.train.samples import moved
from slalom.train.task import Task

BLOWN = 1e3
"""A run has diverged when its loss is not finite, or above so many times the first loss plus 1."""

MakeOptimizer = Callable[[Iterable[Any]], torch.optim.Optimizer]


class Run:
    """A training run.

    Equal task, optimizer and seed give equal parameters, to the bit; so does a run that was saved
    and loaded on its way, dropout included. The random numbers of the run are its own: the global
    ones are left as they were found.

    Args:
        task: what to train.
        make_optimizer: parameters -> the optimizer.
        seed: of the initial parameters, of the order of the samples, and of the model's noise.
        batch_size: samples in an update, the task's by default; ``"all"`` for batch gradient
            descent, with the gradient of the mean loss over all samples.

    Attributes:
        step: updates made so far.
        samples: training samples seen so far.
        seconds: spent in updates so far.
        diverged: why the run cannot go on; None if it can.
    """

    def __init__(
        self,
        task: Task,
        make_optimizer: MakeOptimizer,
        seed: int,
        *,
        batch_size: int | Literal["all"] | None = None,
    ):
        self.task, self.seed = task, seed
        self.model = task.make_model(seed)
        self.optimizer = make_optimizer(task.parameters(self.model))
        self.step = self.samples = 0
        self.seconds = 0.0
        self.diverged: str | None = None
        self._whole = batch_size == "all"
        m: Any = task.batch_size if batch_size is None else batch_size
        self._batches = Batches(
            task.n_train, task.n_train if self._whole else m, seed, replacement=task.replacement
        )
        # another stream than that of the initial parameters, which would go with them otherwise
        noise = int(np.random.SeedSequence((seed, 2)).generate_state(1)[0])
        self._random = RandomStream(noise, task.device, wide=task.train.arrays is None)
        self._parameters = list(self.model.parameters())
        self._summed = task.reduction.kind == "sum"
        self._first_loss: float | None = None
        self._recent: tuple[float, int] = (0.0, 0)

    def advance(self, steps: int) -> float:
        """Make so many updates, fewer if the run diverges; the mean loss over those made."""
        if self.diverged is not None:
            return math.nan
        losses: list[float] = []
        with self._random:
            start = time.perf_counter()
            try:
                for _ in range(steps):
                    loss = self._update()
                    if not self._sound(loss):
                        break
                    losses.append(loss)
            finally:
                self.seconds += time.perf_counter() - start
                total, done = self._recent
                for loss in losses:  # one by one, which rounds alike wherever a run is cut
                    total += loss
                self._recent = total, done + len(losses)
        return sum(losses) / len(losses) if losses else math.nan

    def _update(self) -> float:
        task = self.task
        if self._whole:
            value = full_gradient(self.model, task.loss, task.train, reduction=task.reduction)
            n = task.n_train
        else:
            chosen = self._batches[self.step]
            n = len(chosen)
            inputs, targets = task.train.fetch(chosen)
            if task.device.type != "cpu":
                inputs, targets = moved(inputs, task.device), moved(targets, task.device)
            for parameter in self._parameters:  # as zero_grad does, which takes 20 times as long
                parameter.grad = None
            loss = task.loss(self.model(inputs), targets)
            loss.backward()
            value = loss.item() / n if self._summed else loss.item()
        self.optimizer.step()
        self.step += 1
        self.samples += n
        return value

    def _sound(self, loss: float) -> bool:
        if self._first_loss is None:
            self._first_loss = loss
        if not math.isfinite(loss):
            self.diverged = f"the loss was {loss} in step {self.step}"
        elif loss > BLOWN * (abs(self._first_loss) + 1):
            self.diverged = f"the loss rose from {self._first_loss:.3g} to {loss:.3g}"
        return self.diverged is None

    def evaluate(self) -> Evaluation:
        """Measure the model on the validation set; the run goes on as if this had not been."""
        with (
            self._to_judge(),
            RandomStream(self.seed, self.task.device, wide=self.task.valid.arrays is None),
        ):
            loss, metric = self.task.judge(self.model)
        total, done = self._recent
        self._recent = 0.0, 0
        return Evaluation(
            self.step, self.samples, self.seconds, total / done if done else math.nan, loss, metric
        )

    @contextlib.contextmanager
    def _to_judge(self) -> Iterator[None]:
        """The model as it is to be used; afterwards all is, to the bit, as it was."""
        to_eval, to_train = (getattr(self.optimizer, n, None) for n in ("eval", "train"))
        self.model.eval()
        if callable(to_eval) and callable(to_train):
            # Schedule-Free goes to its average, and its way back would round
            trained = [p.detach().clone() for p in self._parameters]
            to_eval()
            yield
            to_train()
            with torch.no_grad():
                for parameter, value in zip(self._parameters, trained, strict=True):
                    parameter.copy_(value)
        else:
            yield
        self.model.train()

    def state_dict(self) -> dict[str, Any]:
        """All that a run of the same task, optimizer and seed needs to go on from here."""
        return {
            "kind": self._kind(), "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(), "noise": self._random.state(),
            "step": self.step, "samples": self.samples, "seconds": self.seconds,
            "diverged": self.diverged, "first_loss": self._first_loss, "recent": self._recent,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was taken.

        Raises :class:`InputError` if that was in a run of another seed, batch size, data or model.
        """
        ours, theirs = self._kind(), state.get("kind") or {}
        for name, value in ours.items():
            if theirs.get(name) != value:
                raise InputError(
                    f"the state is of a run whose {name} is {theirs.get(name)}, and here it is "
                    f"{value}; make the run with the same"
                )
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            first = (str(error).splitlines() or [""])[0]
            raise InputError(f"the state is of another model or optimizer: {first}") from error
        self._random.set_state(state["noise"])
        self.step, self.samples, self.seconds = state["step"], state["samples"], state["seconds"]
        self.diverged, self._first_loss = state["diverged"], state["first_loss"]
        self._recent = state["recent"]

    def _kind(self) -> dict[str, Any]:
        """What must be equal for one run to go on where another stopped."""
        batches = self._batches
        return {
            "seed": self.seed, "batch size": batches.m, "number of samples": batches.n,
            "replacement": batches.replacement, "full gradient": self._whole,
        }  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Write the state to a file that is whole or not there, whatever happens meanwhile."""
        atomic.save(Path(path), self.state_dict())

    def load(self, path: str | Path) -> None:
        """Go on from a file written by :meth:`save`; :class:`InputError` if it is damaged."""
        self.load_state_dict(atomic.load(Path(path)))
