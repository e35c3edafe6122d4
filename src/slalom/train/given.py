"""What a task is given, looked at: a device, whole numbers, numbers above zero."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch

from slalom.errors import InputError

PRECISIONS = {
    None: None, "float32": None, "bfloat16": torch.bfloat16, "bf16": torch.bfloat16,
    "float16": torch.float16, "fp16": torch.float16,
}  # fmt: skip
"""What a model may be run in, by the names that people use."""


def dtype_of(precision: Any) -> torch.dtype | None:
    """The dtype of a precision by its name; :class:`InputError` for another."""
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}; it must be 'bfloat16' or 'float16'")
    return PRECISIONS[precision]


def usable_device(device: Any) -> torch.device:
    """The device, if it is there. Raises :class:`InputError` that names those that are."""
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()  # not on "meta", where nothing is computed
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        there = (
            [torch.accelerator.current_accelerator()] if torch.accelerator.is_available() else []
        )
        names = " and ".join(["cpu", *(str(d) for d in there)])
        raise InputError(
            f"device {str(device)!r} cannot be used here, where there is {names}: {first}"
        ) from error
    return found


def integer(value: Any) -> int | None:
    """What is an integer by its kind, NumPy's and torch's among them, as an int; None for what is
    none, True and False among that."""
    kind = getattr(value, "dtype", type(value))
    try:
        return None if kind in (bool, torch.bool) else operator.index(value)
    except TypeError:
        return None


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """A whole number from ``least`` on; :class:`InputError` for another."""
    found = integer(value)
    if found is None or found < least:
        raise InputError(f"{name} is {value!r}; it must be a whole number from {least} on")
    return found


def above_zero(name: str, value: Any) -> float | None:
    """A number above zero, or None; :class:`InputError` for another."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InputError(f"{name} is {value!r}; it must be a number above 0, or None")
    return float(value)


def finite(name: str, value: Any) -> float | None:
    """A finite number, or None; :class:`InputError` for another."""
    if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
        raise InputError(f"{name} is {value!r}; it must be a finite number, or None")
    return value
