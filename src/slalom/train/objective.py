"""What is done with a batch: the loss it is trained by, and the outputs it is judged by."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from slalom.errors import InputError
from slalom.train.reading import Reading, reading_of
from slalom.train.reduction import Reduction
from slalom.train.tree import shape


class Objective(ABC):
    """How a model is trained on a batch, and judged on one.

    Each run has a copy of its own (:meth:`fresh`), so that what a loss counts or learns is the
    run's.
    """

    judges = True
    """Whether there are outputs for a metric to judge."""

    comparable = True
    """Whether a lower loss on the validation set is a better model."""

    turns: tuple[str | None, ...] = (None,)
    """Parts of the model that an update trains one after the other; None is all of it."""

    turn: str | None = None
    """Whose turn it is."""

    updates = 0
    """Updates that the run has made."""

    length: int | None = None
    """Updates of the whole run; None where there is no run."""

    reduction: Reduction | None = None
    """How the loss sums up its batch; None where that is to be found out."""

    @property
    def decisive(self) -> Any:
        """What tells it from another objective, where that is less than all it holds; or None."""
        return None

    @property
    def reading(self) -> Reading:
        """How outputs and targets are read as classes."""
        return reading_of(None)

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The loss of a batch, a tensor of one number."""

    @abstractmethod
    def judged(self, model: nn.Module, batch: Any) -> tuple[Any, Any, Any]:
        """(loss, outputs, targets) of a batch, of a model that is not trained by it."""

    def part(self, model: nn.Module) -> list[nn.Parameter] | None:
        """The parameters of whose turn it is, where that are not all."""
        return None

    def begin(self, model: nn.Module) -> None:  # noqa: B027 - most have nothing to do
        """A model is to be judged on the validation set, batch by batch."""

    def end(self) -> None:  # noqa: B027
        """It was judged on all of them."""

    def logged(self, name: str) -> float:
        """A value beside loss and metric, of the validation that was last ended."""
        raise InputError(f"nothing is known of {name}, which the schedule follows")

    def modules(self) -> Iterator[nn.Module]:
        """Modules of the objective itself, which have a state and may learn."""
        yield from ()

    def modules_that_learn(self) -> Iterator[nn.Module]:
        """Those of :meth:`modules` that have parameters to be trained."""
        for module in self.modules():
            if any(p.requires_grad for p in module.parameters()):
                yield module

    def fresh(self, device: torch.device) -> Objective:
        """A copy for one run, on its device."""
        made = copy.deepcopy(self)
        for module in made.modules():
            module.to(device)
        return made


class Supervised(Objective):
    """A loss of outputs and targets; the last part of a batch is its targets."""

    def __init__(self, loss: Callable[[Any, Any], Tensor]):
        self.of = loss

    @property
    def reading(self) -> Reading:
        return reading_of(self.of)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        if type(batch) is tuple and len(batch) == 2:  # what parts() would say, at half its price
            return self.of(model(batch[0]), batch[1])
        inputs, targets = self.parts(batch)
        return self.of(model(*inputs), targets)

    def judged(self, model: nn.Module, batch: Any) -> tuple[Any, Any, Any]:
        inputs, targets = self.parts(batch)
        outputs = model(*inputs)
        return self.of(outputs, targets), outputs, targets

    def modules(self) -> Iterator[nn.Module]:
        if isinstance(self.of, nn.Module):
            yield self.of

    def parts(self, batch: Any) -> tuple[tuple[Any, ...], Any]:
        """(the arguments of the model, the targets). :class:`InputError` if it is no such batch."""
        if not isinstance(batch, tuple | list) or len(batch) < 2:
            raise InputError(
                f"a batch is a {type(batch).__name__} of {shape(batch)}, and a loss needs the pair "
                "(inputs, targets); say how it is used by step=, a function (model, batch) -> loss"
            )
        *inputs, targets = batch
        return tuple(inputs), targets


class OwnLoss(Objective):
    """A model that takes a dict as its keywords and returns its loss, as HuggingFace's do."""

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        return _part(self._called(model, batch), "loss")

    def judged(self, model: nn.Module, batch: Any) -> tuple[Any, Any, Any]:
        found = self._called(model, batch)
        return _part(found, "loss"), _part(found, "logits"), batch["labels"]

    def _called(self, model: nn.Module, batch: Any) -> Any:
        if not isinstance(batch, Mapping):
            raise InputError(
                f"there is no loss, and a batch is a {type(batch).__name__}; give loss=, or step=, "
                "a function (model, batch) -> loss"
            )
        return model(**batch)


class Stepped(Objective):
    """Functions of the user's own: ``step(model, batch)`` and ``predict(model, batch)``."""

    def __init__(
        self,
        step: Callable[[nn.Module, Any], Tensor],
        predict: Callable[[nn.Module, Any], tuple[Any, Any]] | None,
    ):
        self._step, self._predict = step, predict
        self.judges = predict is not None

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        return self._step(model, batch)

    def judged(self, model: nn.Module, batch: Any) -> tuple[Any, Any, Any]:
        loss = self._step(model, batch)
        if self._predict is None:
            return loss, None, None
        found = self._predict(model, batch)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise InputError(
                f"predict returns a {type(found).__name__}; it must return (outputs, targets)"
            )
        return loss, found[0], found[1]

    def modules(self) -> Iterator[nn.Module]:
        for function in (self._step, self._predict):
            for held in (function, getattr(function, "__self__", None)):
                if isinstance(held, nn.Module):
                    yield held


def _part(found: Any, name: str) -> Any:
    value = found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)
    if value is None:
        raise InputError(
            f"the model returns a {type(found).__name__} without {name}; give loss=, or step=, a "
            "function (model, batch) -> loss"
        )
    return value


def objective_of(loss: Any, step: Any, predict: Any) -> Objective:
    """The objective of a task. Raises :class:`InputError` for what does not go together."""
    if isinstance(loss, Objective):
        return loss
    for name, given in (("loss", loss), ("step", step), ("predict", predict)):
        if given is not None and not callable(given):
            raise InputError(f"{name} is a {type(given).__name__}; it must be callable")
    if isinstance(loss, type) and issubclass(loss, nn.Module):
        raise InputError(f"loss is the class {loss.__name__}; give one of it, {loss.__name__}()")
    if step is not None:
        if loss is not None:
            raise InputError("both loss and step are given; step returns the loss")
        return Stepped(step, predict)
    if predict is not None:
        raise InputError("predict goes with step, a function (model, batch) -> loss")
    return OwnLoss() if loss is None else Supervised(loss)
