"""Random numbers of one's own, drawn by code that knows only the global generators."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


class RandomStream:
    """A stream of random numbers that takes the place of the global ones inside ``with``.

    The global generators are left as they were found, and the stream goes on where it stopped the
    next time: torch's of the CPU and of ``device``, and where ``wide`` those of Python and NumPy
    too, which take longer to put in place than a small model takes to train a step.
    """

    def __init__(self, seed: int, device: torch.device, *, wide: bool = True):
        self._device, self._wide = device, wide
        outside = self._read()
        for generator in self._generators():
            generator.manual_seed(seed)
        if wide:
            random.seed(seed)
            np.random.seed(seed % 2**32)
        self._own = self._read()
        self._write(outside)

    def __enter__(self) -> None:
        self._outside = self._read()
        self._write(self._own)

    def __exit__(self, *error: object) -> None:
        self._own = self._read()
        self._write(self._outside)

    def state(self) -> dict[str, Any]:
        """Where the stream stands, in tensors and plain values."""
        tensors, rest = self._own
        if rest is None:
            return {"torch": list(tensors)}
        python, (kind, keys, *numpy) = rest
        return {"torch": list(tensors), "python": python, "numpy": [kind, keys.tolist(), *numpy]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state` was taken."""
        rest = None
        if self._wide:
            kind, keys, *numpy = state["numpy"]
            rest = state["python"], (kind, np.array(keys, dtype=np.uint32), *numpy)
        self._own = [tensor.cpu() for tensor in state["torch"]], rest

    def _generators(self) -> list[torch.Generator]:
        if self._device.type != "cuda":
            return [torch.default_generator]
        torch.cuda.init()
        index = self._device.index
        index = torch.cuda.current_device() if index is None else index
        return [torch.default_generator, torch.cuda.default_generators[index]]

    def _read(self) -> Any:
        tensors = [generator.get_state() for generator in self._generators()]
        return tensors, (random.getstate(), np.random.get_state()) if self._wide else None

    def _write(self, state: Any) -> None:
        tensors, rest = state
        for generator, tensor in zip(self._generators(), tensors, strict=True):
            generator.set_state(tensor)
        if rest is not None:
            random.setstate(rest[0])
            np.random.set_state(rest[1])
