"""The C functions of torch that machine code calls, found in the libraries torch has loaded.

``torch_parallel_for`` and ``aoti_torch_*`` are torch's stable C interface (torch >= 2.10). Four
more are C++ functions under their Itanium names, for which the C interface has no equal yet. A
build of torch that does not export these (MSVC names them otherwise) costs only the few
microseconds that Python takes for the same questions.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path

import torch

from slalom.backends.refusals import Unavailable

NEEDED = (
    "torch_parallel_for", "aoti_torch_is_defined", "aoti_torch_get_layout",
    "aoti_torch_get_device_type", "aoti_torch_get_device_index", "aoti_torch_get_dtype",
    "aoti_torch_get_dim",
    "aoti_torch_get_sizes", "aoti_torch_get_strides", "aoti_torch_get_data_ptr",
)  # fmt: skip
"""Functions of torch_cpu, in the order in which ``driver.c`` declares them."""

WELCOME = {
    "is_neg": ("torch_cpu", "_ZN2at6native6is_negERKNS_6TensorE"),
    "is_conj": ("torch_cpu", "_ZN2at6native7is_conjERKNS_6TensorE"),
    "bump_version": ("torch_cpu", "_ZN5torch8autograd4impl12bump_versionERKN2at6TensorE"),
    "grad": ("c10", "_ZNK3c1010TensorImpl4gradEv"),
}
"""Functions that Python stands in for where they are missing: library and name, in that order."""


@cache
def library(name: str) -> ctypes.CDLL:
    """One of torch's own libraries, by its plain name; OSError where there is none."""
    pattern = {"darwin": "lib{}.dylib", "win32": "{}.dll"}.get(sys.platform, "lib{}.so")
    return ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / pattern.format(name)))


@cache
def needed() -> tuple[int, ...]:
    """The address of each of :data:`NEEDED`. Raises :class:`Unavailable` if one is missing."""
    found = [_address("torch_cpu", name) for name in NEEDED]
    missing = [name for name, address in zip(NEEDED, found, strict=True) if not address]
    if missing:
        raise Unavailable(f"this build of torch has no {missing[0]} in torch_cpu")
    return tuple(found)


@cache
def welcome() -> dict[str, int]:
    """The address of each of :data:`WELCOME`, 0 where this build of torch does not export it."""
    return {name: _address(*place) for name, place in WELCOME.items()}


def _address(library_name: str, function: str) -> int:
    try:
        pointer = ctypes.cast(getattr(library(library_name), function), ctypes.c_void_p)
    except (OSError, AttributeError):
        return 0
    return pointer.value or 0


@cache
def dtype_code(dtype: torch.dtype) -> int:
    """The number by which torch's C interface knows a dtype."""
    name = str(dtype).removeprefix("torch.")
    return int(getattr(library("torch_cpu"), f"aoti_torch_dtype_{name}")())


@cache
def device_code(device: torch.device) -> int:
    """How ``driver.c`` writes a device: its type by torch's C interface, and behind it the number.

    Which CPU it is says nothing.
    """
    if device.type == "cpu":
        return 0
    kind = getattr(library("torch_cpu"), f"aoti_torch_device_type_{device.type}")()
    return int(kind) << 8 | ((device.index or 0) & 255)


@cache
def holder_offset() -> int | None:
    """Where in a Tensor's Python object the address of its C++ tensor lies; None if not found."""
    tensor = torch.nn.Parameter(torch.empty(0))
    size = type(tensor).__basicsize__ // ctypes.sizeof(ctypes.c_void_p)
    words = (ctypes.c_void_p * size).from_address(id(tensor))
    found = [i for i, word in enumerate(words) if word == tensor._cdata]
    return found[0] * ctypes.sizeof(ctypes.c_void_p) if len(found) == 1 else None
