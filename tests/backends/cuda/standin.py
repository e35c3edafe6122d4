"""Stand-ins for GPUs' drivers: memory is the host's, kernels run here, all calls are put down."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from typing import Any

import simulated
import torch
from simulated import HOST

from slalom.backends.cuda import Cuda
from slalom.backends.cuda.driver import CudaDriver
from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.hip import HipDriver

DEFAULT, RELAXED = 0, 2


class Library:
    """CUDA's functions that a launch calls, with a queue of work for each stream.

    Attributes:
        calls: what was called, in order: name and what matters of it.
        fails: name of a function -> the code that it returns from now on.
        eager: whether work is done at once; else by :meth:`finish`.
        unknown: codes that this driver has no words for.
        captured: whether a graph is being recorded, which ends by calls that are not for it.
        graph: what was recorded, which is done by :meth:`replay`.
        ends: functions and what they are called with when that is let go.
    """

    def __init__(self, eager: bool = True):
        self.eager, self.calls, self.fails = eager, [], {}
        self.unknown: set[int] = set()
        self.captured, self._mode = False, 0
        self.graph: list[Callable[[], Any]] = []
        self.ends: list[tuple[int, int]] = []
        self._queues: dict[int, deque[Callable[[], Any]]] = {}
        self._kept: list[Any] = []
        self._texts: dict[int, str] = {}
        self._events: dict[int, bool] = {}
        self.context: list[int] = []

    def names(self) -> list[str]:
        return [name for name, *_ in self.calls]

    def finish(self, stream: int | None = None) -> None:
        """Do what a stream, or each, still has to do."""
        for own, queue in self._queues.items():
            while queue and stream in (None, own):
                queue.popleft()()

    def _called(self, name: str, *what: Any) -> int:
        if not name.startswith(("cuCtx", "cuDevice")):
            assert self.context, f"{name} in no context"
        self.calls.append((name, *what))
        if self.captured and self._mode != RELAXED and name in NOT_RECORDED:
            return 906
        return self.fails.get(name, 0)

    def cuThreadExchangeStreamCaptureMode(self, mode):  # noqa: N802
        self._mode, mode._obj.value = mode._obj.value, self._mode
        return self._called("cuThreadExchangeStreamCaptureMode")

    def drop(self) -> None:
        """Let go of what was recorded, and tell those who want to know of it."""
        self.graph.clear()
        for call, given in self.ends:
            ctypes.CFUNCTYPE(None, ctypes.c_void_p)(call)(given)
        self.ends.clear()

    def cuStreamGetCaptureInfo_v2(self, stream, status, number, graph, nodes, many):  # noqa: N802
        assert (nodes, many) == (None, None)
        status._obj.value, number._obj.value, graph._obj.value = self.captured, 1, GRAPH
        return self._called("cuStreamGetCaptureInfo_v2", stream)

    def cuUserObjectCreate(self, out, given, call, count, flags):  # noqa: N802
        assert (count, flags) == (1, 1)
        out._obj.value = self._number((call, given))
        return self._called("cuUserObjectCreate")

    def cuGraphRetainUserObject(self, graph, thing, count, flags):  # noqa: N802
        assert (graph.value, count, flags) == (GRAPH, 1, 1)
        self.ends.append(self._kept.pop())
        return self._called("cuGraphRetainUserObject")

    def replay(self) -> None:
        """Do what was recorded, in order."""
        for work in self.graph:
            work()

    def _do(self, stream: int, work: Callable[[], Any]) -> None:
        if self.captured and self._mode != RELAXED:
            self.graph.append(work)
            return
        self._queues.setdefault(stream, deque()).append(work)
        if self.eager:
            self.finish()

    def _number(self, thing: Any) -> int:
        self._kept.append(thing)
        return 1000 + len(self._kept)

    def cuDevicePrimaryCtxRetain(self, out, index):  # noqa: N802
        out._obj.value = 7000 + index
        return self._called("cuDevicePrimaryCtxRetain", index)

    def cuCtxPushCurrent_v2(self, context):  # noqa: N802
        self.context.append(context)
        return self._called("cuCtxPushCurrent_v2", context)

    def cuCtxPopCurrent_v2(self, out):  # noqa: N802
        out._obj.value = self.context.pop()
        return self._called("cuCtxPopCurrent_v2")

    def cuModuleLoadDataEx(self, out, image, many, kinds, values):  # noqa: N802
        assert (many, list(kinds)) == (2, [5, 6])
        if self.fails.get("cuModuleLoadDataEx"):
            ctypes.memmove(values[0], b"ptxas says\n no\0", 16)
        out._obj.value = number = self._number(image)
        self._texts[number] = image.rstrip(b"\0").decode()
        return self._called("cuModuleLoadDataEx")

    def cuModuleGetFunction(self, out, module, name):  # noqa: N802
        assert name == b"update"
        out._obj.value = module
        return self._called("cuModuleGetFunction")

    def cuMemHostAlloc(self, out, size, flags):  # noqa: N802
        if not (code := self._called("cuMemHostAlloc", size)):
            memory = ctypes.create_string_buffer(size)
            self._kept.append(memory)
            out._obj.value = ctypes.addressof(memory)
        return code

    def cuMemcpyHtoDAsync_v2(self, to, source, size, stream):  # noqa: N802
        code = self._called("cuMemcpyHtoDAsync_v2", size, stream)
        if not code:  # what is copied is what lies there when the stream comes to it
            self._do(stream, lambda: ctypes.memmove(to, source, size))
        return code

    def cuEventCreate(self, out, flags):  # noqa: N802
        out._obj.value = event = self._number("event")
        self._events[event] = True
        return self._called("cuEventCreate")

    def cuEventRecord(self, event, stream):  # noqa: N802
        if not (code := self._called("cuEventRecord", stream)):
            self._events[event] = False
            self._do(stream, lambda: self._events.__setitem__(event, True))
        return code

    def cuEventQuery(self, event):  # noqa: N802
        return self._called("cuEventQuery") or (0 if self._events[event] else 600)

    def cuLaunchKernel(self, function, *sizes_and_more):  # noqa: N802
        *sizes, shared, stream, pointers, extra = sizes_and_more
        assert (sizes[1:], shared, extra) == ([1, 1, 128, 1, 1], 0, None)
        assert self.context
        given = [ctypes.c_uint64.from_address(p).value for p in pointers]
        code = self._called("cuLaunchKernel", sizes[0], stream)
        if not code:
            text = self._texts[function]
            self._do(stream, lambda: simulated.launch(text, given, sizes[0]))
        return code

    def cuGetErrorName(self, code, out):  # noqa: N802
        out._obj.value = None if code in self.unknown else b"CUDA_ERROR_%d" % code
        return 1 if code in self.unknown else 0

    def cuGetErrorString(self, code, out):  # noqa: N802
        out._obj.value = None if code in self.unknown else b"what error %d means" % code
        return 1 if code in self.unknown else 0


class HipLibrary(Library):
    """The same by HIP's names, with a current GPU in place of contexts.

    Attributes:
        device: the number of the current one.
    """

    def __init__(self, eager: bool = True):
        super().__init__(eager)
        self.device = OTHER

    def __getattr__(self, name: str) -> Any:
        if name in _CUDAS:
            return getattr(self, _CUDAS[name])
        raise AttributeError(name)

    @property
    def context(self) -> bool:
        return self.device != OTHER

    @context.setter
    def context(self, _: Any) -> None:
        pass

    def _called(self, name: str, *what: Any) -> int:
        return super()._called(_HIPS.get(name, name), *what)

    def hipGetDevice(self, out):  # noqa: N802
        out._obj.value = self.device
        return self.fails.get("hipGetDevice", 0)

    def hipSetDevice(self, index):  # noqa: N802
        if not (code := self.fails.get("hipSetDevice", 0)):
            self.device = index
        return code

    def hipGetErrorName(self, code):  # noqa: N802
        return None if code in self.unknown else b"HIP_ERROR_%d" % code

    def hipGetErrorString(self, code):  # noqa: N802
        return None if code in self.unknown else b"what error %d means" % code


GRAPH = 77
"""The handle of what is recorded."""
OTHER = 5
"""The number of a GPU that torch works on besides."""
NOT_RECORDED = {
    name
    for calls in (CudaDriver.calls, HipDriver.calls)
    for name in (calls.load, calls.pin, calls.event, calls.query)
}
"""What a thread may not call while a graph is recorded, unless it is relaxed."""
_CUDAS = dict(zip(HipDriver.calls, CudaDriver.calls, strict=True))
_HIPS = {cuda: hip for hip, cuda in _CUDAS.items()}


class SimulatedGpu(Gpu):
    """A GPU whose memory is the host's.

    Attributes:
        current: the number of its current stream.
        told: the memory that torch was told another stream uses, and the stream.
    """

    target = HOST

    def __init__(self, library: Any, index: int = 0):
        driver = (HipDriver if isinstance(library, HipLibrary) else CudaDriver)(library, index)
        super().__init__(driver, torch.device("cpu"), "this machine")
        self.current = DEFAULT
        self.told: list[tuple[int, int]] = []
        self._kept: list[torch.Tensor] = []

    def stream(self) -> int:
        return self.current

    def empty(self, size: int) -> torch.Tensor:
        self._kept.append(
            super().empty(size)
        )  # torch's allocator waits for what a stream has to do
        return self._kept[-1]

    def wait(self) -> None:
        self.driver._library.finish(self.current)

    def capturing(self) -> bool:
        return self.driver._library.captured

    def used_now(self, memory: torch.Tensor) -> None:
        self.told.append((memory.data_ptr(), self.current))

    def image(self, text: str) -> bytes:
        return text.encode()


class Simulated(Cuda):
    """The backend of GPUs for parameters in the host's memory."""

    name = "simulated"
    device = "cpu"

    def __init__(self, eager: bool = True, library: type[Library] = Library):
        self.library = library(eager)
        self.gpu = SimulatedGpu(self.library)

    def gpu_of(self, device: torch.device) -> Gpu:
        return self.gpu
