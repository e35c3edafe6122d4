"""CUDA's driver, the library that every machine with an NVIDIA GPU has: what a launch calls of it.

Every call is checked. An error that came from earlier work on the GPU is told as what it is: after
one, nothing that lies in its memory can be trusted.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from slalom.backends.base import Unavailable

_P, _I, _U, _N = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint, ctypes.c_size_t

FUNCTIONS: dict[str, Sequence[Any]] = {
    "cuDevicePrimaryCtxRetain": (_P, _I),
    "cuCtxPushCurrent_v2": (_P,),
    "cuCtxPopCurrent_v2": (_P,),
    "cuModuleLoadData": (_P, ctypes.c_char_p),
    "cuModuleGetFunction": (_P, _P, ctypes.c_char_p),
    "cuMemHostAlloc": (_P, _N, _U),
    "cuMemcpyHtoDAsync_v2": (_P, _P, _N, _P),
    "cuEventCreate": (_P, _U),
    "cuEventRecord": (_P, _P),
    "cuEventQuery": (_P,),
    "cuLaunchKernel": (_P, _U, _U, _U, _U, _U, _U, _U, _P, _P, _P),
    "cuGetErrorName": (_I, _P),
    "cuGetErrorString": (_I, _P),
}
"""The functions and the types of their arguments; each returns an error code, 0 for none."""

NOT_READY = 600
LAUNCH_CODES = {214, 700, 702, 709, 710, *range(713, 721), 999}
"""Codes of work that failed on the GPU, at some time before the call that tells it."""

_WITHOUT_TIMES = 2  # CU_EVENT_DISABLE_TIMING
_FOR_ALL_CONTEXTS = 1  # CU_MEMHOSTALLOC_PORTABLE


class CudaError(RuntimeError):
    """A call of CUDA's driver failed; the message says what that means for the parameters."""


def library() -> Any:
    """The driver's library. Raises :class:`Unavailable` where there is none."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        found = ctypes.CDLL(name)
        for function, kinds in FUNCTIONS.items():
            getattr(found, function).argtypes = kinds
    except (OSError, AttributeError) as error:
        raise Unavailable(f"CUDA's driver cannot be loaded ({error})") from error
    return found


class Driver:
    """The driver, in the context that torch uses on one GPU. Its calls raise :class:`CudaError`.

    ``library`` has the functions of :data:`FUNCTIONS`, and ``index`` is the GPU's number.
    """

    def __init__(self, library: Any, index: int):
        self._library = library
        self._context = self._made("cuDevicePrimaryCtxRetain", index)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Within it, this thread works on this GPU, whichever is torch's current one."""
        self._call("cuCtxPushCurrent_v2", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def function(self, image: bytes, name: str) -> int:
        """A kernel of the code in ``image`` (PTX), which stays loaded."""
        module = self._made("cuModuleLoadData", image + b"\0")
        return self._made("cuModuleGetFunction", module, name.encode())

    def pinned(self, size: int) -> int:
        """The address of so many bytes that the GPU can copy from by itself."""
        return self._made("cuMemHostAlloc", size, _FOR_ALL_CONTEXTS)

    def event(self) -> int:
        """An event, to be recorded and asked for."""
        return self._made("cuEventCreate", _WITHOUT_TIMES)

    def record(self, event: int, stream: int) -> None:
        """Let the event happen when the stream comes to here."""
        self._call("cuEventRecord", event, stream)

    def happened(self, event: int) -> bool:
        """Whether all is done that the stream had to do before the event."""
        code = self._library.cuEventQuery(event)
        if code not in (0, NOT_READY):
            raise self._error("cuEventQuery", code)
        return code == 0

    def copy(self, to: int, source: int, size: int, stream: int) -> None:
        """Copy pinned memory to the GPU, when the stream comes to it."""
        self._call("cuMemcpyHtoDAsync_v2", to, source, size, stream)

    def launch(self, function: int, blocks: int, threads: int, given: Sequence[int], stream: int):
        """Start a kernel, when the stream comes to it; ``given`` are its arguments, addresses."""
        values = (ctypes.c_uint64 * len(given))(*given)
        base = ctypes.addressof(values)
        pointers = (ctypes.c_void_p * len(given))(*range(base, base + 8 * len(given), 8))
        self._call(
            "cuLaunchKernel", function, blocks, 1, 1, threads, 1, 1, 0, stream, pointers, None
        )

    def _made(self, function: str, *arguments: Any) -> int:
        """What a function puts where its first argument points to."""
        made = ctypes.c_void_p()
        self._call(function, ctypes.byref(made), *arguments)
        return made.value or 0

    def _call(self, function: str, *arguments: Any) -> None:
        code = getattr(self._library, function)(*arguments)
        if code:
            raise self._error(function, code)

    def _error(self, function: str, code: int) -> CudaError:
        what = f"{function} failed with {self._text('cuGetErrorName', code)} ({code})"
        said = self._text("cuGetErrorString", code)
        if code in LAUNCH_CODES:
            return CudaError(
                f"earlier work on the GPU failed: {said}. {what}. What lies in its memory, "
                "parameters and states among it, is not to be trusted: end this process, and load "
                "the last checkpoint from before the failure. CUDA_LAUNCH_BLOCKING=1 shows which "
                "operation it was"
            )
        return CudaError(f"{what}: {said}")

    def _text(self, function: str, code: int) -> str:
        text = ctypes.c_char_p()
        if getattr(self._library, function)(code, ctypes.byref(text)) or not text.value:
            return f"error {code}"
        return text.value.decode(errors="replace")
