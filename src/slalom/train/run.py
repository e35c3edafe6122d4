"""One training run: made of a task, an optimizer and a seed, and resumable to the bit."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from slalom.errors import InputError
from slalom.train import atomic
from slalom.train.ahead import Ahead, Carrier
from slalom.train.batches import Updates
from slalom.train.clipping import Clipping
from slalom.train.evaluation import Evaluation
from slalom.train.followed import METRIC, VALID_LOSS
from slalom.train.held import Held, saved_buffers
from slalom.train.models import at_their_best, judging
from slalom.train.rates import Rates
from slalom.train.rng import RandomStream, seed_of
from slalom.train.task import Task
from slalom.train.updating import Updating

MakeOptimizer = Callable[[Iterable[Any]], torch.optim.Optimizer]


class Run(Updating):
    """A training run.

    Equal task, optimizer and seed give equal parameters, to the bit; so does a run that was saved
    and loaded on its way, dropout included. The random numbers of the run are its own: the global
    ones are left as they were found.

    Args:
        task: what to train.
        make_optimizer: parameters -> the optimizer.
        seed: of the initial parameters, of the order of the samples, and of the model's noise.
        batch_size: samples in an update, the task's by default; ``"all"`` for batch gradient
            descent, with the gradient of the mean loss over all samples of an epoch.
        updates: of the whole run, which schedules end with; by default those of ``max_steps``.

    Attributes:
        least: updates that it can go on by at least.
        model, objective, optimizer: of this run alone.
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
        updates: int | None = None,
    ):
        self.task, self.seed, self.least = task, seed, 1
        self.model = self._placed(task.make_model(seed))
        # other streams than that of the initial parameters, which would go with them otherwise
        with RandomStream(seed_of(seed, 7), task.device):
            self.objective = task.make_objective()
            for module in self.objective.modules_that_learn():
                self._placed(module)
            self.optimizer = make_optimizer(task.parameters(self.model, self.objective))
        self.step = self.samples = 0
        self.seconds = 0.0
        self.diverged: str | None = None
        self._whole, self._on_cpu = batch_size == "all", task.device.type == "cpu"
        m: Any = task.batch_size if batch_size is None else batch_size
        if not self._whole and not (isinstance(m, int) and 1 <= m <= task.n_train):
            raise InputError(f"a batch of {m} cannot be drawn from {task.n_train} samples")
        self._size = task.n_train if self._whole else m
        self._part = max(1, self._size // task.accumulate)  # samples that go through at a time
        if self._whole:
            self._part = task.whole(self.model)
        else:
            drawn = task.train.batches(self._part, seed, replacement=task.replacement)
            every = task.updates_per_epoch(self._size) if task.replacement else None
            self._updates: Any = Updates(drawn, task.accumulate, every)
        self._random = RandomStream(seed_of(seed, 2), task.device)
        self._judging = RandomStream(seed, task.device)
        self._modules = (self.model, *self.objective.modules())
        self._parameters = [p for module in self._modules for p in module.parameters()]
        self._first_loss: float | None = None
        self._recent: tuple[float, int] = (0.0, 0)
        if updates is None:
            updates = max(1, math.ceil(task.max_steps * task.batch_size / self._size))
        self.objective.length = updates
        if task.device.type == "cuda" and not self._whole:
            self._updates = Ahead(self._updates, Carrier(task.device), updates)
        self._pace = Rates(task.schedule, self.optimizer, updates)
        self._judged: tuple[int, float, float] | None = None
        self._scaler = None
        if task.precision == torch.float16:
            self._scaler = torch.amp.GradScaler(task.device.type)
        self._average = None
        if task.ema is not None:
            self._average = self._averaging(get_ema_multi_avg_fn(task.ema))
        self._clip = Clipping(task, self.optimizer, self._parameters)
        closure = inspect.signature(self.optimizer.step).parameters.get("closure")
        self._closed = closure is not None and closure.default is closure.empty
        if self._closed and len(self.objective.turns) > 1:
            raise InputError(
                f"a {type(self.optimizer).__name__} asks for the loss by itself, and a model in "
                "parts has several; leave it out"
            )

    def _placed(self, module: nn.Module) -> nn.Module:
        """The model, or a loss that learns, as this run holds it: in place, before an optimizer is
        made of its parameters."""
        return module

    def _averaging(self, average: Any) -> AveragedModel:
        """What holds the average of the weights, which ``average`` updates."""
        return AveragedModel(self.model, multi_avg_fn=average)

    def _told(self, name: str) -> float:
        """What a schedule is told of the model on the validation set."""
        start = time.perf_counter()
        self._judged = self.step, *self._judge()  # if it is asked for here, too
        _, loss, metric = self._judged
        told = {VALID_LOSS: loss, METRIC: metric}
        found = told[name] if name in told else self.objective.logged(name)
        self.seconds -= time.perf_counter() - start  # which count updates alone
        return found

    def evaluate(self) -> Evaluation:
        """Measure the model on the validation set; the run goes on as if this had not been."""
        (step, *known), self._judged = self._judged or (-1,), None
        return self.found(*(known if step == self.step else self._judge()))

    def found(self, loss: float, metric: float) -> Evaluation:
        """Where the run stands, by what was measured of its model."""
        total, done = self._recent
        self._recent = 0.0, 0
        return Evaluation(
            self.step, self.samples, self.seconds, total / done if done else math.nan, loss, metric
        )

    def _judge(self) -> tuple[float, float]:
        """(mean loss, metric) on the validation set."""
        self._judging.seed(self.seed)
        modules = (self.judged, *self.objective.modules())
        with self.at_their_best(), judging(modules), self._judging:
            return self.task.judge(self.judged, self.objective)

    @property
    def judged(self) -> nn.Module:
        """The model that is evaluated: the average of the weights, where there is one."""
        return self.model if self._average is None else self._average.module

    def weights(self) -> dict[str, torch.Tensor]:
        """Copies of the weights that are evaluated, as the model's ``state_dict`` names them."""
        with self.at_their_best():
            return {n: t.detach().cpu().clone() for n, t in self.judged.state_dict().items()}

    def trained(self) -> nn.Module:
        """The model with these weights; the run cannot go on from it."""
        self.model.load_state_dict(self.weights())
        return self.model.eval()

    def at_their_best(self) -> AbstractContextManager[None]:
        """Within it the weights are those that are to be used."""
        return at_their_best(self.optimizer, self._parameters)

    def state_dict(self) -> dict[str, Any]:
        """All that a run of the same task, optimizer and seed needs to go on from here."""
        return {
            "kind": self._kind(), "model": self.model.state_dict(),
            "objective": [module.state_dict() for module in self._modules[1:]],
            "attributes": self._held().state(),
            "optimizer": self.optimizer.state_dict(), "noise": self._random.state(),
            "others": {n: o.state_dict() for n, o in self._others().items()},
            "step": self.step, "samples": self.samples, "seconds": self.seconds,
            "diverged": self.diverged, "first_loss": self._first_loss, "recent": self._recent,
        }  # fmt: skip

    def _held(self) -> Held:
        """What is kept in attributes of the model, of the loss, and of an optimizer of others."""
        parts: list[Any] = [part for module in self._modules for part in module.modules()]
        buffers = [b for module in self._modules for b in saved_buffers(module)]
        if type(self.optimizer).__module__.partition(".")[0] not in ("torch", "slalom"):
            parts.append(self.optimizer)
        return Held(parts, [*self._parameters, *buffers])

    def _others(self) -> dict[str, Any]:
        """What else has a state."""
        found = {"schedule": self._pace, "scaler": self._scaler, "average": self._average}
        return {name: other for name, other in found.items() if other is not None}

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
            for module, own in zip(self._modules[1:], state["objective"], strict=True):
                module.load_state_dict(own)
            self.optimizer.load_state_dict(state["optimizer"])
            for name, other in self._others().items():
                other.load_state_dict(state["others"][name])
            self._held().restore(state["attributes"])
        except (RuntimeError, ValueError, KeyError) as error:
            first = (str(error).splitlines() or [""])[0]
            raise InputError(f"the state is of another model or optimizer: {first}") from error
        self._random.set_state(state["noise"])
        self.step, self.samples, self.seconds = state["step"], state["samples"], state["seconds"]
        self.diverged, self._first_loss = state["diverged"], state["first_loss"]
        self._recent, self._judged = state["recent"], None

    def _kind(self) -> dict[str, Any]:
        """What must be equal for one run to go on where another stopped."""
        return {
            "seed": self.seed, "batch size": self._size, "number of samples": self.task.n_train,
            "replacement": self.task.replacement, "full gradient": self._whole,
        }  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Write the state to a file that is whole or not there, whatever happens meanwhile."""
        atomic.save(Path(path), self.state_dict())

    def load(self, path: str | Path) -> None:
        """Go on from a file written by :meth:`save`; :class:`InputError` if it is damaged."""
        self.load_state_dict(atomic.load(Path(path)))
