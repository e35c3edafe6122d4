"""Many runs of one architecture trained side by side, in one pass through a stacked model.

A small model's step is some microseconds of arithmetic and hundreds of overhead, which many runs
share here. Each run stays a :class:`slalom.train.Run`, with its own batches, optimizer, schedule
and end; what is shared is the way through the model and back, and the way through the validation
set. The products of matrices may be summed in another order there, so that a run agrees with the
one that is trained by itself up to rounding, and not to the bit.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from slalom.train.evaluation import Evaluation, Tally
from slalom.train.models import judging
from slalom.train.products import Layer, layers_of, losses_of
from slalom.train.run import Run
from slalom.train.task import Task
from slalom.train.tree import leaves, mapped, moved

ROOM = 1 << 17
"""Numbers that go from one layer to the next at a time, about, where that is free: so many stay in
a cache (512 KiB of float32)."""

Batch = tuple[Any, int]


class Member:
    """A run in a stack, and the tensors of its model, which are looked up once."""

    def __init__(self, run: Run):
        self.run = run
        self.tensors = _tensors(run.model)
        self.trained = {n: p for n, p in run.model.named_parameters() if p.requires_grad}

    @property
    def judged(self) -> dict[str, Tensor]:
        """The tensors of the model that is evaluated."""
        return self.tensors if self.run.judged is self.run.model else _tensors(self.run.judged)


def shapes(batch: Batch) -> tuple[Any, ...]:
    """What two batches must have in common to go through a stacked model together."""
    parts = batch[0]
    if type(parts) is not tuple or not all(type(p) is Tensor for p in parts):
        parts = leaves(parts)
    return batch[1], *((p.shape, p.dtype) if isinstance(p, Tensor) else p for p in parts)


def update(members: Sequence[Member], batches: Sequence[Batch]) -> list[float | Exception]:
    """Make the next update of every run, each by its own batch; see :meth:`Run.batch`.

    The batches are of one shape. Of the seconds every run is counted its share. Returns the loss of
    each, or what its optimizer raised; what the way through the model raises comes before any
    update.
    """
    start = time.perf_counter()
    first, n = members[0].run, batches[0][1]
    objective: Any = first.objective
    tensors = _stacked([member.tensors for member in members])
    names = list(members[0].trained)
    trained = [tensors[name].requires_grad_() for name in names]
    given = mapped(lambda *parts: torch.stack(parts), *(b for b, _ in _even(batches)))
    inputs, targets = objective.parts(moved(given, first.task.device))
    losses = losses_of(objective.of, _outputs(first.model, tensors, inputs), targets)
    found = torch.autograd.grad(losses.sum(), trained, allow_unused=True)
    rows = [[None] * len(members) if g is None else g.unbind() for g in found]
    told = losses.tolist()[: len(members)]
    for place, member in enumerate(members):
        for gradients, parameter in zip(rows, member.trained.values(), strict=True):
            parameter.grad = gradients[place]
        try:
            told[place] = member.run.take(told[place], n)
        except Exception as error:  # of this run alone
            told[place] = error
    each = (time.perf_counter() - start) / len(members)
    for member in members:
        member.run.seconds += each
    return told


def evaluate(members: Sequence[Member]) -> list[Evaluation]:
    """Measure every run on the validation set; each goes on as if this had not been."""
    runs = [member.run for member in members]
    first, task = runs[0], runs[0].task
    if task.metric.of == "model":  # which is called with one
        return [run.evaluate() for run in runs]
    objective: Any = first.objective
    tallies = [Tally(task.metric, task.reading, task.reduction) for _ in runs]
    with contextlib.ExitStack() as left:
        for run in runs:
            left.enter_context(run.at_their_best())
        left.enter_context(judging((first.judged, *objective.modules())))
        left.enter_context(torch.no_grad())
        tensors = _stacked([member.judged for member in members])
        layered = layers_of(first.judged) is not None  # whose memory is bounded as they go
        for given, n in task.valid.chunks(task.chunk(task.valid, 1 if layered else len(runs))):
            batch = moved(given, task.device)
            inputs, targets = objective.parts(batch)
            outputs = _judged(first.judged, tensors, inputs)
            wide = mapped(lambda a: a.expand(len(_even(runs)), *a.shape), targets)
            losses = losses_of(objective.of, outputs, wide).tolist()
            classes = _classes(task, outputs, targets)
            shares = task.reduction.shares(batch, n)
            for place, (tally, loss) in enumerate(zip(tallies, losses, strict=False)):
                if classes is None:
                    own = mapped(lambda o, i=place: o[i], outputs)
                    tally.add(batch, n, lambda value=loss: value, own, targets)
                else:
                    tally.weigh(shares, lambda value=loss: value)
                    tally.keep(classes[place])
        found: list[Any] = [t.end(run.judged) for t, run in zip(tallies, runs, strict=True)]
    return [run.found(*each) for run, each in zip(runs, found, strict=True)]


def _classes(task: Task, outputs: Any, targets: Any) -> list[tuple[Tensor, Tensor]] | None:
    """(predicted, true) classes of each model, where the metric is of these: read at once of
    outputs (models, samples, ...), since they are read one sample after the other."""
    plain = isinstance(outputs, Tensor) and isinstance(targets, Tensor)
    if task.metric.of != "classes" or not plain or outputs.dim() < 2 or not targets.dim():
        return None
    many = len(outputs)
    wide = targets.expand(many, *targets.shape)
    found = task.reading.classes(outputs.flatten(0, 1), wide.flatten(0, 1))
    predicted, true = (each.unflatten(0, (many, -1)) for each in found)
    return list(zip(predicted, true, strict=True))


def _even(given: Sequence[Any]) -> Sequence[Any]:
    """Two of what is there alone: of one matrix torch takes another way, which rounds otherwise."""
    return given if len(given) > 1 else [given[0], given[0]]


def _stacked(owned: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of models by name, each (models, ...)."""
    owned = _even(owned)
    return {name: torch.stack([own[name].detach() for own in owned]) for name in owned[0]}


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _judged(model: nn.Module, tensors: Mapping[str, Tensor], inputs: tuple[Any, ...]) -> Any:
    """Outputs (models, samples, ...) of inputs (samples, ...), the same for all models."""
    many = len(next(iter(tensors.values())))
    wide = tuple(mapped(lambda a: a.expand(many, *a.shape), each) for each in inputs)
    if (layers := _layers(model, wide)) is None:
        return vmap(_called(model), in_dims=(0, *(None for _ in inputs)))(tensors, *inputs)
    widest = max(tensor[0].shape[0] for tensor in tensors.values())
    # models after models, whose weights are then read once; two at a time at least, as ever
    parts = max(1, many // max(2, ROOM // (wide[0].shape[1] * widest)))
    split = {name: tensor.tensor_split(parts) for name, tensor in tensors.items()}
    size = max(1, ROOM // (2 * widest))
    found = []
    for place, some in enumerate(wide[0].tensor_split(parts)):
        own = {name: tensor[place] for name, tensor in split.items()}
        through = [_through(layers, own, chunk) for chunk in some.split(size, 1)]
        found.append(torch.cat(through, 1) if len(through) > 1 else through[0])
    return torch.cat(found)


def _outputs(model: nn.Module, tensors: Mapping[str, Tensor], inputs: tuple[Any, ...]) -> Any:
    """Outputs (models, samples, ...) of inputs (models, samples, ...)."""
    if (layers := _layers(model, inputs)) is None:
        return vmap(_called(model))(tensors, *inputs)
    return _through(layers, tensors, inputs[0])


def _layers(model: nn.Module, inputs: tuple[Any, ...]) -> list[Layer] | None:
    """The layers by which plain inputs go through a plain model."""
    plain = len(inputs) == 1 and isinstance(inputs[0], Tensor) and inputs[0].dim() > 2
    return layers_of(model) if plain else None


def _through(layers: Sequence[Layer], tensors: Mapping[str, Tensor], found: Tensor) -> Tensor:
    for layer in layers:
        found = layer(tensors, found)
    return found


def _called(model: nn.Module) -> Callable[..., Any]:
    return lambda own, *given: functional_call(model, own, given)
