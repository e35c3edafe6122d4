"""Many runs of one task trained side by side, in one pass through a stacked model.

A small model's step is some microseconds of arithmetic and hundreds of overhead; where hundreds of
runs are to be recorded they share it. Initial weights, batches, losses, updates and the end of a run
are those of :class:`slalom.train.Run`, with each run's own optimizer. The products of matrices are
summed in another order, so that results agree up to rounding, as between two machines, and not to
the bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from slalom.errors import InputError
from slalom.racing.bracket import Lane
from slalom.racing.entrants import Entrant
from slalom.racing.runner import HOLD, History
from slalom.racing.status import Status
from slalom.racing.trainer import one_thread
from slalom.train import Evaluation, Task
from slalom.train.batches import Batches
from slalom.train.evaluation import CHUNK
from slalom.train.run import BLOWN


class _Run:
    """One of them: its model, its optimizer, and what is known of it."""

    def __init__(self, task: Task, entrant: Entrant, seed: int):
        self.task, self.seed = task, seed
        self.model = task.make_model(seed)
        self.parameters = dict(self.model.named_parameters())
        self.optimizer = entrant.optimizer(task.parameters(self.model))
        self.evaluations: list[Evaluation] = []
        self.losses: list[float] = []
        self.first: float | None = None
        self.ended: Status | None = None
        self.held = 0

    def update(self, loss: float) -> None:
        """Make one update with the gradients that are there, and judge the loss it was made from."""
        self.optimizer.step()
        self.first = loss if self.first is None else self.first
        if not math.isfinite(loss) or loss > BLOWN * (abs(self.first) + 1):
            self.ended = Status.DIVERGED
        self.losses.append(loss)

    def evaluated(self, step: int, samples: int, loss: float, metric: float) -> None:
        mean = sum(self.losses) / len(self.losses)
        self.losses.clear()
        self.evaluations.append(Evaluation(step, samples, 0.0, mean, loss, metric))
        self.held = self.held + 1 if self.task.reached(metric) else 0

    @property
    def done(self) -> bool:
        return self.ended is not None or self.held > HOLD


def train(task: Task, runs: Sequence[tuple[Entrant, int]], until: int) -> list[History]:
    """Train entrants of one batch size on seeds: to ``until`` updates, past the target, or the end.

    Args:
        task: whose data are tensors on the CPU, whose validation set is one chunk, and whose model
            ``torch.vmap`` can stack (it has none for torch's recurrent layers), with no noise
            of its own and gradients that are dense.
        runs: (entrant, seed) of each.
        until: updates at most.

    Raises :class:`InputError` for another task.
    """
    if not stacks(task):
        raise InputError(f"runs of {task.name} cannot be stacked; train them one by one")
    lane = Lane.of(task, runs[0][0])
    seeds = sorted({seed for _, seed in runs})
    batches = {seed: Batches(task.n_train, lane.batch, seed) for seed in seeds}
    stack = [_Run(task, *run) for run in runs]
    active, whole, step, samples = list(stack), runs[0][0].batch_size == "all", 0, 0
    base = task.make_model(0)
    with one_thread():
        while active and step < until:
            x, y = _batch(task, batches, active, step, whole)
            base.train()
            losses = _losses(task, _outputs(base, active, x), y)
            for run in active:
                for parameter in run.parameters.values():
                    parameter.grad = None
            losses.sum().backward()
            step, samples = step + 1, samples + (y.shape[1])
            for run, loss in zip(active, losses.tolist(), strict=True):
                run.update(loss)
            active = [run for run in active if not run.done]
            if active and (step % lane.every == 0 or step == until):
                _evaluate(task, base, active, step, samples)
                active = [run for run in active if not run.done]
    return [History(tuple(run.evaluations), run.ended) for run in stack]


def stacks(task: Task) -> bool:
    """Whether :func:`train` can train the task, as far as a look at a batch can tell."""
    if task.train.arrays is None or task.valid.arrays is None or task.n_valid > CHUNK:
        return False
    base = task.make_model(0)
    parameters = {name: torch.stack([p, p]) for name, p in base.named_parameters()}
    inputs, targets = (a[:2].expand(2, 2, *a.shape[1:]) for a in task.train.arrays)
    try:
        outputs = vmap(lambda p, x: functional_call(base, p, (x,)))(parameters, inputs)
        _losses(task, outputs, targets).sum().backward()
    except RuntimeError:  # an operation without a rule for it
        return False
    return True


def _batch(
    task: Task, batches: dict[int, Batches], active: Sequence[_Run], step: int, whole: bool
) -> tuple[Tensor, Tensor]:
    """The inputs and targets of a step, (runs, batch, ...)."""
    assert task.train.arrays is not None
    if whole:  # in their order, as the full gradient takes them
        x, y = (a.expand(len(active), *a.shape) for a in task.train.arrays)
        return x, y
    chosen = torch.stack([batches[run.seed][step] for run in active])
    return task.train.arrays[0][chosen], task.train.arrays[1][chosen]


def _outputs(base: torch.nn.Module, active: Sequence[_Run], inputs: Tensor) -> Tensor:
    stacked = {
        name: torch.stack([run.parameters[name] for run in active]) for name in active[0].parameters
    }
    return vmap(lambda p, x: functional_call(base, p, (x,)))(stacked, inputs)


def _losses(task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
    return vmap(task.loss)(outputs, targets)


def _evaluate(
    task: Task, base: torch.nn.Module, active: Sequence[_Run], step: int, samples: int
) -> None:
    assert task.valid.arrays is not None
    x, y = (a.expand(len(active), *a.shape) for a in task.valid.arrays)
    base.eval()
    with torch.no_grad():
        outputs = _outputs(base, active, x)
        losses = _losses(task, outputs, y).tolist()
        for run, output, loss in zip(active, outputs, losses, strict=True):
            metric = task.metric.measure(output, task.valid.arrays[1], loss)
            run.evaluated(step, samples, loss, float(metric))
