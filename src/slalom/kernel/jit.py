"""Turn LLVM's assembly into machine code in this process, and keep the code between processes."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import cache, cached_property, wraps
from pathlib import Path
from typing import Any, TypeVar

FORMAT = "3"
"""Of the kept code: to be raised when this file names or optimises code in another way."""


class Unavailable(RuntimeError):  # noqa: N818 - a state of affairs, not a mistake
    """Machine code cannot be made here; the message says why."""


T = TypeVar("T")


def once(make: Callable[[], T]) -> Callable[[], T]:
    """As :func:`functools.cache`, but what several threads ask for at once is made only once.

    A second compiler would take its machine code along when it is dropped.
    """
    lock, made = threading.Lock(), cache(make)

    @wraps(make)
    def get() -> T:
        with lock:
            return made()

    get.cache_clear = made.cache_clear  # type: ignore[attr-defined]
    return get


@once
def jit() -> Jit:
    """The compiler of this process. Raises :class:`Unavailable` where there can be none."""
    try:
        import llvmlite.binding as llvm
    except ImportError as error:
        raise Unavailable(f"llvmlite cannot be imported ({error})") from error
    if not _may_execute():
        raise Unavailable("the system forbids executable memory")
    try:
        return Jit(llvm)
    except (RuntimeError, OSError) as error:
        raise Unavailable(f"LLVM could not start ({error})") from error


class Jit:
    """One LLVM execution engine; the code it makes lives as long as the process.

    Attributes:
        fma: whether the machine multiplies and adds in one rounding.
        half: whether it turns float16 into float32 and back.
    """

    def __init__(self, llvm: Any):
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self._llvm = llvm
        self._triple = llvm.get_process_triple()
        features = llvm.get_host_cpu_features()
        self._cpu = llvm.get_host_cpu_name()
        self._features = features.flatten()
        arm = "aarch64" in self._triple or "arm64" in self._triple
        self.fma = arm or bool(features.get("fma"))
        self.half = arm or bool(features.get("f16c"))
        self._target = llvm.Target.from_triple(self._triple).create_target_machine(
            cpu=self._cpu, features=self._features, opt=3, codemodel="jitdefault", jit=True
        )
        self._addresses: dict[str, list[int]] = {}
        self._lock = threading.Lock()
        self._pending: tuple[str, bytes | None] = ("", None)
        empty = llvm.parse_assembly("")
        self._engine = llvm.create_mcjit_compiler(empty, self._target)
        self._engine.finalize_object()  # or the empty module would be kept under another's name
        self._engine.set_object_cache(self._keep, self._known)

    def compile(self, assembly: str, *functions: str) -> list[int]:
        """The addresses of ``functions``, the external definitions of this assembly."""
        recipe = "\n".join(
            (FORMAT, _version(), self._triple, self._cpu, self._features, *functions, assembly)
        )
        key = hashlib.sha256(recipe.encode()).hexdigest()[:32]
        with self._lock:
            if key not in self._addresses:
                self._addresses[key] = self._load(key, assembly, functions)
            return self._addresses[key]

    def _load(self, key: str, assembly: str, functions: tuple[str, ...]) -> list[int]:
        # Every name must be unique in the process: LLVM's linker mixes up even internal ones.
        for name in re.findall(r"^define .*?@(\w+)\(", assembly, re.MULTILINE):
            assembly = re.sub(rf"@{name}\b", f"@slalom_{name}_{key}", assembly)
        module = self._llvm.parse_assembly(assembly)
        module.triple, module.data_layout = self._triple, str(self._target.target_data)
        self._pending = key, _read(self._folder, key)
        if self._pending[1] is None:
            self._optimise(module)
        self._engine.add_module(module)
        self._engine.finalize_object()
        names = [f"slalom_{function}_{key}" for function in functions]
        addresses = [self._engine.get_function_address(name) for name in names]
        if not all(addresses):
            raise Unavailable(f"the code kept in {self._folder} lacks what its name promises")
        return addresses

    def _optimise(self, module: Any) -> None:
        options = self._llvm.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = True
        options.loop_interleaving = True
        passes = self._llvm.create_pass_builder(self._target, options)
        passes.getModulePassManager().run(module, passes)

    def _known(self, module: Any) -> bytes | None:
        return self._pending[1]

    def _keep(self, module: Any, code: bytes) -> None:
        _write(self._folder, self._pending[0], code)

    @cached_property
    def _folder(self) -> Path | None:
        """Where code is kept between processes; None where no folder can be trusted."""
        chosen = os.environ.get("SLALOM_CACHE")
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        folder = Path(chosen) if chosen else Path(base).expanduser() / "slalom"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            owner = folder.stat().st_uid
        except (OSError, RuntimeError):
            return None
        if hasattr(os, "getuid") and owner != os.getuid():
            return None  # what another may write, this process does not run
        return folder


def _version() -> str:
    import llvmlite

    return llvmlite.__version__


def _read(folder: Path | None, key: str) -> bytes | None:
    """The kept code, if it is whole: a digest stands before it."""
    try:
        content = (folder / f"{key}.o").read_bytes() if folder else b""
    except OSError:
        return None
    digest, code = content[:32], content[32:]
    return code if code and hashlib.sha256(code).digest() == digest else None


def _write(folder: Path | None, key: str, code: bytes) -> None:
    if folder is None:
        return
    try:
        handle, temporary = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(code).digest() + code)
        os.replace(temporary, folder / f"{key}.o")
    except OSError:
        return  # a full or read-only disk costs the next process a compilation, nothing else


def _may_execute() -> bool:
    """Whether a page that was written may be executed: LLVM ends the process where it may not."""
    if sys.platform != "linux":
        return True
    libc = ctypes.CDLL(None, use_errno=True)
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        address = ctypes.addressof(byte := ctypes.c_char.from_buffer(page))
        libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        read_execute = 1 | 4
        allowed = libc.mprotect(address, mmap.PAGESIZE, read_execute) == 0
        libc.mprotect(address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE)
        del byte
    return allowed
