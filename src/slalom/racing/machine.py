"""What this machine is, in words."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache

from slalom.plain import plain


@cache
def processor() -> str:
    """The processor's name, as the system tells it; the architecture where it does not."""
    try:
        if platform.system() == "Darwin":
            done = subprocess.run(
                ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True,
                timeout=5, check=True,
            )  # fmt: skip
            return plain(done.stdout.strip()) or platform.machine()
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == "model name" and value.strip():
                    return plain(value.strip())
    except (OSError, subprocess.SubprocessError):
        pass
    return platform.processor() or platform.machine()


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
