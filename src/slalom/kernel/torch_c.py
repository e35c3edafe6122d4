"""The C functions of torch that machine code calls, found in the libraries torch has loaded.

``torch_parallel_for`` and ``aoti_torch_*`` are torch's stable C interface (torch >= 2.10). Four
more are C++ functions under their Itanium names, for which the C interface has no equal yet.
Together they let machine code read a tensor's address and layout in nanoseconds where the same
questions from Python cost half a microsecond a tensor.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path

import torch

from slalom.kernel.jit import Unavailable

FUNCTIONS = (
    ("torch_cpu", "torch_parallel_for"),
    ("torch_cpu", "aoti_torch_is_defined"),
    ("torch_cpu", "aoti_torch_get_layout"),
    ("torch_cpu", "aoti_torch_get_device_type"),
    ("torch_cpu", "aoti_torch_get_dtype"),
    ("torch_cpu", "aoti_torch_get_dim"),
    ("torch_cpu", "aoti_torch_get_sizes"),
    ("torch_cpu", "aoti_torch_get_strides"),
    ("torch_cpu", "aoti_torch_get_data_ptr"),
    ("torch_cpu", "_ZN2at6native6is_negERKNS_6TensorE"),
    ("torch_cpu", "_ZN5torch8autograd4impl12bump_versionERKN2at6TensorE"),
    ("c10", "_ZNK3c1010TensorImpl4gradEv"),
    ("torch_cpu", "_ZN2at6native7is_conjERKNS_6TensorE"),
)
"""Library and name, in the order in which ``driver.ll`` reads them."""


@cache
def library(name: str) -> ctypes.CDLL:
    """One of torch's own libraries, by its plain name; OSError where there is none."""
    pattern = {"darwin": "lib{}.dylib", "win32": "{}.dll"}.get(sys.platform, "lib{}.so")
    return ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / pattern.format(name)))


@cache
def addresses() -> tuple[int, ...]:
    """The address of each of :data:`FUNCTIONS`. Raises :class:`Unavailable` if one is missing."""
    found = []
    for name, function in FUNCTIONS:
        try:
            pointer = ctypes.cast(getattr(library(name), function), ctypes.c_void_p)
        except (OSError, AttributeError) as error:
            raise Unavailable(f"this build of torch has no {function} in {name}") from error
        found.append(pointer.value or 0)
    return tuple(found)


@cache
def dtype_code(dtype: torch.dtype) -> int:
    """The number by which torch's C interface knows a dtype."""
    name = str(dtype).removeprefix("torch.")
    return int(getattr(library("torch_cpu"), f"aoti_torch_dtype_{name}")())


@cache
def holder_offset() -> int | None:
    """Where in a Tensor's Python object the address of its C++ tensor lies; None if not found."""
    tensor = torch.nn.Parameter(torch.empty(0))
    size = type(tensor).__basicsize__ // ctypes.sizeof(ctypes.c_void_p)
    words = (ctypes.c_void_p * size).from_address(id(tensor))
    found = [i for i, word in enumerate(words) if word == tensor._cdata]
    return found[0] * ctypes.sizeof(ctypes.c_void_p) if len(found) == 1 else None
