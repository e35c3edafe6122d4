"""Machine code in this process: compiled, linked, and kept on disk for the next one."""

from __future__ import annotations

import hashlib
from itertools import count
from typing import Any

from slalom.backends.llvm import cache
from slalom.backends.llvm.compile import optimised, target_machine
from slalom.backends.llvm.load import llvm, may_execute
from slalom.backends.llvm.once import LOCK, once
from slalom.backends.refusals import Unavailable

FORMAT = "4"
"""Of the kept code: to be raised when this package compiles the same text in another way."""

_FORBIDDEN = "the system forbids executable memory"

_alive: list[Any] = []
"""What holds machine code in memory. It is never let go: nobody knows who still calls it."""


@once
def jit() -> Jit:
    """The compiler of this process. Raises :class:`Unavailable` where there can be none."""
    return Jit()


class Jit:
    """LLVM's compiler and linker for the machine that this process runs on.

    Raises :class:`Unavailable` where there can be none.

    Attributes:
        fma: whether the machine multiplies and adds in one rounding.
        half: whether it turns float16 into float32 and back.
        is_amd: whether it is AMD's.
        vector: (float32 in a register, registers of a row of a product that it has room for).
    """

    def __init__(self) -> None:
        self._llvm = llvm()
        if not may_execute():
            raise Unavailable(_FORBIDDEN)
        try:
            triple = self._llvm.get_process_triple()
            cpu = self._llvm.get_host_cpu_name()
            features = self._llvm.get_host_cpu_features()
            self._machine = target_machine(triple, cpu, features.flatten(), in_process=True)
            self._linker = self._llvm.create_lljit_compiler(self._machine, suppress_errors=True)
            _alive.append(self._linker)
        except (RuntimeError, OSError, AttributeError) as error:
            raise Unavailable(f"LLVM could not start ({error})") from error
        self.is_amd = cpu.startswith("znver")
        arm = "aarch64" in triple or "arm64" in triple
        self.fma = arm or bool(features.get("fma"))
        self.half = arm or bool(features.get("f16c"))
        self.vector = (4, 4) if arm else (4, 2)
        if features.get("avx2"):
            self.vector = (16, 4) if features.get("avx512f") else (8, 2)
        version = f"{self._llvm.llvm_version_info} {_llvmlite_version()}"
        self._recipe = (FORMAT, version, triple, cpu, features.flatten())
        self._cache = cache.Cache(cache.chosen())
        self._addresses: dict[str, list[int]] = {}
        self._names = count()
        self._forbidden = False

    def compile(self, assembly: str, *functions: str) -> list[int]:
        """The addresses of ``functions``, definitions of this text of LLVM's assembly.

        They stay valid as long as the process lives, and the same text is compiled only once.
        Raises :class:`Unavailable` where the text is not sound, and where memory can no longer
        be made executable: then for all new text, while what was compiled before still runs.
        """
        recipe = "\n".join((*self._recipe, *functions, assembly))
        key = hashlib.sha256(recipe.encode(errors="backslashreplace")).hexdigest()[:32]
        with LOCK:
            if key not in self._addresses:
                self._addresses[key] = self._load(key, assembly, functions)
            return self._addresses[key]

    def _load(self, key: str, assembly: str, functions: tuple[str, ...]) -> list[int]:
        self._forbidden = self._forbidden or not may_execute()
        if self._forbidden:
            raise Unavailable(_FORBIDDEN)
        if (kept := self._cache.read(key)) is not None:
            try:
                return self._link(key, kept, functions)
            except RuntimeError:
                pass  # of another making than its name promises: made anew
        code = self._machine.emit_object(optimised(assembly, self._machine))
        try:
            addresses = self._link(key, code, functions)
        except RuntimeError as error:
            raise Unavailable(f"LLVM cannot link the code it made ({error})") from error
        self._cache.write(key, code)
        return addresses

    def _link(self, key: str, code: bytes, functions: tuple[str, ...]) -> list[int]:
        """As a library of its own, so that equal names in two texts never meet."""
        builder = self._llvm.JITLibraryBuilder().add_object_img(code)
        for function in functions:
            builder.export_symbol(function)
        library = builder.link(self._linker, f"{key}.{next(self._names)}")
        _alive.append(library)
        return [library[function] for function in functions]


def _llvmlite_version() -> str:
    import llvmlite

    return llvmlite.__version__
