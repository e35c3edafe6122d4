"""Updates inside the backward pass: each gradient is used and freed as soon as it is there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from slalom.engine.plan import Outcome, Plan
from slalom.optim.rule_optimizer import RuleOptimizer
from slalom.optim.spent import Spent


class Released:
    """What :func:`release` made of an optimizer; :meth:`remove` takes it back."""

    def __init__(self, optimizer: RuleOptimizer, names: dict[int, str]):
        self._optimizer, self._names = optimizer, names
        self._plans: dict[Tensor, Plan] = {}
        self._alone: dict[Tensor, dict[str, Any]] = {}
        self._places: dict[int, tuple[int, int]] = {}  # of each parameter: group, place in it
        self._handles = [
            param.register_post_accumulate_grad_hook(self._update)
            for group in optimizer.param_groups
            for param in group["params"]
            if param.requires_grad
        ]

    def remove(self) -> None:
        """Let the optimizer step as it did before."""
        self.clear()
        for handle in self._handles:
            handle.remove()
        self._optimizer._released = None

    def clear(self) -> None:
        """Forget the gradients that were spent."""
        for group in self._optimizer.param_groups:
            for param in group["params"]:
                if type(param.grad) is Spent:
                    param.grad = None

    def _group_of(self, param: Tensor) -> dict[str, Any] | None:
        """The group that holds a parameter now; it may have been moved, or taken out."""
        groups = self._optimizer.param_groups
        number, place = self._places.get(id(param), (0, 0))
        params = groups[number]["params"] if number < len(groups) else []
        if place < len(params) and params[place] is param:
            return groups[number]
        self._places = {
            id(p): (i, j) for i, g in enumerate(groups) for j, p in enumerate(g["params"])
        }
        found = self._places.get(id(param))
        return None if found is None else groups[found[0]]

    @torch.no_grad()
    def _update(self, param: Tensor) -> None:
        optimizer = self._optimizer
        optimizer.refuse_step()
        group = self._group_of(param)
        if group is None:  # taken out of the groups since: its gradient stays, as by a step
            return
        alone = self._alone.setdefault(param, {"params": [param]})
        alone |= {**group, "params": alone["params"]}
        plan = self._plans.get(param)
        if (
            plan is None
            or not plan.holds([alone], optimizer.states_of([alone]))
            or plan.run([alone]) is Outcome.STALE
        ):
            _refuse_processes()
            plan = self._plans[param] = optimizer.step_by_new_plan([alone])
            plan.watch([alone], optimizer.states_of([alone]))
        param.grad = Spent(param, self._names[id(param)])


def release(model: torch.nn.Module, optimizer: RuleOptimizer) -> Released:
    """Update each parameter inside backward, when its gradient arrives, and free the gradient.

    The training loop stays as it is: ``loss.backward()`` now updates, ``optimizer.step()`` and
    ``optimizer.zero_grad()`` have nothing left to do but must still be called after every
    backward. The result is that of ordinary steps to the bit; the memory of the gradients is
    never needed all at once. Learning-rate schedules act as ever.

    What needs all gradients at once is refused by name: ``clip_norm`` and ``on_nonfinite`` here,
    with ValueError; accumulation over several backwards, ``clip_grad_norm_``, ``clip_grad_value_``
    and GradScaler when they reach for a gradient, with RuntimeError. So are several processes,
    which average gradients after backward. ``clip_value`` and weight decay act as ever.
    Parameters that are added or unfrozen later are updated in ``step()``.

    Raises TypeError if the optimizer is not Slalom's, and ValueError if it has a parameter that
    the model has not.
    """
    if not isinstance(optimizer, RuleOptimizer):
        raise TypeError(
            f"release() takes an optimizer of slalom.optim, not {type(optimizer).__name__}"
        )
    if optimizer._released is not None:
        raise ValueError("this optimizer is released already")
    treatment = optimizer._treatment
    if treatment.measures:
        asked = "clip_norm" if treatment.clip_norm is not None else "on_nonfinite"
        raise ValueError(
            f"{asked} looks at all gradients before any update, and released gradients are never "
            f"there at once; make the optimizer without {asked}, or do not release it"
        )
    if any(isinstance(m, DistributedDataParallel) for m in model.modules()):
        raise ValueError(_PROCESSES)
    _refuse_processes()
    names = {id(p): name for name, p in model.named_parameters()}
    for group in optimizer.param_groups:
        for param in group["params"]:
            if id(param) not in names:
                raise ValueError("the optimizer has a parameter that the model has not")
    optimizer._released = Released(optimizer, names)
    return optimizer._released


_PROCESSES = (
    "several processes average their gradients after backward, and released gradients are gone "
    "by then; do not release an optimizer there"
)


def _refuse_processes() -> None:
    distributed = torch.distributed
    started = distributed.is_available() and distributed.is_initialized()
    if started and distributed.get_world_size() > 1:
        raise ValueError(_PROCESSES)
