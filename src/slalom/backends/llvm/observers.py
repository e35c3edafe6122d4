"""Whether torch is to see every operation of a step, which machine code would hide from it."""

from __future__ import annotations

import torch
from torch.autograd import forward_ad


def observed() -> str | None:
    """Who is to see the operations of a step made now; None if nobody."""
    if torch._C._len_torch_dispatch_stack():
        return "a TorchDispatchMode is to see its operations"
    if forward_ad._current_level >= 0:
        return "it is differentiated in forward mode"
    return None
