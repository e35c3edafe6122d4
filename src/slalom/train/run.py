"""One training run: made of a task, an optimizer and a seed, and resumable to the bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from slalom.train import checkpoint
from slalom.train.batches import Batches
from slalom.train.gradient import full_gradient
from slalom.train.samples import moved
from slalom.train.task import Task

BLOWN = 1e3
"""A run has diverged when its loss is not finite, or above so many times the first loss plus 1."""

EVALUATED = 1024
"""Samples of the validation set that go through the model at a time."""

MakeOptimizer = Callable[[Iterable[Tensor]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Evaluation:
    """Where a run stands.

    Attributes:
        step: updates made.
        samples: training samples seen.
        seconds: spent in updates, without evaluations.
        train_loss: mean over the updates since the last evaluation; NaN before the first.
        valid_loss: mean over the validation set.
        metric: the task's, on the validation set.
    """

    step: int
    samples: int
    seconds: float
    train_loss: float
    valid_loss: float
    metric: float


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
        self.task = task
        self.model = task.make_model(seed)
        self.optimizer = make_optimizer([p for p in self.model.parameters() if p.requires_grad])
        self.step = self.samples = 0
        self.seconds = 0.0
        self.diverged: str | None = None
        self._whole = batch_size == "all"
        m = task.n_train if batch_size == "all" else batch_size or task.batch_size
        self._batches = Batches(task.n_train, m, seed)
        self._random = torch.Generator().manual_seed(seed).get_state()
        self._first_loss: float | None = None
        self._recent: tuple[float, int] = (0.0, 0)

    def advance(self, steps: int) -> None:
        """Make so many updates, fewer if the run diverges."""
        if self.diverged is not None:
            return
        outside = torch.get_rng_state()
        torch.set_rng_state(self._random)
        start = time.perf_counter()
        total, done = self._recent
        try:
            for _ in range(steps):
                loss = self._update()
                if not self._sound(loss):
                    break
                total, done = total + loss, done + 1
        finally:
            self._recent = total, done
            self.seconds += time.perf_counter() - start
            self._random = torch.get_rng_state()
            torch.set_rng_state(outside)

    def _update(self) -> float:
        if self._whole:
            value = full_gradient(self.model, self.task.loss, self.task.train)
            indices = self.task.n_train
        else:
            chosen = self._batches[self.step]
            inputs, targets = self.task.train.fetch(chosen)
            if self.task.device.type != "cpu":
                inputs, targets = (moved(x, self.task.device) for x in (inputs, targets))
            self.optimizer.zero_grad()
            loss = self.task.loss(self.model(inputs), targets)
            loss.backward()
            value, indices = loss.item(), len(chosen)
        self.optimizer.step()
        self.step += 1
        self.samples += indices
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
        mode = getattr(self.optimizer, "eval", None), getattr(self.optimizer, "train", None)
        if callable(mode[0]):  # Schedule-Free: the point to judge is not the one that is trained
            mode[0]()
        self.model.eval()
        outputs, loss = [], 0.0
        task, n = self.task, self.task.n_valid
        targets_seen = []
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for begin in range(0, n, EVALUATED):
                inputs, targets = (
                    moved(x, task.device) for x in task.valid.span(begin, begin + EVALUATED)
                )
                output = self.model(inputs)
                share = min(EVALUATED, n - begin)
                summed = getattr(task.loss, "reduction", "mean") == "sum"
                loss += task.loss(output, targets).item() * (1 if summed else share)
                outputs.append(output)
                targets_seen.append(targets)
            loss /= n
            metric = task.metric.measure(torch.cat(outputs), torch.cat(targets_seen), loss)
        self.model.train()
        if callable(mode[0]) and callable(mode[1]):
            mode[1]()
        total, done = self._recent
        self._recent = 0.0, 0
        return Evaluation(
            self.step, self.samples, self.seconds, total / done if done else math.nan, loss,
            float(metric),
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """All that a run of the same task, optimizer and seed needs to go on from here."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step, "samples": self.samples, "seconds": self.seconds,
            "diverged": self.diverged, "random": self._random,
            "first_loss": self._first_loss, "recent": list(self._recent),
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was taken."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.samples, self.seconds = state["step"], state["samples"], state["seconds"]
        self.diverged, self._random = state["diverged"], state["random"]
        self._first_loss = state["first_loss"]
        total, done = state["recent"]
        self._recent = total, done

    def save(self, path: Path) -> None:
        """Write the state to a file that is whole or not there, whatever happens meanwhile."""
        checkpoint.save(path, self.state_dict())

    def load(self, path: Path) -> None:
        """Go on from a file written by :meth:`save`; :class:`InputError` if it is damaged."""
        self.load_state_dict(checkpoint.load(path))
