"""Memory that a process gives back to the system between two steps, and asks for again: kept."""

from __future__ import annotations

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Of glibc's ``malloc.h``."""


def keep_memory() -> str:
    """Let the process keep the memory that it frees, for the next step; says what was done.

    With glibc, large blocks (of 32 MiB always, smaller ones at first) are asked of the system when
    they are allocated and given back when they are freed, and so is the end of the heap. A training
    step allocates the same activations and gradients as the one before it, and each time the kernel
    clears every page of them. Two calls of ``mallopt`` turn that off, with the values that its
    manual has for it: M_MMAP_MAX at 0, M_TRIM_THRESHOLD at -1.

    For the whole process, and until it ends, which then holds what it needed at most at once. No
    number changes. Call it before the first training step. Nothing is done where there is no glibc
    (macOS, Windows, musl), or where LD_PRELOAD puts another allocator in its place.
    """
    if platform.libc_ver()[0] != "glibc":
        return "nothing was done: there is no glibc here"
    for other in ("jemalloc", "tcmalloc", "mimalloc"):
        if other in os.environ.get("LD_PRELOAD", ""):
            return f"nothing was done: memory is of {other}, and not of glibc"
    try:
        set_parameter = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return "nothing was done: there is no mallopt here"
    if not (set_parameter(M_MMAP_MAX, 0) and set_parameter(M_TRIM_THRESHOLD, -1)):
        return "glibc's mallopt refused, and memory goes back to the system as before"
    return "memory that is freed stays with the process, for its next step"
