"""Updates inside the backward pass: each gradient is used and freed as soon as it is there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_leaves

from slalom.kernel.plan import Plan
from slalom.optim.optimizer import RuleOptimizer


class Spent(Tensor):
    """Stands where a gradient was; holds no memory, and every operation on it raises.

    So whatever asks for the gradients after backward (clipping, unscaling, a second backward that
    accumulates) is refused by name, where an absent gradient would be passed over in silence.
    """

    _name: str

    @staticmethod
    def __new__(cls, param: Tensor, name: str) -> Spent:
        spent = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, param.shape, strides=param.stride(), dtype=param.dtype, device=param.device
        )
        spent._name = name
        return spent

    def __repr__(self) -> str:  # type: ignore[override]
        return f"<the gradient of {self._name}, spent in backward>"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        spent = next(a for a in tree_leaves(args) if isinstance(a, cls))
        raise RuntimeError(
            f"the gradient of {spent._name} was used and freed inside backward, as "
            f"slalom.release() was told to, and {func} needs it. Gradients cannot be accumulated "
            "over several backwards, clipped by their norm or unscaled then: call the "
            "optimizer's step() and zero_grad() after every backward, and nothing between"
        )


class Released:
    """What :func:`release` made of an optimizer; :meth:`remove` takes it back."""

    def __init__(self, optimizer: RuleOptimizer, names: dict[int, str]):
        self._optimizer, self._names = optimizer, names
        self._plans: dict[Tensor, Plan] = {}
        self._alone: dict[Tensor, dict[str, Any]] = {}
        self._group = {
            id(param): number
            for number, group in enumerate(optimizer.param_groups)
            for param in group["params"]
        }
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

    @torch.no_grad()
    def _update(self, param: Tensor) -> None:
        optimizer = self._optimizer
        alone = self._alone.setdefault(param, {"params": [param]})
        alone |= {**optimizer.param_groups[self._group[id(param)]], "params": alone["params"]}
        plan = self._plans.get(param)
        if plan is None or not plan.matches(optimizer.states_of([alone])) or not plan.run():
            _refuse_processes()
            plan = optimizer.plan_for([alone])
            self._plans[param] = plan
            plan.run()
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
