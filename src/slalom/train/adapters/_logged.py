"""What a LightningModule logs, and what it asks of a Trainer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from slalom.errors import InputError
from slalom.train.tree import count

REDUCTIONS: dict[Any, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": lambda values, weights: (values * weights).sum() / weights.sum(),
    "sum": lambda values, weights: values.sum(),
    "max": lambda values, weights: values.max(), "min": lambda values, weights: values.min(),
}  # fmt: skip
"""How the values of batches become one, by the ``reduce_fx`` of Lightning."""

for _name in ("mean", "sum", "max", "min"):
    REDUCTIONS[getattr(torch, _name)] = REDUCTIONS[_name]


class Journal:
    """Stands for ``module.log``; keeps what is logged in a validation, and nothing else."""

    def __init__(self) -> None:
        self.heard: Callable[..., None] | None = None

    def __call__(
        self, name: str, value: Any, *args: Any, batch_size: int | None = None,
        reduce_fx: Any = "mean", **more: Any,
    ) -> None:  # fmt: skip
        if self.heard is not None:
            self.heard(name, value, batch_size, reduce_fx)

    def __deepcopy__(self, memo: Any) -> Journal:
        return Journal()


class Silent:
    """Stands for a logger, and for optimizers and schedules that are looked at to be logged: takes
    whatever it is told, and is no number that anything could hang on."""

    def __getattr__(self, name: str) -> Silent:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **more: Any) -> Silent:
        return self

    def __getitem__(self, key: Any) -> Silent:
        return self


class NoTrainer:
    """Stands for ``module.trainer``: says where the run is and how long, and of all else that it is
    not there.

    Args:
        total: updates of a run; None where they are not known.

    Attributes:
        global_step, current_epoch: of the run.
        per_epoch: updates in an epoch; None where they are not known.
        asked: whether the module has asked how long a run is.
    """

    def __init__(self, total: int | None, per_epoch: int | None):
        self.global_step = self.current_epoch = 0
        self.total, self.per_epoch, self.asked = total, per_epoch, False
        self.is_global_zero, self.sanity_checking, self.world_size = True, False, 1
        self.training, self.validating = True, False
        self.testing = self.predicting = False
        self.logger, self.loggers = Silent(), ()

    def at(self, step: int, epoch: int) -> None:
        """The run is here."""
        self.global_step, self.current_epoch = step, epoch

    @property
    def estimated_stepping_batches(self) -> int:
        """Updates of the run."""
        self.asked = True
        if self.total is None:
            raise InputError("the module asks how long it is trained; give max_steps=")
        return self.total

    max_steps = estimated_stepping_batches

    @property
    def max_epochs(self) -> int:
        """Epochs of the run."""
        if self.per_epoch is None:
            raise InputError(
                "the module asks for trainer.max_epochs, and its data have no length; let it ask "
                "for trainer.max_steps"
            )
        return -(-self.estimated_stepping_batches // self.per_epoch)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise InputError(f"the module asks for trainer.{name}, and a race has no Trainer")


class Validation:
    """One validation of a module, from its first batch to what it logged of all.

    Attributes:
        batches: that it has seen.
    """

    def __init__(self, module: Any):
        self._module, self.batches = module, 0
        self._values: dict[str, list[tuple[Any, float, Any]]] = {}
        self._measured: dict[str, float] = {}
        self._size = 1
        with self._listening():
            module.on_validation_epoch_start()

    @contextlib.contextmanager
    def of(self, batch: Any) -> Iterator[dict[str, Any]]:
        """While a batch is looked at; in the end what was logged of it."""
        logged: dict[str, Any] = {}
        before = {name: len(values) for name, values in self._values.items()}
        self._size = count(batch)
        with self._listening():
            yield logged
        self.batches += 1
        for name, values in self._values.items():
            if len(values) > before.get(name, 0) and isinstance(values[-1][0], Tensor):
                logged[name] = values[-1][0]

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        module = self._module
        module.log.heard, module._trainer.validating = self._heard, True
        module._trainer.training = False
        try:
            yield
        finally:
            module.log.heard, module._trainer.validating = None, False
            module._trainer.training = True

    def _heard(self, name: str, value: Any, size: int | None, reduce_fx: Any) -> None:
        if not callable(getattr(value, "compute", None)):
            value = torch.as_tensor(value).detach().float()
        self._values.setdefault(name, []).append((value, float(size or self._size), reduce_fx))

    def end(self) -> None:
        """All batches were seen."""
        with self._listening():
            self._module.on_validation_epoch_end()
        for name, logged in self._values.items():
            measure = logged[0][0]
            if not isinstance(measure, Tensor):
                with contextlib.suppress(ValueError, RuntimeError):  # it is no single number
                    self._measured[name] = float(measure.compute())
        for logged in self._values.values():
            if not isinstance(logged[0][0], Tensor):
                logged[0][0].reset()

    def found(self, name: str) -> float:
        """The value logged under this name, of the whole validation set."""
        for known in (name, name.removesuffix("_epoch")):
            if known in self._measured:
                return self._measured[known]
            if known in self._values:
                return self._together(name, self._values[known])
        raise InputError(
            f"the module logs {', '.join(self._values) or 'nothing'} in its validation, and no "
            f"{name}"
        )

    def _together(self, name: str, logged: list[tuple[Any, float, Any]]) -> float:
        reduce_fx = logged[0][2]
        if not isinstance(logged[0][0], Tensor) or reduce_fx not in REDUCTIONS:
            raise InputError(
                f"{name} is logged as what is no single number, or with a reduce_fx of its own; "
                "log the number, by its mean, sum, max or min"
            )
        values = torch.stack([v.reshape(()) for v, *_ in logged])
        weights = torch.tensor([w for _, w, _ in logged])
        return float(REDUCTIONS[reduce_fx](values, weights))


class Logged:
    """A metric that is a value the module logs."""

    def __init__(self, name: str):
        self._name = name

    def start(self) -> _Listening:
        """One that was told nothing yet."""
        return _Listening(self._name)


class _Listening:
    def __init__(self, name: str):
        self._name = name
        self._validation: Any = None

    def update(self, outputs: Any, targets: Any) -> None:
        self._validation = outputs

    def compute(self) -> float:
        return self._validation.found(self._name)
