"""What each hyper-parameter must be, in torch's words, for every rule that has one of that name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from slalom.kernel.local import is_distributed
from slalom.kernel.treatment import Treatment

_MESSAGES = {
    "lr": "Invalid learning rate: {}",
    "eps": "Invalid epsilon value: {}",
}
_NOT_NEGATIVE = (
    "lr", "eps", "weight_decay", "momentum", "alpha", "lr_decay", "initial_accumulator_value",
    "rho", "momentum_decay", "final_lr", "gamma", "base_lr", "warmup_steps",
)  # fmt: skip


def check_hypers(hypers: Mapping[str, Any]) -> None:
    """Raise ValueError, as torch words it, if a hyper-parameter is out of its range.

    ``hypers`` may hold ``foreach`` too, which torch allows with plain numbers alone.
    """
    lr, betas = hypers.get("lr"), hypers.get("betas", ())
    for name, value in [("lr", lr), *((f"betas[{i}]", beta) for i, beta in enumerate(betas))]:
        if isinstance(value, Tensor):
            if hypers.get("foreach") and "amsgrad" in hypers:
                raise ValueError(
                    f"{name} as a Tensor is not supported for capturable=False and foreach=True"
                )
            if value.numel() != 1:
                raise ValueError(f"Tensor {name} must be 1-element")
    for name in _NOT_NEGATIVE:
        value = hypers.get(name)
        if value is not None and not value >= 0.0:
            raise ValueError(_MESSAGES.get(name, f"Invalid {name} value: {{}}").format(value))
    if hypers.get("rho", 0) > 1.0:
        raise ValueError(f"Invalid rho value: {hypers['rho']}")
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
    if len({isinstance(beta, Tensor) for beta in betas}) > 1:
        raise ValueError("betas must be either both floats or both Tensors")
    if "etas" in hypers and not 0.0 < hypers["etas"][0] < 1.0 < hypers["etas"][1]:
        raise ValueError(f"Invalid eta values: {hypers['etas'][0]}, {hypers['etas'][1]}")
    if hypers.get("nesterov") and (hypers["momentum"] <= 0 or hypers.get("dampening", 0) != 0):
        raise ValueError("Nesterov momentum requires a momentum and zero dampening")


def check_treatment(group: Mapping[str, Any], treatment: Treatment) -> None:
    """Raise ValueError if a parameter group has an option that is of the whole optimizer."""
    for name, ours in vars(treatment).items():
        if name not in group:
            continue
        if name in ("clip_norm", "on_nonfinite") and ours != getattr(Treatment, name):
            raise ValueError(
                f"{name} looks at all gradients together, and cannot be an option of a group, nor "
                "of a ZeroRedundancyOptimizer, each of whose processes has a part of them; use "
                "torch.nn.utils.clip_grad_norm_ or torch.amp.GradScaler there"
            )
        if group[name] != ours:
            raise ValueError(f"{name} is of the whole optimizer and cannot be an option of a group")


def check_state(name: str, state: Tensor, param: Tensor) -> None:
    """Raise RuntimeError if this is no state of this parameter."""
    if state.shape != param.shape:
        raise RuntimeError(
            f"the state {name} has shape {tuple(state.shape)} where its parameter has "
            f"{tuple(param.shape)}; load a checkpoint of the same model"
        )
    if is_distributed(state) != is_distributed(param):
        raise RuntimeError(
            f"of the state {name} and its parameter one is a DTensor and the other is not; load "
            "the checkpoint with torch.distributed.checkpoint.state_dict.set_optimizer_state_dict"
        )
