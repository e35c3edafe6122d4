"""Machine code in this process; see :mod:`slalom.backends.llvm.jit`."""

from slalom.backends.llvm.jit import Jit, Unavailable, jit, once

__all__ = ["Jit", "Unavailable", "jit", "once"]
