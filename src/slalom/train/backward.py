"""The backward pass, without what stands in Python before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Variable
from torch.overrides import has_torch_function_unary

_engine: Any = Variable._execution_engine  # type: ignore[attr-defined]
_ones: dict[torch.dtype, Tensor] = {}


def backward(loss: Tensor) -> None:
    """What ``loss.backward()`` does, with the same gradients to the bit.

    That looks in Python at what it was given, keeps the context for the threads of other devices,
    and then calls torch's engine; which takes 12 us, as long as our update of a small net. A loss
    that is one number on the CPU needs none of it, and the engine is called as torch calls it.
    """
    one = _ones.get(loss.dtype)
    if one is None or loss.dim() or not loss.is_cpu or has_torch_function_unary(loss):
        loss.backward()
        if loss.is_floating_point():
            _ones[loss.dtype] = torch.ones((), dtype=loss.dtype)
        return
    if one.item() != 1.0:  # a hook has written to it
        one = _ones[loss.dtype] = torch.ones((), dtype=loss.dtype)
    _engine.run_backward(
        (loss,), (one,), False, False, (), allow_unreachable=True, accumulate_grad=True
    )
