"""Random numbers of one's own, drawn by code that knows only the global generators."""

from __future__ import annotations

import contextlib
import ctypes
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

_numpy: Any = np.random  # two of whose functions its stubs leave out

_MT19937 = 2500
"""Bytes of the state behind ``MT19937.ctypes``: 624 words and the place among them."""


class RandomStream:
    """A stream of random numbers that takes the place of the global ones inside ``with``.

    torch's of the CPU and of ``device``, Python's and NumPy's. The global generators are left as
    they were found, and the stream goes on where it stopped the next time. Streams may be entered
    inside one another.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu"):
        self._generators = _generators(torch.device(device))
        self._numpy: Any = np.random.MT19937(0)
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Begin anew, as a stream of this seed."""
        self._fresh: int | None = seed % 2**32  # NumPy's, seeded where it is entered
        self._normal: Any = None  # the state of NumPy's generator where it holds a normal number
        self._python: Any = random.Random(seed).getstate()
        self._torch = [_seeded(generator, seed) for generator in self._generators]

    def __enter__(self) -> None:
        if _stack:
            _stack[-1].suspend()
        else:
            _stack.append(_Outside(self._generators))
        _stack.append(self)
        self.resume()

    def __exit__(self, *error: object) -> None:
        self.suspend()
        _stack.pop()
        _stack[-1].resume()
        if isinstance(_stack[-1], _Outside) and not _stack[-1].held:
            _stack.pop()

    def resume(self) -> None:
        """Take the place of the global generators."""
        for generator, state in zip(self._generators, self._torch, strict=True):
            generator.set_state(state)
        random.setstate(self._python)
        # Another generator in its place is a hundred times as fast as another state in it.
        _numpy.set_bit_generator(self._numpy)
        if self._fresh is not None:
            np.random.seed(self._fresh)
            self._fresh = None
        elif self._normal is not None:
            np.random.set_state(self._normal)
        self._before = self._words()

    def suspend(self) -> None:
        """Remember where the global generators stand."""
        self._torch = [generator.get_state() for generator in self._generators]
        self._python = random.getstate()
        if self._normal is not None or self._words() != self._before:
            state: Any = np.random.get_state()
            self._numpy, self._normal = _numpy.get_bit_generator(), state if state[3] else None

    def _words(self) -> bytes:
        return ctypes.string_at(_numpy.get_bit_generator().ctypes.state_address, _MT19937)

    def state(self) -> dict[str, Any]:
        """Where the stream stands, in tensors and plain values."""
        if self._fresh is not None:
            with self:
                pass
        now: Any = self._numpy.state["state"]
        kind, keys, *numpy = self._normal or ("MT19937", now["key"], now["pos"], 0, 0.0)
        return {
            "torch": list(self._torch), "python": self._python,
            "numpy": [kind, keys.tolist(), *numpy],
        }  # fmt: skip

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state` was taken."""
        kind, keys, *numpy = state["numpy"]
        now = kind, np.array(keys, dtype=np.uint32), *numpy
        self._numpy = np.random.MT19937(0)
        self._numpy.state = {"bit_generator": kind, "state": {"key": now[1], "pos": numpy[0]}}
        self._normal, self._fresh = now if numpy[1] else None, None
        self._torch, self._python = [t.cpu() for t in state["torch"]], state["python"]


class _Outside:
    """The global generators as they were found."""

    held = False
    """Whether more streams are to come, so that nothing need be put back between them."""

    def __init__(self, generators: list[torch.Generator]):
        self._generators = generators
        self.suspend()

    def suspend(self) -> None:
        if self.held:
            return
        self._torch = [generator.get_state() for generator in self._generators]
        self._python, self._state = random.getstate(), np.random.get_state()
        self._numpy = _numpy.get_bit_generator()

    def resume(self) -> None:
        if self.held:
            return
        for generator, state in zip(self._generators, self._torch, strict=True):
            generator.set_state(state)
        random.setstate(self._python)
        _numpy.set_bit_generator(self._numpy)
        np.random.set_state(self._state)


_stack: list[RandomStream | _Outside] = []


@contextlib.contextmanager
def isolated(device: torch.device | str = "cpu") -> Iterator[None]:
    """Keep the global generators once for many streams, each of which then costs a fraction."""
    if _stack:
        yield
        return
    outside = _Outside(_generators(torch.device(device)))
    outside.held = True
    _stack.append(outside)
    try:
        yield
    finally:
        outside.held = False
        outside.resume()
        _stack.pop()


def seed_of(*key: int) -> int:
    """A seed for what has this key, unlike that of any other."""
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def set_global(seed: int) -> None:
    """Seed the global generators of a process that nobody else draws from, as a stream's are."""
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def _seeded(generator: torch.Generator, seed: int) -> torch.Tensor:
    fresh = torch.Generator(device=generator.device)
    fresh.manual_seed(seed)
    return fresh.get_state()


def _generators(device: torch.device) -> list[torch.Generator]:
    if device.type != "cuda":
        return [torch.default_generator]
    torch.cuda.init()
    index = torch.cuda.current_device() if device.index is None else device.index
    return [torch.default_generator, torch.cuda.default_generators[index]]
