"""Loops that people write by hand, as a race can drive them: generators that yield their metric."""

from __future__ import annotations

import functools
import inspect
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from slalom.errors import InputError
from slalom.train.budget import Budget
from slalom.train.compiled import CompiledRun
from slalom.train.evaluation import Evaluation
from slalom.train.metrics import Metric
from slalom.train.rng import RandomStream
from slalom.train.run import MakeOptimizer, Run
from slalom.train.task import Task


class Trial:
    """What a loop is given: its optimizer, and its seed.

    Attributes:
        seed: of the run. The global generators of torch, NumPy and Python are seeded with it.
        steps: updates made so far.
    """

    def __init__(self, make: MakeOptimizer, seed: int):
        self._make, self.seed, self.steps = make, seed, 0
        self.parameters: list[Any] = []

    def optimizer(self, params: Iterable[Any]) -> torch.optim.Optimizer:
        """The optimizer that is raced, for parameters or groups of them.

        A loop that trains several parts, as of a GAN, asks for one for each: all are of the rule
        and setting that is raced. Updates are counted at the first.
        """
        first = not self.parameters
        given = [_group(g) if isinstance(g, Mapping) else g for g in params]
        parts = [p for g in given for p in (g["params"] if isinstance(g, dict) else [g])]
        if not parts:
            raise InputError("the loop asks for an optimizer of no parameters")
        self.parameters += [p[1] if isinstance(p, tuple) else p for p in parts]  # (name, parameter)
        made = self._make(given)
        if first:
            made.register_step_post_hook(self._count)
        return made

    def _count(self, *stepped: Any) -> None:
        self.steps += 1


def _group(given: Mapping[str, Any]) -> dict[str, Any]:
    """A group whose parameters can be gone through more than once."""
    params = given["params"]
    return {**given, "params": [params] if isinstance(params, Tensor) else list(params)}


Written = Callable[[Trial], Iterator[Any]]


class _Begun(BaseException):
    """A loop has asked for its optimizer, and no more of it is wanted."""


class _Untrained:
    """Makes what a loop trains, as one module of its parameters."""

    def __init__(self, loop: Written):
        self._loop = loop

    def __call__(self) -> nn.Module:
        trial = Trial(_stop, torch.initial_seed())
        try:
            next(self._loop(trial), None)
        except _Begun:
            return nn.ParameterList(p.detach().clone() for p in trial.parameters)
        raise InputError("the loop asks for no optimizer before it yields; call trial.optimizer")


def _stop(params: Iterable[Any]) -> torch.optim.Optimizer:
    raise _Begun


class Loop(Task):
    """A loop of the user's own as a task; see :func:`trial`."""

    def __init__(
        self, loop: Written, *, metric: str, target: float | None, higher_is_better: bool,
        every: int, max_steps: int, name: str | None,
    ):  # fmt: skip
        if not inspect.isgeneratorfunction(loop):
            raise InputError(
                "trial takes a function of one argument that yields its metric every few updates"
            )
        nothing = (torch.zeros(1, 1),)
        super().__init__(
            _Untrained(loop), train=nothing, valid=nothing, batch_size=1, step=_told,
            metric=Metric(metric, higher_is_better, "loss", float), target=target,
            max_steps=max_steps, eval_every=every, held_out=True,
            name=name or loop.__name__.replace("_", "-"),
        )  # fmt: skip
        self.loop = loop

    def _last(self, budget: str | Budget) -> None:
        given, most = Budget.read(budget), self.max_steps
        if given.unit != "steps":
            raise InputError(
                "a loop of one's own counts its updates alone; give the budget in steps"
            )
        if given.amount % self.eval_every:
            raise InputError(
                f"the loop yields every {self.eval_every} updates, and a budget of {given} ends "
                "between; give a multiple"
            )
        if given.amount > most:
            raise InputError(
                f"the loop makes {most} updates, and the budget is {given}; give less, or raise "
                "its max_steps"
            )
        super()._last(given)

    def check(self) -> None:
        """Raise :class:`InputError` for what would go wrong in the first evaluations."""
        run = LoopRun(self, functools.partial(torch.optim.SGD, lr=1e-4), 0)
        for _ in range(2):
            run.advance(self.eval_every)


def _told(model: nn.Module, batch: Any) -> Tensor:
    raise InputError("a loop of one's own makes its updates itself")


class LoopRun:
    """A run of a loop, as :class:`slalom.train.run.Run` is one of a task.

    It lives in the generator, and cannot be written to a file: one that is lost is run again.

    Attributes:
        model: the parameters that are trained.
    """

    def __init__(
        self, task: Loop, make_optimizer: MakeOptimizer, seed: int, *,
        batch_size: int | Literal["all"] | None = None, updates: int | None = None,
    ):  # fmt: skip
        if batch_size is not None:
            raise InputError("a loop of one's own makes its batches itself")
        self.task, self.seed = task, seed
        self.seconds, self.diverged = 0.0, None
        self._trial = Trial(make_optimizer, seed)
        self._random = RandomStream(seed, task.device)
        self._loop = task.loop(self._trial)
        self._value: Any = None
        self.least = task.eval_every

    @property
    def step(self) -> int:
        """Updates made so far."""
        return self._trial.steps

    @property
    def model(self) -> nn.Module:
        """The parameters that are trained."""
        return nn.ParameterList(self._trial.parameters)

    def advance(self, steps: int) -> float:
        """Go on by so many updates, to what the loop yields then.

        Raises :class:`InputError` where it yields at another, or ends before.
        """
        if self.diverged is not None:
            return math.nan
        wanted = self.step + steps
        every = self.task.eval_every
        while self.step < wanted:
            before = self.step
            start = time.perf_counter()
            try:
                with self._random:
                    value = next(self._loop)
            except StopIteration:
                raise InputError(
                    f"the loop ends after {self.step} updates, and max_steps is "
                    f"{self.task.max_steps}; let it go on, or say max_steps={self.step}"
                ) from None
            finally:
                self.seconds += time.perf_counter() - start
            if self.step != before + every:
                raise InputError(
                    f"the loop yields after {self.step - before} updates, and every is {every}; "
                    "let it yield after equally many each time, and say so by every="
                )
            self._take(value)
            if self.diverged:
                break
        return math.nan

    def _take(self, value: Any) -> None:
        name = self.task.metric.name
        told = value if isinstance(value, Mapping) else {name: value}
        if name not in told:
            raise InputError(f"the loop yields {', '.join(map(str, told))}, and no {name}")
        try:
            metric = float(told[name])
            loss = float(told.get("loss", -metric if self.task.higher_is_better else metric))
        except (TypeError, ValueError):
            raise InputError(
                f"the loop yields a {type(told[name]).__name__}; it must be a number, or a dict of "
                f"{name} and, where there is one, loss"
            ) from None
        self._value = metric, loss
        if not (math.isfinite(metric) and math.isfinite(loss)):
            self.diverged = f"the loop told {metric} in step {self.step}"

    def evaluate(self) -> Evaluation:
        """What the loop yielded last."""
        metric, loss = self._value
        return Evaluation(self.step, self.step, self.seconds, math.nan, loss, metric)

    def weights(self) -> dict[str, Tensor]:
        """Copies of the parameters, by their numbers."""
        return {str(i): p.detach().cpu().clone() for i, p in enumerate(self._trial.parameters)}

    def state_dict(self) -> dict[str, Any]:
        """Refused: a loop of one's own says nothing of its state."""
        raise InputError("a loop of one's own cannot be written down on its way")

    load_state_dict = state_dict


def begun(
    task: Task, make_optimizer: MakeOptimizer, seed: int,
    batch_size: int | Literal["all"] | None = None, updates: int | None = None,
) -> Any:  # fmt: skip
    """A run of a task, whichever kind it is of."""
    kind: Any = CompiledRun if task.compiled else Run
    kind = LoopRun if isinstance(task, Loop) else kind
    return kind(task, make_optimizer, seed, batch_size=batch_size, updates=updates)


def trial(
    *,
    every: int,
    max_steps: int,
    higher_is_better: bool,
    target: float | None = None,
    metric: str = "metric",
    name: str | None = None,
) -> Callable[[Written], Loop]:
    """Decorate a loop of your own, so that it can be raced.

    The loop is a generator function of one argument, a :class:`Trial`: it makes its model, asks
    ``trial.optimizer(params)`` for its optimizer, trains, and yields its metric every so many
    updates, to the end of ``max_steps`` at least. It is begun anew for every entrant and seed, by
    the seed of the run; what it draws from the global generators of torch, NumPy and Python is its
    own. Closures of data are shared, and must not be changed.

    Args:
        every: updates between two yields.
        max_steps: updates after which a run ends.
        higher_is_better: whether a larger value of the metric is better.
        target: the value to reach; None to let the race find one.
        metric: how messages call what is yielded. A dict of it and of ``"loss"`` may be, by which
            settings are compared before they arrive.
        name: of the task, by default that of the function.

    Raises :class:`slalom.InputError` for anything else.
    """

    def decorate(loop: Written) -> Loop:
        return Loop(
            loop, metric=metric, target=target, higher_is_better=higher_is_better, every=every,
            max_steps=max_steps, name=name,
        )  # fmt: skip

    return decorate
