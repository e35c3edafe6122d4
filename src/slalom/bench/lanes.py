"""Many runs of one task trained side by side, in one pass through a stacked model.

A small model's step is some microseconds of arithmetic and hundreds of overhead; where hundreds of
runs are to be recorded they share it. Initial weights, batches, losses, updates and the end of a
run are those of :class:`slalom.train.Run`. The products of matrices are summed in another order, so
that results agree up to rounding, as between two machines, and not to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from slalom.errors import InputError
from slalom.ir.program import is_whole
from slalom.racing.contender import Lane
from slalom.racing.entrants import Entrant
from slalom.racing.runner import HOLD, History
from slalom.racing.status import Status
from slalom.racing.trainer import one_thread
from slalom.train import Evaluation, Task
from slalom.train.batches import Batches
from slalom.train.evaluation import read
from slalom.train.metrics import METRICS
from slalom.train.run import BLOWN


class _Run:
    """What is known of one of them."""

    def __init__(self) -> None:
        self.evaluations: list[Evaluation] = []
        self.losses: list[float] = []
        self.first: float | None = None
        self.ended: Status | None = None
        self.held = 0

    def updated(self, loss: float) -> None:
        """Take note of the loss that an update was made from."""
        self.first = loss if self.first is None else self.first
        if not math.isfinite(loss) or loss > BLOWN * (abs(self.first) + 1):
            self.ended = Status.DIVERGED
        self.losses.append(loss)

    def evaluated(self, task: Task, step: int, samples: int, loss: float, metric: float) -> None:
        """Take note of an evaluation."""
        mean = sum(self.losses) / len(self.losses)
        self.losses.clear()
        self.evaluations.append(Evaluation(step, samples, 0.0, mean, loss, metric))
        self.held = self.held + 1 if task.reached(metric) else 0

    @property
    def done(self) -> bool:
        """Whether there is nothing more to be known of it."""
        return self.ended is not None or self.held > HOLD


class _Setting:
    """The runs of one entrant: parameters of shape (seeds, ...), which one optimizer updates.

    The classic rules go element by element, so that they do not see the seeds.
    """

    def __init__(self, task: Task, entrant: Entrant, seeds: Sequence[int]):
        models = [dict(task.make_model(seed).named_parameters()) for seed in seeds]
        self.parameters = {
            name: nn.Parameter(torch.stack([model[name].detach() for model in models]))
            for name in models[0]
        }
        self.optimizer = entrant.optimizer(self.parameters.values())
        rule = getattr(self.optimizer, "rule", None)
        if rule is not None and is_whole(rule):
            raise InputError(f"{rule.class_name} looks at whole tensors; train its runs one by one")
        self.runs = [_Run() for _ in seeds]

    @property
    def done(self) -> bool:
        """Whether all of its runs are."""
        return all(run.done for run in self.runs)


def train(
    task: Task, entrants: Sequence[Entrant], seeds: Sequence[int], until: int
) -> list[list[History]]:
    """Train entrants of one batch size, each on all the seeds: to ``until`` updates, past the
    target, or to the end; one list for each entrant.

    Args:
        task: one that :func:`stacks`.
        entrants: whose rules go element by element.
        seeds: of initial weights and batches.
        until: updates at most.

    Raises :class:`InputError` for a task that does not stack.
    """
    if not stacks(task):
        raise InputError(f"runs of {task.name} cannot be stacked; train them one by one")
    lane, whole = Lane.of(task, entrants[0]), entrants[0].batch_size == "all"
    batches = [Batches(task.n_train, lane.batch, seed) for seed in seeds]
    settings = [_Setting(task, entrant, seeds) for entrant in entrants]
    active, base, samples = list(settings), task.make_model(0), 0
    with one_thread():
        for step in range(until):
            x, y = _batch(task, batches, step, whole)
            base.train()
            losses = _losses(task, _outputs(base, active, x), y)
            for setting in active:
                setting.optimizer.zero_grad()
            losses.sum().backward()
            for setting, row in zip(active, losses.tolist(), strict=True):
                setting.optimizer.step()
                for run, loss in zip(setting.runs, row, strict=True):
                    if not run.done:
                        run.updated(loss)
            samples += y.shape[1]
            if (step + 1) % lane.every == 0 or step + 1 == until:
                _evaluate(task, base, active, step + 1, samples)
            active = [setting for setting in active if not setting.done]
            if not active:
                break
    return [[History(tuple(r.evaluations), r.ended) for r in s.runs] for s in settings]


def stacks(task: Task) -> bool:
    """Whether :func:`train` can train a task: its data are tensors, its validation set one chunk,
    its optimizer takes all parameters alike, and ``torch.vmap`` can stack its model and its loss
    (torch's recurrent layers and sparse gradients cannot be). Noise of a model's own is not looked
    for.
    """
    if (
        task.train.arrays is None
        or task.valid.arrays is None
        or task.chunk(task.valid) < task.n_valid
    ):
        return False
    if task.parameter_groups is not None or task.replacement or task.device.type != "cpu":
        return False
    base = task.make_model(0)
    pairs = [isinstance(a, tuple) and len(a) == 2 for a in (task.train.arrays, task.valid.arrays)]
    if not all(pairs) or not task.plainly_trained or not task.train.order.plain:
        return False
    stacked = {name: torch.stack([p, p]) for name, p in base.named_parameters()}
    inputs, targets = (a[:2].expand(2, 2, *a.shape[1:]) for a in task.train.arrays)
    try:
        outputs = vmap(lambda p, x: functional_call(base, p, (x,)))(stacked, inputs)
        vmap(task.loss)(outputs, targets).sum().backward()
    except RuntimeError:  # an operation without a rule for it
        return False
    return True


def _batch(task: Task, batches: Sequence[Batches], step: int, whole: bool) -> tuple[Tensor, Tensor]:
    """The inputs and targets of a step, (seeds, batch, ...)."""
    assert task.train.arrays is not None
    inputs, targets = task.train.arrays
    if whole:  # in their order, as the full gradient takes them
        n = len(batches)
        return inputs.expand(n, *inputs.shape), targets.expand(n, *targets.shape)
    chosen = torch.stack([b[step] for b in batches])
    return inputs[chosen], targets[chosen]


def _outputs(base: nn.Module, active: Sequence[_Setting], inputs: Tensor) -> Tensor:
    """(settings, seeds, batch, ...) of inputs (seeds, batch, ...), the same for every setting."""
    stacked = {
        name: torch.stack([s.parameters[name] for s in active]) for name in active[0].parameters
    }
    of_one = vmap(lambda p, x: functional_call(base, p, (x,)))
    return vmap(of_one, in_dims=(0, None))(stacked, inputs)


def _losses(task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
    """(settings, seeds) of outputs as above and targets (seeds, batch, ...)."""
    return vmap(vmap(task.loss), in_dims=(0, None))(outputs, targets)


def _evaluate(
    task: Task, base: nn.Module, active: Sequence[_Setting], step: int, samples: int
) -> None:
    assert task.valid.arrays is not None
    seeds = len(active[0].runs)
    x, y = (a.expand(seeds, *a.shape) for a in task.valid.arrays)
    base.eval()
    with torch.no_grad():
        outputs = _outputs(base, active, x)
        losses = _losses(task, outputs, y).tolist()
        metrics = _metrics(task, outputs, losses)
    for setting, row, measured in zip(active, losses, metrics, strict=True):
        for run, loss, metric in zip(setting.runs, row, measured, strict=True):
            if not run.done:
                run.evaluated(task, step, samples, loss, metric)


def _metrics(task: Task, outputs: Tensor, losses: list[list[float]]) -> list[list[float]]:
    """The metric of each run; the accuracy of logits (n, classes) of all of them at once."""
    assert task.valid.arrays is not None
    truth = task.valid.arrays[1]
    if task.metric.of == "loss":
        return [[float(task.metric.measure(loss)) for loss in row] for row in losses]
    if task.metric is METRICS["accuracy"] and outputs.dim() == 4 and truth.dim() == 1:
        return (outputs.argmax(3) == truth).double().mean(2).tolist()
    return [
        [float(task.metric.measure(*read(task.metric, task.reading, o, truth))) for o in own]
        for own in outputs
    ]
