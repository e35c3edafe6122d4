"""The ways of running an update, the first that can serve a parameter being taken.

A backend is one folder here, behind the protocol of :mod:`slalom.backends.base`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from slalom.backends.base import Backend
from slalom.backends.cuda import Cuda
from slalom.backends.foreach import Foreach
from slalom.backends.llvm import Llvm
from slalom.backends.refusals import MATRICES, OWNED, SUMMED, TOGETHER, WHOLE

BACKENDS: list[Backend] = [Llvm(), Cuda(), Foreach()]
"""All backends, in the order in which they are asked. The last one refuses nothing."""


UNWRITTEN = (WHOLE, TOGETHER, MATRICES, SUMMED, OWNED)
"""Why there is no machine code of a rule on a device, or of tensors in parts."""


def lacking(device: torch.device) -> str | None:
    """Why there is no machine code for parameters on a device, while there is for others."""
    served = {backend.device for backend in BACKENDS} - {None}
    if not served or device.type in served:
        return None
    return f"it is on {device}; machine code is made for {' and '.join(sorted(map(str, served)))}"


@contextmanager
def using(*backends: str | Backend) -> Iterator[None]:
    """Within it, plans that are made choose among these backends alone.

    Names are those of :data:`BACKENDS`; a backend of one's own is given itself. For tests, and to
    compare. Raises ValueError for an unknown name.
    """
    known = {backend.name: backend for backend in BACKENDS}
    for backend in backends:
        if isinstance(backend, str) and backend not in known:
            raise ValueError(f"there is no backend {backend!r}; there are {', '.join(known)}")
    before = list(BACKENDS)
    BACKENDS[:] = [known[b] if isinstance(b, str) else b for b in backends]
    try:
        yield
    finally:
        BACKENDS[:] = before
