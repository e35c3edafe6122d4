"""Tasks out of a LightningModule and its data: what a Trainer would fit, without one.

Nothing is imported: ``lightning`` and ``pytorch_lightning`` give equal modules.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from slalom.errors import InputError
from slalom.train.adapters._logged import Journal, Logged, NoTrainer, Silent, Validation
from slalom.train.adapters._optimizers import configured
from slalom.train.metrics import Metric
from slalom.train.models import made_anew
from slalom.train.objective import Objective
from slalom.train.own_metric import direction
from slalom.train.rng import RandomStream

THEIRS = ("lightning.", "pytorch_lightning.", "torch.")
"""Modules of the classes whose methods are no user's own."""

MISSED = (
    "optimizer_step", "optimizer_zero_grad", "lr_scheduler_step", "backward",
    "configure_gradient_clipping", "on_before_backward", "on_after_backward",
    "on_before_optimizer_step", "on_before_zero_grad", "on_train_batch_end",
)  # fmt: skip
"""Hooks of a module that a race does not call."""

TRANSFERS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
"""Hooks through which a batch goes."""


class ModuleObjective(Objective):
    """A module's own ``training_step`` and ``validation_step``."""

    def __init__(self, data: Any, per_epoch: int | None, accumulate: int):
        hooks = data is not None and any(_own(data, name) for name in TRANSFERS)
        self._data, self._per_epoch, self._accumulate = (
            data if hooks else None,
            per_epoch,
            accumulate,
        )
        self._validation: Validation | None = None
        self._place = (-1, 0)

    @property
    def decisive(self) -> Any:
        return type(self._data), self._per_epoch

    def fresh(self, device: torch.device) -> Objective:
        """One for another run; hooks of the data are shared."""
        return ModuleObjective(self._data, self._per_epoch, self._accumulate)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        module: Any = model
        index = self._index(module)
        batch = self._through(module, batch)
        self._announce(module, batch, index)
        found = module.training_step(*_given(module.training_step, batch, index))
        if (loss := _loss(found)) is None:
            raise InputError(
                f"training_step returns {type(found).__name__}; it must return the loss of a batch"
            )
        return loss

    def begin(self, model: nn.Module) -> None:
        self._tell_length(model)
        self._validation = Validation(model)

    def end(self) -> None:
        if self._validation is not None:
            self._validation.end()

    def judged(self, model: nn.Module, batch: Any) -> tuple[Any, Any, Any]:
        module: Any = model
        if self._validation is None:
            self.begin(model)
        validation: Any = self._validation
        batch = self._through(module, batch)
        step = module.validation_step
        with validation.of(batch) as logged:
            loss = _loss(step(*_given(step, batch, validation.batches)))
        if loss is None:  # what it logs as such, or else that of training
            named = [v for n, v in logged.items() if "loss" in n]
            loss = named[0] if named else self.loss(module, batch)
        return torch.as_tensor(loss), validation, None

    def logged(self, name: str) -> float:
        if self._validation is None:
            return super().logged(name)
        try:
            return self._validation.found(name)
        except InputError as error:
            raise InputError(f"the schedule follows {name}: {error}") from error

    def _index(self, module: Any) -> int:
        """The place of a batch in its epoch; tells the module where the run is."""
        step, part = self._place
        self._place = (self.updates, part + 1 if step == self.updates else 0)
        epoch, place = 0, self.updates
        if self._per_epoch is not None:
            epoch, place = divmod(self.updates, -(-self._per_epoch // self._accumulate))
        module._trainer.at(self.updates, epoch)
        self._tell_length(module)
        return place * self._accumulate + self._place[1]

    def _announce(self, module: Any, batch: Any, index: int) -> None:
        """Call the hooks that come before a batch."""
        if index == 0 and self.updates == 0:
            module.on_train_start()
        if index == 0:
            module.on_train_epoch_start()
        if module.on_train_batch_start(batch, index) == -1:
            raise InputError("on_train_batch_start returns -1, by which an epoch would end early")

    def _tell_length(self, module: Any) -> None:
        if self.length is not None:
            module._trainer.total = self.length

    def _through(self, module: Any, batch: Any) -> Any:
        for name in TRANSFERS:
            for owner in (self._data, module):
                if owner is not None and _own(owner, name):
                    more = (module.device,) if name == "transfer_batch_to_device" else ()
                    batch = getattr(owner, name)(batch, *more, 0)
                    break
        return batch


def _given(step: Callable[..., Any], batch: Any, index: int) -> tuple[Any, ...]:
    """The arguments of a step, by their names."""
    names = inspect.signature(step).parameters
    if "dataloader_iter" in names:
        raise InputError("a step takes dataloader_iter; let it take a batch")
    return (batch, index)[: max(1, min(2, len(names)))]


def _loss(found: Any) -> Any:
    return found.get("loss") if isinstance(found, Mapping) else found


def _own(owner: Any, name: str) -> bool:
    """Whether a method is of the user's own."""
    return any(
        name in vars(kind) for kind in type(owner).__mro__ if not kind.__module__.startswith(THEIRS)
    )


class _Made:
    """Makes the untrained module, which says what it logs here."""

    def __init__(self, given: Any, total: int | None):
        self._given, self._total = given, total
        self.per_epoch: int | None = None

    @property
    def decisive(self) -> Any:
        """Not the weights that runs do not begin with."""
        given = self._given
        return type(given) if isinstance(given, nn.Module) else given, self._total

    def __call__(self) -> nn.Module:
        made = _anew(self._given) if isinstance(self._given, nn.Module) else self._given()
        if not callable(getattr(made, "training_step", None)):
            raise InputError(f"the module is a {type(made).__name__}; it must be a LightningModule")
        vars(made).update(
            log=Journal(), _trainer=NoTrainer(self._total, self.per_epoch),
            optimizers=Silent(), lr_schedulers=Silent(),
        )  # fmt: skip
        for name, given in (("configure_model", ()), ("setup", ("fit",))):
            if _own(made, name):
                getattr(made, name)(*given)
        return made


def _anew(module: Any) -> Any:
    """The module untrained: by the ``reset_parameters`` of its layers, or of its hparams."""
    bare = copy.copy(module)
    vars(bare)["_trainer"] = None
    try:
        return made_anew(bare)
    except InputError:
        takes = inspect.signature(type(module)).parameters.values()
        known = dict(module.hparams)
        if not known or any(p.name not in known for p in takes if p.default is p.empty):
            raise
        return type(module)(**{p.name: known[p.name] for p in takes if p.name in known})


def arguments(module: Any, data: Any, options: dict[str, Any]) -> dict[str, Any]:
    """What a task is made of that trains as a Trainer would. :class:`InputError` if none does."""
    if data is not None and callable(getattr(data, "prepare_data", None)):
        data.prepare_data()
        data.setup("fit")
    make = _Made(module, options.get("max_steps"))
    with RandomStream(0):
        made = make()
    _refuse(made)
    loaders = {
        "train": options.get("train") or _loader(data, made, "train_dataloader", "train"),
        "valid": options.get("valid") or _loader(data, made, "val_dataloader", "valid"),
    }
    per_epoch = len(loaders["train"]) if hasattr(loaders["train"], "__len__") else None
    accumulate = options.get("accumulate", 1)
    if per_epoch is not None:
        make.per_epoch = -(-per_epoch // accumulate)
        vars(made)["_trainer"].per_epoch = make.per_epoch
    found = {
        "model": make, "loss": ModuleObjective(data, per_epoch, accumulate),
        **loaders, **configured(made, make, options), **options,
    }  # fmt: skip
    if (name := options.get("metric", "loss")) != "loss":
        if not isinstance(name, str):
            raise InputError("metric must be the name of a value that the module logs")
        better = options.get("higher_is_better")
        better = direction(name) if better is None else better
        measure: Any = Logged(name)
        found["metric"] = Metric(name, better, "outputs", measure)
    else:
        found["metric"] = "loss"
    return found


def _loader(data: Any, module: Any, name: str, what: str) -> Any:
    for owner in (data, module):
        if owner is not None and _own(owner, name):
            found = getattr(owner, name)()
            if isinstance(found, list | tuple) and len(found) == 1:
                return found[0]
            if isinstance(found, list | tuple | Mapping):
                raise InputError(
                    f"{name} gives {len(found)} loaders, and a race takes one: {what}="
                )
            return found
    raise InputError(f"there is no {name}; give the data as {what}=")


def _refuse(made: Any) -> None:
    """Raise :class:`InputError` for what the module does that a race would not."""
    name = type(made).__name__
    if not made.automatic_optimization:
        raise InputError(
            f"{name} makes its updates itself (automatic_optimization is False), so that no "
            "optimizer could take their place; write the loop for slalom.trial"
        )
    for hook in MISSED:
        if _own(made, hook):
            raise InputError(
                f"{name} has an {hook} of its own, which a race would not call; leave it out, and "
                "say what it does by the options of slalom.Task"
            )
    if _own(made, "on_train_epoch_end"):
        warnings.warn(
            f"{name} has an on_train_epoch_end, which a race does not call, as it only looks on",
            stacklevel=4,
        )
    for needed in ("training_step", "validation_step"):
        if not _own(made, needed):
            raise InputError(f"{name} has no {needed}")
