"""A launch over tensors given as they are, whose tables are made for it alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from slalom.backends.cuda.gpu import Gpu
from slalom.backends.cuda.kernel import AHEAD, CHUNK
from slalom.backends.cuda.target import THREADS

Members = Sequence[tuple[int, Sequence[Tensor]]]
"""The number of its row, and its arrays, of each tensor that is updated."""


def prepared(gpu: Gpu, function: int, members: Members, rows: Tensor) -> Callable[[], None]:
    """What starts a kernel over these, on the current stream, and needs no more memory of the GPU.

    ``rows`` (float64 on the GPU) are as :func:`slalom.backends.cuda.kernel.kernel` has them. It
    may be called once, and a graph may record it.
    """
    numels = [t[0].numel() * (2 if t[0].is_complex() else 1) for _, t in members]
    chunks = [
        np.int64(i << 32) + np.arange(-(-n // CHUNK), dtype=np.int64) for i, n in enumerate(numels)
    ]
    blocks = np.concatenate(chunks)
    if not blocks.size:
        return lambda: None
    lie = [
        [n, place, *(x.data_ptr() for x in tensors)]
        for n, (place, tensors) in zip(numels, members, strict=True)
    ]
    segments = np.array(lie, np.uint64).view(np.int64)
    assert segments.shape[1] == AHEAD + len(members[0][1])
    content = np.concatenate([segments.ravel(), blocks]).tobytes()  # one copy for both
    memory = gpu.empty(len(content))

    def start() -> None:
        address, stream = memory.data_ptr(), gpu.stream()
        upload = gpu.upload_recorded if gpu.capturing() else gpu.upload
        with gpu.driver.current():
            upload(address, content, stream)
            given = [address, address + segments.nbytes, rows.data_ptr()]
            gpu.driver.launch(function, blocks.size, THREADS, given, stream)

    return start
