"""What machine code needs to set gradients to None, by torch's own setter for each."""

from __future__ import annotations

import ctypes

import torch

from slalom.backends.llvm.driver import Dropping, driver
from slalom.backends.llvm.once import once
from slalom.backends.llvm.torch_c import class_offset, holder_offset

_KEY, _NAME = "params", "grad"


@once
def dropping() -> Dropping | None:
    """It, of this process; None where torch's objects are not known well enough."""
    places, known = (class_offset(), holder_offset()), driver()
    if None in places or not known.anatomy:
        return None
    word = ctypes.sizeof(ctypes.c_void_p)
    return Dropping(
        known.python, known.torch, known.anatomy, id(_KEY), id(_NAME), id(None),
        id(torch.Tensor), id(torch.nn.Parameter), *(place // word for place in places if place),
    )  # fmt: skip
