"""``zero_grad`` where nobody looks on and all is plain; torch's own serves everything else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor
from torch._C import (  # pyright: ignore[reportPrivateImportUsage]
    _len_torch_dispatch_stack,
    _len_torch_function_stack,
)
from torch._C._autograd import _profiler_enabled
from torch._C._functorch import peek_interpreter_stack
from torch.compiler import is_dynamo_compiling

_grad = attrgetter("grad")
_kind = attrgetter("layout", "is_cpu", "requires_grad", "__class__")
_PLAIN = {(torch.strided, True, False, Tensor)}


def watched() -> bool:
    """Whether somebody is to see what becomes of each gradient: a profiler, a mode, a compiler."""
    return bool(_profiler_enabled() or _len_torch_function_stack() or is_dynamo_compiling())


def drop(groups: Iterable[Mapping[str, Any]]) -> None:
    """Set the gradients of all parameters to None, each by torch's own setter.

    Not by machine code: that knows parameters by their addresses, and what lies there may be
    another object by now.
    """
    for group in groups:
        for param in group["params"]:
            param.grad = None


def zeroed(groups: Sequence[Mapping[str, Any]]) -> bool:
    """Set the gradients of all parameters to zero, all at once; False where torch is to do it."""
    if _len_torch_dispatch_stack() or peek_interpreter_stack() is not None:
        return False
    params = chain.from_iterable(group["params"] for group in groups)
    grads = [grad for grad in map(_grad, params) if grad is not None]
    if not set(map(_kind, grads)) <= _PLAIN:
        return False
    if grads:
        torch._foreach_zero_(grads)  # pyright: ignore[reportPrivateImportUsage]
    return True
