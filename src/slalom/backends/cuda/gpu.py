"""One GPU as a launch sees it: memory, streams, kernels, tables kept equal to the host's."""

from __future__ import annotations

import ctypes
import hashlib
import sys
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends.cuda.driver import CudaError, Driver
from slalom.backends.cuda.target import NVIDIA, Target
from slalom.backends.llvm.cache import Cache, chosen
from slalom.backends.llvm.compile import assembly_for
from slalom.backends.llvm.load import llvm
from slalom.backends.refusals import Unavailable

FORMAT = "1"
"""Of the kept code: to be raised when this package compiles the same text in another way."""


class Gpu:
    """The memory and the kernels of one GPU.

    Attributes:
        driver: of its context.
        target: what its kernels are written for.
        device: what torch calls it.
        architecture: what LLVM calls it.
        judged: of kernels' texts why :mod:`slalom.backends.cuda.proof` found that they are not to
            be used; nothing where they are.
    """

    target: Target = NVIDIA
    judged: dict[str, str]

    def __init__(self, driver: Driver, device: torch.device, architecture: str):
        self.driver, self.judged = driver, {}
        self.device, self.architecture = device, architecture
        self._functions: dict[str, int] = {}
        self._one_copies = Lock()  # or two threads would take the same staging
        self._staging: list[_Staging] = []
        self._recorded: list[_Recorded] = []
        self._cache = Cache(chosen())

    def stream(self) -> int:
        """Torch's current stream on this GPU. Raises RuntimeError in a forked process, as torch."""
        return torch.cuda.current_stream(self.device).cuda_stream

    def wait(self) -> None:
        """Until all is done that the current stream has to do."""
        torch.cuda.current_stream(self.device).synchronize()

    def capturing(self) -> bool:
        """Whether the current stream is being captured into a graph."""
        with torch.cuda.device(self.device):
            return torch.cuda.is_current_stream_capturing()

    def empty(self, size: int) -> Tensor:
        """So many bytes of its memory, from torch's allocator."""
        return torch.empty(max(size, 16), dtype=torch.uint8, device=self.device)

    def used_now(self, memory: Tensor) -> None:
        """Tell torch's allocator that the current stream uses memory of another one's."""
        memory.record_stream(torch.cuda.current_stream(self.device))

    def function(self, text: str) -> int:
        """The kernel ``update`` of a text. Raises :class:`Unavailable` if it cannot be loaded."""
        if text not in self._functions:
            try:
                with self.driver.current(), self.driver.relaxed():
                    self._functions[text] = self.driver.function(self.image(text), "update")
            except CudaError as error:
                raise Unavailable(f"the kernel cannot be loaded ({error})") from error
        return self._functions[text]

    def image(self, text: str) -> bytes:
        """The code of this text, from disk where it was made before."""
        version = llvm().llvm_version_info
        recipe = f"{FORMAT} {version} {self.target.triple} {self.architecture}\n{text}"
        key = hashlib.sha256(recipe.encode()).hexdigest()[:32]
        code = self._cache.read(key)
        if code is None:
            code = self.compiled(text)
            self._cache.write(key, code)
        return code

    def compiled(self, text: str) -> bytes:
        """What its driver loads: PTX of this text."""
        return assembly_for(text, self.target.triple, self.architecture).encode()

    def upload(self, to: int, content: bytes, stream: int) -> None:
        """Copy bytes to an address in its memory when the stream comes to it; nobody waits."""
        size = len(content)
        with self._one_copies, self.driver.relaxed():
            free = (s for s in self._staging if s.size >= size and self.driver.happened(s.event))
            if (staging := next(free, None)) is None:
                staging = self._made(size)
            else:
                self._staging.remove(staging)
            ctypes.memmove(staging.address, content, size)
            self.driver.copy(to, staging.address, size, stream)
            self.driver.record(staging.event, stream)
            self._staging.append(staging)  # where one call failed nobody knows when it is read

    def upload_recorded(self, to: int, content: bytes, stream: int) -> None:
        """As :meth:`upload`, while a graph is recorded: from memory that is that graph's alone.

        The graph reads it whenever it is replayed; when it is gone, the memory may be taken again.
        """
        size = len(content)
        with self._one_copies, self.driver.relaxed():
            own = next((r for r in self._recorded if r.size >= size and r.is_free()), None)
            if own is None:
                room = max(4096, 1 << (size - 1).bit_length())
                own = _Recorded(self.driver.pinned(room + _Recorded.AHEAD), room)
                self._recorded.append(own)
            own.take()
            ctypes.memmove(own.address, content, size)
            if own.ends is not None:
                self.driver.ends_with_graph(stream, own.ends, own.flag)
        self.driver.copy(to, own.address, size, stream)

    def _made(self, size: int) -> _Staging:
        room = max(4096, 1 << (size - 1).bit_length())
        return _Staging(self.driver.pinned(room), room, self.driver.event())


class _Staging:
    """Pinned memory that is copied from, and the event after which it may be written again."""

    def __init__(self, address: int, size: int, event: int):
        self.address, self.size, self.event = address, size, event


class _Recorded:
    """Pinned memory that a graph copies from, behind a flag that says whether there is a graph.

    The flag is a semaphore of the C library's, since the driver tells of the end of a graph by
    calling a function of C, and Python may be gone by then. Where there is no such function the
    memory stays that graph's for good.
    """

    AHEAD = 64

    def __init__(self, address: int, size: int):
        self.flag, self.address, self.size = address, address + self.AHEAD, size
        self.ends = _semaphores().get("sem_post")

    def is_free(self) -> bool:
        """Whether the graph that had it is gone."""
        value = ctypes.c_int()
        if self.ends is not None:
            ctypes.CDLL(None).sem_getvalue(ctypes.c_void_p(self.flag), ctypes.byref(value))
        return value.value > 0

    def take(self) -> None:
        """Be a graph's from now on."""
        if self.ends is not None:
            ctypes.CDLL(None).sem_init(ctypes.c_void_p(self.flag), 0, 0)


@cache
def _semaphores() -> dict[str, int]:
    """The addresses of the C library's functions; none where it has no such."""
    try:
        library = ctypes.CDLL(None)
        names = ("sem_init", "sem_getvalue", "sem_post")
        found = {n: ctypes.cast(getattr(library, n), ctypes.c_void_p).value or 0 for n in names}
        return found if sys.platform == "linux" else {}
    except (OSError, AttributeError, TypeError):
        return {}


class Mirror:
    """An array of the host's that the GPU has a copy of.

    ``beside`` are bytes that lie behind the copy, for whatever kernels need.

    Attributes:
        host: the array, to be changed at will unless it is ``fixed``, and then sent once.
    """

    def __init__(self, gpu: Gpu, host: np.ndarray, *, fixed: bool = False, beside: int = 0):
        self.host, self._gpu, self._fixed = host, gpu, fixed
        self._memory = gpu.empty(host.nbytes + beside)
        self._sent: bytes | None = None
        self._streams: Any = {gpu.stream()}

    @property
    def address(self) -> int:
        """Where the copy lies."""
        return self._memory.data_ptr()

    @property
    def end(self) -> int:
        """Where the copy ends, and what is beside it begins."""
        return self.address + self.host.nbytes

    def beside(self) -> Tensor:
        """What lies behind the copy, as bytes."""
        return self._memory[self.host.nbytes :]

    def send(self, stream: int) -> None:
        """Make the copy equal to the host's array, where it is not."""
        if stream not in self._streams:
            self._gpu.used_now(self._memory)
            self._streams.add(stream)
        if self._fixed and self._sent is not None:
            return
        content = self.host.tobytes()
        if content != self._sent:
            self._sent = None  # if this fails, nobody knows
            self._gpu.upload(self.address, content, stream)
            self._sent = content

    def put(self, place: int, number: Tensor) -> None:
        """Write a number of the GPU's own to the place of a float64, once it was sent."""
        self._memory.view(torch.float64)[place].copy_(number)
