"""Whether hyper-parameters are within their rule's bounds, in torch's words, and states fit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._foreach_utils import _get_fused_kernels_supported_devices

from slalom.engine.treatment import Treatment
from slalom.rules.bounds import COMMON, Choice
from slalom.rules.definition import REQUIRED, Rule

_WORDS = {
    "lr": "Invalid learning rate: {value}",
    "eps": "Invalid epsilon value: {value}",
    "betas": "Invalid beta parameter at index {i}: {value}",
    "etas": "Invalid eta values: {all[0]}, {all[1]}",
    "adjust_lr_fn": "Adjust learning rate function {value} is not supported",
}
"""What torch says of these; of the others "Invalid <name> value"."""


def check_hypers(rule: Rule, hypers: Mapping[str, Any]) -> None:
    """Raise ValueError, as torch words it, if a hyper-parameter of the rule is out of its bounds.

    ``hypers`` may hold ``foreach`` too, which torch allows with plain numbers alone. Raises
    TypeError for what is no number where one is due.
    """
    for name, default in rule.hypers.items():
        value = hypers[name]
        if not isinstance(default, tuple):
            _check_one(rule, hypers, name, value)
            continue
        if not hasattr(value, "__len__") or len(value) != len(default):
            raise ValueError(f"{rule.class_name} takes {len(default)} {name}, not {value!r}")
        for i, number in enumerate(value):
            _check_one(rule, hypers, name, number, i)
        if len({isinstance(number, Tensor) for number in value}) > 1:
            raise ValueError(f"{name} must be either both floats or both Tensors")
    for sentence, holds in rule.requires.items():
        if not holds(hypers):
            raise ValueError(sentence)


def _check_one(
    rule: Rule, hypers: Mapping[str, Any], name: str, value: Any, i: int | None = None
) -> None:
    """Raise unless ``value`` may be the hyper-parameter ``name``, or its number ``i``."""
    default, shown = rule.hypers[name], name if i is None else f"{name}[{i}]"
    bound = rule.bound(name, i)
    free = bound is None and (default is None or default is REQUIRED)
    if isinstance(default, bool) or free or (value is None and default is None):
        return
    a_word = isinstance(default, str) or isinstance(bound, Choice)
    if a_word or isinstance(value, str):
        if not (a_word and isinstance(value, str)):
            due = "a word" if a_word else "a number"
            raise TypeError(f"{shown} is {value!r}; it must be {due}")
    elif isinstance(value, Tensor):
        if hypers.get("foreach") and "amsgrad" in hypers:
            raise ValueError(
                f"{shown} as a Tensor is not supported for capturable=False and foreach=True"
            )
        if value.numel() != 1:
            raise ValueError(f"Tensor {shown} must be 1-element")
    elif not hasattr(value, "__float__"):
        raise TypeError(f"{shown} is {value!r}; it must be a number")
    if bound is not None and value not in bound:
        words = _WORDS.get(name, f"Invalid {name} value: {{value}}")
        said = words.format(value=value, i=i, all=hypers[name])
        known = bound is COMMON.get(name) or name == "etas"  # torch has no more to say of these
        raise ValueError(said if known else f"{said}; {shown} must be {bound}")


def sequences(rule: Rule) -> list[str]:
    """Names of the hyper-parameters that are several numbers."""
    return [name for name, default in rule.hypers.items() if isinstance(default, tuple)]


def as_tuple(value: Any) -> Any:
    """Any sequence of numbers (an array, a ListConfig) as a tuple, as torch's classes keep it."""
    if isinstance(value, tuple):
        return value
    return tuple(v if isinstance(v, Tensor | int | float) else float(v) for v in value)


def check_options(
    rule: Rule, group: Mapping[str, Any], number: int, beyond: Collection[str]
) -> None:
    """Raise RuntimeError if the ``number``-th group lacks an option that is not ``beyond``."""
    for name in rule.hypers:
        if name not in group and name not in beyond:
            raise RuntimeError(
                f"parameter group {number} has no {name!r}; add_param_group() gives a group what "
                "it lacks"
            )


def may_lack(default: Any) -> bool:
    """Whether a group may lack an option of this default: a switch, as older versions had fewer."""
    return default is False or default is None


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
            raise ValueError(
                f"{name} is of the whole optimizer and cannot be an option of a group; give it to "
                "the class, beside the groups"
            )


def check_sparse(rule: Rule, group: Mapping[str, Any], treatment: Treatment) -> None:
    """Raise RuntimeError if this rule, with this decay, has no meaning for sparse gradients."""
    if rule.sparse is None:
        raise RuntimeError(f"{rule.class_name} does not support sparse gradients")
    if group.get("weight_decay") or treatment.independent_weight_decay:
        raise RuntimeError(
            "weight_decay option is not compatible with sparse gradients: "
            f"{rule.class_name} would have to decay the rows that a gradient does not touch; set "
            "weight_decay=0 for this parameter"
        )


def check_fused(groups: Sequence[Mapping[str, Any]]) -> None:
    """Raise RuntimeError, as torch does, for gradients that ``fused=True`` cannot serve there."""
    for group in groups:
        if not group.get("fused"):
            continue
        devices = _get_fused_kernels_supported_devices()
        for param in group["params"]:
            if param.grad is None:
                continue
            if param.device.type not in devices or not param.is_floating_point():
                raise RuntimeError(
                    "`fused=True` requires all the params to be floating point Tensors of "
                    f"supported devices: {devices} but {param.dtype} and {param.device.type}"
                )
