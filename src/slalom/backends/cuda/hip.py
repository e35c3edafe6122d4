"""AMD's GPUs: HIP's library, which torch's builds for ROCm have loaded, and code for them.

LLVM makes an object of a kernel; what HIP loads has gone through a linker, that of AMD's code
object manager (``comgr``), which lies beside HIP's library.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from slalom.backends.cuda.driver import Calls, Driver, Functions, opened
from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.target import AMD
from slalom.backends.llvm.compile import object_for
from slalom.backends.refusals import Unavailable

PROCESSORS = (
    "gfx908", "gfx90a", "gfx942", "gfx950", "gfx1030", "gfx1100", "gfx1101", "gfx1102", "gfx1200",
    "gfx1201",
)  # fmt: skip
"""What kernels are made for, as LLVM calls them."""

_P, _I, _U, _N = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint, ctypes.c_size_t
_H = ctypes.c_uint64  # a handle of comgr's, a structure of one number


class HipDriver(Driver):
    """HIP at work on the GPU of number ``index``."""

    calls = Calls(
        "hipModuleLoadDataEx", "hipModuleGetFunction", "hipHostMalloc", "hipMemcpyHtoDAsync",
        "hipEventCreateWithFlags", "hipEventRecord", "hipEventQuery", "hipModuleLaunchKernel",
        "hipThreadExchangeStreamCaptureMode", "hipStreamGetCaptureInfo_v2", "hipUserObjectCreate",
        "hipGraphRetainUserObject",
    )  # fmt: skip
    blocking = "AMD_SERIALIZE_KERNEL=3"

    def __init__(self, library: Any, index: int):
        super().__init__(library)
        self._index = index

    @contextmanager
    def current(self) -> Iterator[None]:
        before = ctypes.c_int()
        self._call("hipGetDevice", ctypes.byref(before))
        self._call("hipSetDevice", self._index)
        try:
            yield
        finally:
            self._call("hipSetDevice", before.value)

    def words(self, code: int) -> tuple[str, str]:
        given = (self._library.hipGetErrorName(code), self._library.hipGetErrorString(code))
        name, meaning = (w.decode(errors="replace") if w else f"error {code}" for w in given)
        return name, meaning


FUNCTIONS: Functions = {
    **HipDriver.calls.types(),
    "hipGetDevice": (_P,),
    "hipSetDevice": (_I,),
    "hipGetErrorName": (_I,),
    "hipGetErrorString": (_I,),
}

LINKER: Functions = {
    "amd_comgr_get_version": (_P, _P),
    "amd_comgr_create_data_set": (_P,),
    "amd_comgr_destroy_data_set": (_H,),
    "amd_comgr_create_data": (_I, _P),
    "amd_comgr_release_data": (_H,),
    "amd_comgr_set_data": (_H, _N, ctypes.c_char_p),
    "amd_comgr_set_data_name": (_H, ctypes.c_char_p),
    "amd_comgr_get_data": (_H, _P, _P),
    "amd_comgr_data_set_add": (_H, _H),
    "amd_comgr_create_action_info": (_P,),
    "amd_comgr_destroy_action_info": (_H,),
    "amd_comgr_action_info_set_isa_name": (_H, ctypes.c_char_p),
    "amd_comgr_do_action": (_I, _H, _H, _H),
    "amd_comgr_action_data_get_data": (_H, _I, _N, _P),
}

_RELOCATABLE, _EXECUTABLE = 7, 8
_LINK = {2: 9, 3: 7}
"""The number of the action that links, by comgr's major version."""


class HipGpu(Gpu):
    """One of AMD's GPUs; ``architecture`` is one of :data:`PROCESSORS`, ``linker`` comgr."""

    target = AMD

    def __init__(self, driver: Driver, device: torch.device, architecture: str, linker: Any):
        super().__init__(driver, device, architecture)
        self._linker = linker

    def compiled(self, text: str) -> bytes:
        relocatable = object_for(text, self.target.triple, self.architecture)
        return linked(self._linker, relocatable, f"{self.target.triple}--{self.architecture}")


def gpu(index: int) -> HipGpu:
    """The GPU of this number. Raises :class:`Unavailable` where kernels cannot be had for it."""
    name = torch.cuda.get_device_properties(index).gcnArchName.partition(":")[0]
    if name not in PROCESSORS:
        raise Unavailable(f"it is a {name}, and kernels are made for {', '.join(PROCESSORS)}")
    path = loaded("libamdhip64") or "libamdhip64.so"
    library = opened([path], FUNCTIONS, "HIP")
    library.hipGetErrorName.restype = library.hipGetErrorString.restype = ctypes.c_char_p
    beside = sorted(map(str, Path(path).parent.glob("libamd_comgr*"))) if "/" in path else []
    usual = [f"libamd_comgr.so{end}" for end in (".3", ".2", "")]
    manager = loaded("libamd_comgr")
    linker = opened([*([manager] if manager else []), *beside, *usual], LINKER, "AMD's comgr")
    return HipGpu(HipDriver(library, index), torch.device("cuda", index), name, linker)


def loaded(name: str) -> str | None:
    """The path of a library that this process has loaded, by what its file's name begins with."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None
    paths = (line.partition("/")[2] for line in lines)
    return next(("/" + p for p in paths if Path(p).name.startswith(name)), None)


def linked(linker: Any, relocatable: bytes, isa: str) -> bytes:
    """The code object that HIP loads, of an object file. Raises :class:`Unavailable`."""

    def call(function: str, *given: Any) -> None:
        if code := getattr(linker, f"amd_comgr_{function}")(*given):
            raise Unavailable(f"the kernel cannot be linked ({function} failed with {code})")

    def made(function: str, *given: Any) -> int:
        handle = _H()
        call(function, *given, ctypes.byref(handle))
        return handle.value

    major, minor = _N(), _N()
    linker.amd_comgr_get_version(ctypes.byref(major), ctypes.byref(minor))
    if major.value not in _LINK:
        raise Unavailable(f"AMD's comgr has version {major.value}, and 2 or 3 is asked for")
    with ExitStack() as kept:
        source = made("create_data", _RELOCATABLE)
        kept.callback(linker.amd_comgr_release_data, source)
        call("set_data", source, len(relocatable), relocatable)
        call("set_data_name", source, b"update.o")
        sets: Sequence[int] = [made("create_data_set") for _ in range(2)]
        for one in sets:
            kept.callback(linker.amd_comgr_destroy_data_set, one)
        call("data_set_add", sets[0], source)
        action = made("create_action_info")
        kept.callback(linker.amd_comgr_destroy_action_info, action)
        call("action_info_set_isa_name", action, isa.encode())
        call("do_action", _LINK[major.value], action, *sets)
        result = made("action_data_get_data", sets[1], _EXECUTABLE, 0)
        kept.callback(linker.amd_comgr_release_data, result)
        size = _N()
        call("get_data", result, ctypes.byref(size), None)
        content = ctypes.create_string_buffer(size.value)
        call("get_data", result, ctypes.byref(size), content)
        return content.raw
