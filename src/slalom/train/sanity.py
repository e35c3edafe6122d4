"""What would go wrong in the first steps of a run, found before it and told in one sentence."""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from slalom.errors import InputError
from slalom.train.faults import where
from slalom.train.followed import METRIC, TRAIN_LOSS, VALID_LOSS
from slalom.train.models import begun_otherwise, judging, shared_part
from slalom.train.objective import Objective, Supervised
from slalom.train.reduction import CLASSIFYING
from slalom.train.rng import RandomStream
from slalom.train.samples import Samples
from slalom.train.tree import leaves, moved, shape


def sanity_check(task: Any) -> None:
    """Raise :class:`InputError` for what would go wrong in the first steps and evaluations.

    Tries a batch of the training set, the smaller one at the end of an epoch, and an evaluation of
    the untrained model. ``task`` is the :class:`slalom.Task` that asks.
    """
    for samples in (task.train, task.valid):
        _check_samples(samples)
    with _told("model() fails", naming=True):
        model = task.make_model(0)
    _check_parameters(model, task.make_model(0))
    given = task.model
    if isinstance(given, nn.Module) and (name := begun_otherwise(given, model)) is not None:
        warnings.warn(
            f"model is a module whose {name} is not as its layer begins it: it was trained, or is "
            "begun by a function of its own. Each run begins it by reset_parameters; where that is "
            "not what you mean, give a function that makes the model",
            stacklevel=4,
        )
    objective = task.make_objective()
    n, m = task.n_train, task.batch_size // task.accumulate
    sized = task.train.stream is None and task.train.order.plain
    with RandomStream(0, task.device), task.numbers():
        outputs, value = _tried(task, model, objective, task.train, 0, min(m, n))
        _check_classes(task.loss, (task.train, task.valid), outputs)
        _check_value(value)
        with _told("the gradient of the loss cannot be computed", naming=True):
            value.backward()
        model.zero_grad()
        schedule = _check_groups(task, model, objective)
        if sized and n % m and not task.train.order.drop_last:
            _tried(task, model, objective, task.train, n - n % m, n)
        with judging((model, *objective.modules())):
            size = min(m, len(task.valid))
            outputs, value = _tried(task, model, objective, task.valid, 0, size)
            if value is not None or task.metric.of == "loss":
                _check_shape(value)
            _check_metric(task, model, objective, outputs)
    monitor = task.schedule.monitor(schedule)
    if monitor not in (None, VALID_LOSS, TRAIN_LOSS, METRIC):
        objective.logged(monitor)
    if monitor == METRIC and not task.higher_is_better:
        raise InputError(
            f"the schedule looks for the most of {task.metric.name}, of which less is better; let "
            "it look for the least (mode='min'), and it follows the loss of validation"
        )


def _check_samples(samples: Samples) -> None:
    """That a sample can be had, and is the same each time it is asked for with the same seed."""
    if samples.arrays is not None or samples.stream is not None:
        return
    first = torch.arange(1)
    with _told(f"sample 0 of {samples.name} cannot be read"):
        one, two = (list(leaves(samples.fetch(first))) for _ in range(2))
    last = len(samples.dataset) - 1
    with _told(f"sample {last} of {samples.name}, the last of its {last + 1}, cannot be read"):
        samples.fetch(torch.tensor([last]))
    if not all(_same(a, b) for a, b in zip(one, two, strict=True)):
        raise InputError(
            f"sample 0 of {samples.name} is another each time it is asked for with the same seed, "
            "so that no run could be had again; let the dataset draw from the global random "
            "numbers of torch, NumPy or Python, which are seeded for every batch"
        )


def _same(one: Any, other: Any) -> bool:
    if not (isinstance(one, Tensor) and isinstance(other, Tensor)):
        return type(one) is type(other)
    ours, theirs = _plain(one), _plain(other)
    return len(ours) == len(theirs) and all(map(_equal, ours, theirs))


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _plain(tensor: Tensor) -> Sequence[Tensor]:
    """A tensor with gaps, or of tensors, as plain ones."""
    if tensor.is_nested:
        return tensor.unbind()
    return [tensor if tensor.layout == torch.strided else tensor.to_dense()]


def _check_parameters(model: nn.Module, again: nn.Module) -> None:
    if not any(p.requires_grad for p in model.parameters()):
        raise InputError("the model has no parameter that requires a gradient")
    if {id(p) for p in model.parameters()} & {id(p) for p in again.parameters()}:
        raise InputError(
            "model() returns the same parameters each time, so that runs would go on from one "
            "another; it must make a new module"
        )
    if (name := shared_part(model, again)) is not None:
        raise InputError(
            f"model() uses the same module for {name} each time, so that what it keeps would go "
            "from run to run; make it in model()"
        )


def _check_groups(task: Any, model: nn.Module, objective: Objective) -> Any:
    """That groups and schedule can be made, and follow the rate that is raced; that the parameters
    of the loss are trained too, where the groups are the user's own. The schedule."""
    with _told("parameter_groups fails", naming=True):
        both = [torch.optim.SGD(task.parameters(model, objective, lr=r), lr=r) for r in (0.1, 0.2)]
    with _told("the schedule cannot be made", naming=True):
        made, other = (task.schedule.scheduler(o, task.max_steps) for o in both)
    alike: list[bool] = []
    for _ in range(min(_changes(task), WALKED)):
        alike.append(_rates(both[0]) == _rates(both[1]) and any(_rates(both[0])))
        if made is None or task.schedule.monitor(made) is not None:
            break
        try:
            with warnings.catch_warnings(action="ignore"):  # that no update comes before
                for scheduler in (made, other):
                    scheduler.step()
        except Exception:  # it has an end, and the run may have another than the task says
            break
    if 2 * sum(alike) > len(alike):
        raise InputError(
            f"the {type(made).__name__} sets learning rates of its own, so that those which "
            "are raced would count for nothing; let it take them from the optimizer, as in "
            "lambda o: OneCycleLR(o, [g['lr'] for g in o.param_groups], total_steps=...), or give "
            "schedule='one_cycle'"
        )
    if task.parameter_groups is not None and any(objective.modules_that_learn()):
        raise InputError(
            "the loss has parameters of its own, and parameter_groups names the model's alone; "
            "make the loss a part of the model, or leave parameter_groups out"
        )
    return made


def refuse_short_schedule(task: Any) -> None:
    """Raise :class:`InputError` for a schedule that ends before a run of the task may."""
    if task.budget is not None and task.budget.unit == "seconds":  # not yet a number of updates
        return
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    try:
        made: Any = task.schedule.scheduler(optimizer, task.max_steps)
    except Exception:  # it is of other groups than this one
        return
    inner, times = getattr(made, "scheduler", made), _changes(task)
    if isinstance(inner, OneCycleLR) and inner.total_steps < times:
        raise InputError(
            f"the OneCycleLR is of {inner.total_steps:,} steps, and a run may make {times:,} of "
            "them; give budget= or max_steps=, or more total_steps"
        )


WALKED = 1000
"""Steps after which a schedule is known, about."""


def _changes(task: Any) -> int:
    """How often the schedule of a whole run makes a step."""
    schedule = task.schedule
    every = task.updates_per_epoch(task.batch_size) if schedule.every == "epoch" else 1
    return max(1, task.max_steps // every // schedule.frequency)


def _rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def _tried(
    task: Any, model: nn.Module, objective: Objective, data: Samples, begin: int, end: int
) -> tuple[Any, Any]:
    """(outputs or None, loss) of some samples."""
    what = f"{end - begin} sample{'s' * (end - begin > 1)} of {data.name}"
    with _told(f"{what} cannot be read"):
        batch = moved(data.span(begin, end), task.device)
    if not isinstance(objective, Supervised):
        if not model.training:
            what += " in eval mode, where it may return None"
        with _told(f"the step fails on a batch {shape(batch)}, {what}"):
            return None, _untouched(model, objective, batch)
    try:
        inputs, targets = objective.parts(batch)
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
    about = shape(inputs[0]) if len(inputs) == 1 else ", ".join(map(shape, inputs))
    with _told(f"the model fails on inputs of shape {about}, {what}"):
        outputs = model(*inputs)
    _check_rows(outputs, targets, what)
    about = f"outputs of shape {shape(outputs)} and targets of shape {shape(targets)}"
    with _told(f"the loss fails on {about}, {what}"):
        return outputs, objective.of(outputs, targets)


def _untouched(model: nn.Module, objective: Objective, batch: Any) -> Any:
    """The loss of a batch; InputError where to compute it trains the model."""
    parameters = [p for p in model.parameters() if p.requires_grad]  # others may follow these
    versions = [(p._version, p.grad) for p in parameters]
    values = []
    for turn in objective.turns:
        objective.turn = turn
        objective.part(model)  # that it is there
        values.append(objective.loss(model, batch))
    objective.turn = None
    if any(p._version != v or p.grad is not g for p, (v, g) in zip(
        parameters, versions, strict=True
    )):  # fmt: skip
        raise InputError(
            "step updates the model, or calls backward, which the race does; return the loss. "
            "Where parts of the model are trained in turn, give a step for each, as in "
            "step={'critic': ..., 'generator': ...}, or write the loop for slalom.trial"
        )
    for turn, value in zip(objective.turns, values, strict=True):
        if len(values) > 1 and not (isinstance(value, Tensor) and value.numel() == 1):
            raise InputError(f"the loss of {turn} is {shape(value)}; it must be one number")
    return values[0] if len(values) == 1 else torch.stack([v.reshape(()) for v in values]).sum()


def _check_rows(outputs: Any, targets: Any, what: str) -> None:
    if not (isinstance(outputs, Tensor) and isinstance(targets, Tensor)):
        return
    if outputs.dim() and targets.dim() and len(outputs) != len(targets):
        raise InputError(
            f"the model returns {len(outputs)} rows for {what}, and the targets have "
            f"{len(targets)}; it must return one a sample"
        )
    if (
        outputs.is_floating_point() and targets.is_floating_point()
        and outputs.numel() == targets.numel() and outputs.shape != targets.shape
    ):  # fmt: skip
        raise InputError(  # torch would broadcast them against each other, with a warning
            f"the model returns shape {shape(outputs)} where the targets have "
            f"{shape(targets)}; make the two equal"
        )


def _check_classes(loss: Any, sets: tuple[Samples, ...], outputs: Any) -> None:
    """Of all samples, not of those tried alone: a rare class may come late."""
    if not isinstance(loss, CLASSIFYING) or not isinstance(outputs, Tensor):
        return
    classes = outputs.shape[1] if outputs.dim() > 1 else len(outputs)
    for data in sets:
        targets = data.arrays[-1] if isinstance(data.arrays, tuple) else None
        if targets is None or targets.is_floating_point():
            continue
        wrong = ((targets < 0) | (targets >= classes)) & (targets != loss.ignore_index)
        if wrong.any():
            sample = int(wrong.reshape(len(targets), -1).any(1).nonzero()[0])
            raise InputError(
                f"the target of sample {sample} of {data.name} is {int(targets[wrong][0])}; the "
                f"model tells {classes} classes apart, which are 0 to {classes - 1}"
            )


def _check_shape(value: Any) -> None:
    if not isinstance(value, Tensor):
        raise InputError(
            f"the loss is {shape(value)}; it must be a tensor of one number, and nothing beside it"
        )
    if value.numel() != 1:
        raise InputError(
            f"the loss must be one number, and here it is {shape(value)}; reduce it by its mean"
        )


def _check_value(value: Any) -> None:
    _check_shape(value)
    if not value.requires_grad:
        raise InputError(
            "the loss does not depend on the model's parameters; compute it from the model's "
            "output, with torch's functions"
        )
    if not bool(torch.isfinite(value)):
        raise InputError(f"the loss of the untrained model is {value.item()}; check data and model")


def _check_metric(task: Any, model: nn.Module, objective: Objective, outputs: Any) -> None:
    with _told("the loss of the untrained model cannot be computed", naming=True):
        _ = task.reduction
    with _told("the validation set cannot be evaluated"):
        for given, n in task.valid.chunks(task.chunk(task.valid)):
            batch = moved(given, task.device)
            with _told(f"the model or the loss fails on {n} samples of valid, {shape(batch)}"):
                objective.judged(model, batch)
            if task.valid.arrays is not None:
                break  # the others are like it
    about = "the validation set"
    if isinstance(objective, Supervised):
        size = min(task.batch_size // task.accumulate, len(task.valid))
        targets = objective.parts(task.valid.span(0, size))[1]
        about = f"outputs like {shape(outputs)} and targets like {shape(targets)}"
    tried = copy.copy(task)
    about = f"the metric {task.metric.name} cannot be computed from {about}"
    tried.metric = replace(task.metric, measure=_naming(task.metric.measure, about))
    before = {n: t.detach().clone() for n, t in model.state_dict().items() if torch.is_tensor(t)}
    with _told("the validation set cannot be evaluated", naming=True):
        _, value = tried.judge(model, objective)
    after = model.state_dict()
    for name, was in before.items():
        if not (name in after and _same(was, after[name])):
            raise InputError(
                f"to evaluate it changes the model's {name}, so that a run would hang on how often "
                "it is looked at; let loss and metric look on alone, and the model change what it "
                "keeps only where it is in train mode (self.training)"
            )
    if math.isnan(value):
        raise InputError(
            f"the metric {task.metric.name} of the untrained model is not a number on the "
            f"{len(task.valid)} samples of valid; give more of them, or another metric"
        )


def _naming(measure: Any, what: str) -> Any:
    """The measure of a metric, whose own errors are told of it; no others are."""
    if hasattr(measure, "start"):
        return _Naming(measure, what)

    def measured(*given: Any) -> float:
        with _told(what):
            return float(measure(*given))

    return measured


class _Naming:
    """Such a measure, of a metric that is told of each batch."""

    def __init__(self, measure: Any, what: str):
        self._measure, self._what = measure, what

    def start(self) -> _Naming:
        return _Naming(self._measure.start(), self._what)

    def update(self, outputs: Any, targets: Any) -> None:
        with _told(self._what):
            self._measure.update(outputs, targets)

    def compute(self) -> float:
        with _told(self._what):
            return float(self._measure.compute())


@contextlib.contextmanager
def _told(what: str, *, naming: bool = False) -> Iterator[None]:
    """The first line of what goes wrong in the user's code, after what was being done, and where;
    with the name of the error where that is asked for, or the line says little without it."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if naming or isinstance(error, LookupError):
            first = f"{type(error).__name__}: {first}"
        raise InputError(f"{what}: {first}{where(error, libraries=False)}") from error
