"""Models in parts that are trained in turn, each by a loss of its own: GANs, actors and critics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from slalom.errors import InputError
from slalom.train.objective import Objective, Stepped

Step = Callable[[nn.Module, Any], Tensor]


class InTurn(Objective):
    """Parts of a model, each with the loss that it alone is trained by.

    An update is one of every part, in the order of the mapping, on the same batch; each sees the
    parts before it as they are then. Every part has the optimizer's rule and state for itself, but
    bounds of the gradients' norm are those of a part.

    Args:
        steps: name of a module of the model, as ``named_modules`` has it -> (model, batch) -> loss.
        predict: (model, batch) -> (outputs, targets) for the metric; None where that is a function
            of the model.
    """

    comparable = False

    def __init__(self, steps: Mapping[str, Step], predict: Any):
        if len(steps) < 2 or not all(isinstance(n, str) and callable(f) for n, f in steps.items()):
            raise InputError(
                "step is a mapping; it must name two parts of the model or more, each with a "
                "function (model, batch) -> loss that it is trained by"
            )
        self._steps = dict(steps)
        self._judge = Stepped(self._together, predict)
        self.judges = predict is not None
        self.turns = tuple(steps)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """That of the part whose turn it is; the sum of all where it is nobody's."""
        if self.turn is None:
            return self._together(model, batch)
        return self._steps[self.turn](model, batch)

    def _together(self, model: nn.Module, batch: Any) -> Tensor:
        return torch.stack([step(model, batch).reshape(()) for step in self._steps.values()]).sum()

    def judged(self, model: nn.Module, batch: Any) -> tuple[Any, Any, Any]:
        if not self.judges:  # a game's losses say nothing of who is good at it
            return torch.zeros(()), None, None
        return self._judge.judged(model, batch)

    def part(self, model: nn.Module) -> list[nn.Parameter]:
        """The parameters of the part whose turn it is."""
        if self.turn is None:
            return list(model.parameters())
        try:
            found = list(model.get_submodule(self.turn).parameters())
        except AttributeError as error:
            names = ", ".join(name for name, _ in model.named_children())
            raise InputError(
                f"step names the part {self.turn!r}, and the model has no module of that name; "
                f"it has {names}"
            ) from error
        if not found:
            raise InputError(f"step names the part {self.turn!r}, which has no parameters")
        return found

    def modules(self) -> Iterator[nn.Module]:
        yield from self._judge.modules()
