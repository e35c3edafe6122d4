"""What is kept of a parameter before its first update."""

from __future__ import annotations

import torch
from torch import Tensor

from slalom.backends.base import RefusedTensorError
from slalom.rules.definition import Rule


def begun(rule: Rule, name: str, param: Tensor, start: float) -> Tensor:
    """The state ``name`` of a parameter, full of ``start``.

    It lies as the parameter does. One that is smaller (``rule.shapes``) is real and of float32 at
    least. Raises :class:`RefusedTensorError` where such a state would be of a complex or (unless it
    is one number) of a distributed parameter.
    """
    if name not in rule.shapes:
        filled = complex(start, start) if param.is_complex() else start
        return torch.full_like(param, filled, requires_grad=False)
    shape = rule.shape(name, param.shape)
    if param.is_complex() and rule.shapes[name] != "tensor0":
        raise RefusedTensorError(
            f"{rule.class_name} keeps {name} of rows or columns, which it does not of "
            f"{param.dtype}; give it torch.view_as_real() of the parameter"
        )
    if shape and hasattr(param, "full_tensor"):
        raise RefusedTensorError(
            f"{rule.class_name} keeps {name} of rows or columns, which is not served of a DTensor; "
            "use it where parameters are whole, under DDP for example"
        )
    dtype = torch.promote_types(param.dtype.to_real(), torch.float32)
    return torch.full(shape, start, dtype=dtype, device=param.device)
