"""LLVM, if this process may have it: llvmlite loaded, memory that may be executed."""

from __future__ import annotations

import ctypes
import importlib
import mmap
import struct
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from slalom.backends.refusals import Unavailable


def llvm() -> Any:
    """The module ``llvmlite.binding``.

    Raises :class:`Unavailable` where llvmlite is not installed or its library does not load.
    """
    try:
        if broken := _cut_short():
            raise OSError(f"{broken} is not whole")
        return importlib.import_module("llvmlite.binding")
    except (ImportError, OSError, RuntimeError, AttributeError, ValueError) as error:
        raise Unavailable(f"llvmlite cannot be imported ({error})") from error


def _cut_short() -> Path | None:
    """LLVM's library if its file ends before what the system's loader would read of it.

    The loader ends the process then, by a bus error.
    """
    found = find_spec("llvmlite") if "llvmlite" not in sys.modules else None
    if found is None or found.origin is None:
        return None  # loaded already, or not there, which the import will say
    library = Path(found.origin).parent / "binding" / "libllvmlite.so"
    if not library.is_file():
        return None
    with library.open("rb") as file:
        header = file.read(64)
        if header[:6] != b"\x7fELF\x02\x01" or len(header) < 64:  # 64 bits, little endian
            return None
        (start,), (size, count) = (
            struct.unpack_from("<Q", header, 32),
            struct.unpack_from("<HH", header, 54),
        )
        file.seek(start)
        table = file.read(size * count)
    if len(table) < size * count:
        return library
    for at in range(0, size * count, size):
        (kind,) = struct.unpack_from("<I", table, at)
        (offset,), (length,) = (struct.unpack_from("<Q", table, at + x) for x in (8, 32))
        if kind == 1 and offset + length > library.stat().st_size:  # a part to be mapped
            return library
    return None


def may_execute() -> bool:
    """Whether memory that was written may be made executable now; it is tried with one page."""
    if sys.platform != "linux":
        return True
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    read_execute = 1 | 4
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        page.write(b"\xc3")
        address = ctypes.addressof(byte := ctypes.c_char.from_buffer(page))
        allowed = libc.mprotect(address, mmap.PAGESIZE, read_execute) == 0
        libc.mprotect(address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE)
        del byte
    return allowed
