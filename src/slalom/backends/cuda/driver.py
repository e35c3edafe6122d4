"""The drivers of GPUs, the libraries that every machine with one has: what a launch calls of them.

Every call is checked. An error that came from earlier work on the GPU is told as what it is: after
one, nothing that lies in its memory can be trusted.
"""

from __future__ import annotations

import ctypes
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from slalom.backends.refusals import Unavailable

_P, _I, _U, _N = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint, ctypes.c_size_t

Functions = Mapping[str, Sequence[Any]]
"""Functions of a library and the types of their arguments; each returns an error code, 0 for none.
"""


class Calls(NamedTuple):
    """What a driver calls that which every driver does, with the same arguments."""

    load: str
    find: str
    pin: str
    copy: str
    event: str
    record: str
    query: str
    launch: str
    mode: str
    recording: str
    thing: str
    retain: str

    def types(self) -> Functions:
        """The types of their arguments."""
        return {
            self.load: (_P, ctypes.c_char_p, _U, _P, _P),
            self.find: (_P, _P, ctypes.c_char_p),
            self.pin: (_P, _N, _U),
            self.copy: (_P, _P, _N, _P),
            self.event: (_P, _U),
            self.record: (_P, _P),
            self.query: (_P,),
            self.launch: (_P, _U, _U, _U, _U, _U, _U, _U, _P, _P, _P),
            self.mode: (_P,),
            self.recording: (_P, _P, _P, _P, _P, _P),
            self.thing: (_P, _P, _P, _U, _U),
            self.retain: (_P, _P, _U, _U),
        }


NOT_READY = 600
LAUNCH_CODES = {214, 220, 226, 700, 702, 709, 710, *range(713, 721), 999}
"""Codes of work that failed on the GPU, at some time before the call that tells it."""

_LOG, _ERRORS = 4096, (5, 6)  # where a driver's compiler is to put what is wrong, and its size
_WITHOUT_TIMES = 2  # an event that is never asked how long something took
_FOR_ALL_CONTEXTS = 1  # pinned memory that every GPU may copy from
_UNWAITED = _MOVED = 1  # nobody waits for what is called; the graph alone has it
_RELAXED = 2  # while a graph is recorded this thread may also do what is not recorded


class CudaError(RuntimeError):
    """A call of a GPU's driver failed; the message says what that means for the parameters."""


class Driver(ABC):
    """A driver, at work on one GPU. Its calls raise :class:`CudaError`.

    Attributes:
        calls: what its functions are called.
        blocking: the setting of the environment by which it tells which operation failed.
    """

    calls: Calls
    blocking: str

    def __init__(self, library: Any):
        self._library = library

    @abstractmethod
    def current(self) -> AbstractContextManager[None]:
        """Within it, this thread works on this GPU, whichever is torch's current one."""

    @abstractmethod
    def words(self, code: int) -> tuple[str, str]:
        """The name of an error, and what it means."""

    def function(self, image: bytes, name: str) -> int:
        """A kernel of the code in ``image``, which stays loaded."""
        log = ctypes.create_string_buffer(_LOG)
        kinds = (ctypes.c_int * 2)(*_ERRORS)
        values = (ctypes.c_void_p * 2)(ctypes.addressof(log), _LOG)
        try:
            module = self._made(self.calls.load, image + b"\0", len(kinds), kinds, values)
        except CudaError as error:
            told = " ".join(log.value.decode(errors="replace").split())
            raise CudaError(
                f"{error}; its compiler says: {told}" if told else str(error)
            ) from error
        return self._made(self.calls.find, module, name.encode())

    def pinned(self, size: int) -> int:
        """The address of so many bytes that the GPU can copy from by itself."""
        return self._made(self.calls.pin, size, _FOR_ALL_CONTEXTS)

    @contextmanager
    def relaxed(self) -> Iterator[None]:
        """Within it, this thread may do what would end the recording of a graph.

        Of one that it records itself, and of one that another thread records, in whatever mode.
        """
        mode = ctypes.c_int(_RELAXED)
        self._call(self.calls.mode, ctypes.byref(mode))  # exchanges it for the one before
        try:
            yield
        finally:
            self._call(self.calls.mode, ctypes.byref(mode))

    def event(self) -> int:
        """An event, to be recorded and asked for."""
        return self._made(self.calls.event, _WITHOUT_TIMES)

    def record(self, event: int, stream: int) -> None:
        """Let the event happen when the stream comes to here."""
        self._call(self.calls.record, event, stream)

    def happened(self, event: int) -> bool:
        """Whether all is done that the stream had to do before the event."""
        code = getattr(self._library, self.calls.query)(event)
        if code not in (0, NOT_READY):
            raise self._error(self.calls.query, code)
        return code == 0

    def copy(self, to: int, source: int, size: int, stream: int) -> None:
        """Copy pinned memory to the GPU, when the stream comes to it."""
        self._call(self.calls.copy, to, source, size, stream)

    def ends_with_graph(self, stream: int, call: int, given: int) -> None:
        """Have a function of C called with an address when the graph is gone that is recorded.

        By a thread of the driver's, when nothing can replay it any more.
        """
        status, number, graph = ctypes.c_int(), ctypes.c_uint64(), ctypes.c_void_p()
        places = map(ctypes.byref, (status, number, graph))
        self._call(self.calls.recording, stream, *places, None, None)
        thing = self._made(self.calls.thing, given, call, 1, _UNWAITED)
        self._call(self.calls.retain, graph, thing, 1, _MOVED)

    def launch(self, function: int, blocks: int, threads: int, given: Sequence[int], stream: int):
        """Start a kernel, when the stream comes to it; ``given`` are its arguments, addresses."""
        values = (ctypes.c_uint64 * len(given))(*given)
        base = ctypes.addressof(values)
        pointers = (ctypes.c_void_p * len(given))(*range(base, base + 8 * len(given), 8))
        self._call(
            self.calls.launch, function, blocks, 1, 1, threads, 1, 1, 0, stream, pointers, None
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
        name, meaning = self.words(code)
        what = f"{function} failed with {name} ({code})"
        if code in LAUNCH_CODES:
            return CudaError(
                f"earlier work on the GPU failed: {meaning}. {what}. What lies in its memory, "
                "parameters and states among it, is not to be trusted: end this process, and load "
                f"the last checkpoint from before the failure. {self.blocking} shows which "
                "operation it was"
            )
        return CudaError(f"{what}: {meaning}")


class CudaDriver(Driver):
    """CUDA's driver, in the context that torch uses on the GPU of number ``index``."""

    calls = Calls(
        "cuModuleLoadDataEx", "cuModuleGetFunction", "cuMemHostAlloc", "cuMemcpyHtoDAsync_v2",
        "cuEventCreate", "cuEventRecord", "cuEventQuery", "cuLaunchKernel",
        "cuThreadExchangeStreamCaptureMode", "cuStreamGetCaptureInfo_v2", "cuUserObjectCreate",
        "cuGraphRetainUserObject",
    )  # fmt: skip
    blocking = "CUDA_LAUNCH_BLOCKING=1"

    def __init__(self, library: Any, index: int):
        super().__init__(library)
        self._context = self._made("cuDevicePrimaryCtxRetain", index)

    @contextmanager
    def current(self) -> Iterator[None]:
        self._call("cuCtxPushCurrent_v2", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def words(self, code: int) -> tuple[str, str]:
        return self._text("cuGetErrorName", code), self._text("cuGetErrorString", code)

    def _text(self, function: str, code: int) -> str:
        text = ctypes.c_char_p()
        if getattr(self._library, function)(code, ctypes.byref(text)) or not text.value:
            return f"error {code}"
        return text.value.decode(errors="replace")


FUNCTIONS: Functions = {
    **CudaDriver.calls.types(),
    "cuDevicePrimaryCtxRetain": (_P, _I),
    "cuCtxPushCurrent_v2": (_P,),
    "cuCtxPopCurrent_v2": (_P,),
    "cuGetErrorName": (_I, _P),
    "cuGetErrorString": (_I, _P),
}


def cuda() -> Any:
    """CUDA's driver. Raises :class:`Unavailable` where there is none."""
    return opened(["nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"], FUNCTIONS, "CUDA")


def opened(paths: Sequence[str], functions: Functions, of: str) -> Any:
    """The first of these libraries that can be loaded, its functions given their types.

    Raises :class:`Unavailable` where none can, or a function is missing.
    """
    problem: Exception | None = None
    for path in paths:
        try:
            found = ctypes.CDLL(path)
            for function, kinds in functions.items():
                getattr(found, function).argtypes = kinds
            return found
        except (OSError, AttributeError) as error:
            problem = problem or error
    raise Unavailable(f"the driver of {of} cannot be loaded ({problem})") from problem
