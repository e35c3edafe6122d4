"""Which GPUs are served, by torch's numbers of them."""

from __future__ import annotations

from functools import cache

import torch

from slalom.backends.cuda import hip
from slalom.backends.cuda.driver import CudaDriver, cuda
from slalom.backends.cuda.gpu import Gpu
from slalom.backends.refusals import Unavailable

CAPABILITIES = (80, 90, 100)
"""The compute capabilities that code is made for; later GPUs run the code of earlier ones."""


@cache
def gpu(index: int) -> Gpu:
    """The GPU of this number. Raises :class:`Unavailable` where kernels cannot be had for it."""
    torch.cuda.init()
    if torch.version.hip is not None:
        return hip.gpu(index)
    major, minor = torch.cuda.get_device_capability(index)
    served = [c for c in CAPABILITIES if c <= 10 * major + minor]
    if not served:
        raise Unavailable(
            f"its compute capability is {major}.{minor}, and kernels are made from "
            f"{CAPABILITIES[0] // 10}.0 on"
        )
    return Gpu(CudaDriver(cuda(), index), torch.device("cuda", index), f"sm_{served[-1]}")
