"""Step counts and numbers of rules: tensors of one element, read and set where they lie."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor


def is_counter(tensor: Any) -> bool:
    """Whether a step count or the like can be kept in this tensor: one float32 or float64."""
    return (
        type(tensor) in (Tensor, torch.nn.Parameter)
        and tensor.dtype in _NUMBERS
        and tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and tensor.numel() == 1
    )


_NUMBERS = {torch.float32: ctypes.c_float, torch.float64: ctypes.c_double}


def number_in(counter: Tensor) -> Any:
    """Where its number lies: ``value`` can be read and set, whatever modes torch is in.

    To be asked for anew when the tensor comes to lie elsewhere.
    """
    return _NUMBERS[counter.dtype].from_address(counter.data_ptr())


def read(counter: Tensor) -> float:
    """The number of a counter."""
    return number_in(counter).value


def write(counter: Tensor, value: float) -> float:
    """Set the number of a counter; the number as it is kept, rounded."""
    at = number_in(counter)
    at.value = value
    return at.value
