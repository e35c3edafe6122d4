"""Processes that train one model together, as ``torchrun`` starts them: who they are, what they
agree on."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class LostError(RuntimeError):
    """Another process of the run has ended, or does not answer."""


class Ranks:
    """The processes of a run. Alone, a process agrees with itself.

    Attributes:
        rank: the place of this one; the first is 0, and writes and tells for all.
        size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1):
        self.rank, self.size = rank, size

    @classmethod
    def here(cls) -> Ranks:
        """Those that torch.distributed knows of in this process."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    def first(self, value: Any) -> Any:
        """What the first of them has, a plain value or a state."""
        if self.size == 1:
            return value
        held = [value if self.rank == 0 else None]
        with together():
            dist.broadcast_object_list(held, src=0)
        return held[0]

    def all(self, value: Any) -> list[Any]:
        """What each of them has."""
        if self.size == 1:
            return [value]
        held: list[Any] = [None] * self.size
        with together():
            dist.all_gather_object(held, value)
        return held

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Let each tensor, in place, be its sum over all of them; one message for each dtype."""
        for alike in _by_dtype(tensors):
            flat = torch.cat([t.reshape(-1) for t in alike])
            with together():
                dist.all_reduce(flat)
            _put(flat, alike)

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Let each tensor, in place, be what it is in the first of them."""
        for alike in _by_dtype(tensors):
            flat = torch.cat([t.reshape(-1) for t in alike])
            with together():
                dist.broadcast(flat, src=0)
            _put(flat, alike)


OF_MESSAGES = ("gloo", "NCCL", "ProcessGroup", "Connection closed", "Connection reset")
"""What is in the errors of torch's messages between processes, and in few others."""


@contextlib.contextmanager
def together(*, alone: bool = True) -> Iterator[None]:
    """What torch says of a process that is gone, in one sentence; with ``alone`` False, where other
    things are done as well that may raise errors of their own."""
    try:
        yield
    except RuntimeError as error:
        own = alone or any(word in str(error) for word in OF_MESSAGES)
        if isinstance(error, LostError) or not own:
            raise
        raise LostError(
            "another process of this run has ended or does not answer, and this one cannot go on "
            "without it; what that one said last is the reason"
        ) from error


def _by_dtype(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    found: defaultdict[torch.dtype, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        found[tensor.dtype].append(tensor)
    return list(found.values())


def _put(flat: Tensor, tensors: list[Tensor]) -> None:
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def started_together() -> bool:
    """Whether ``torchrun``, or what sets the same variables, has started this process."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Within this, the processes that were started together know of one another."""
    if not started_together() or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()
