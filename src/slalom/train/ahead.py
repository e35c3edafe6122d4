"""Batches on a GPU: the next one is on its way while this one is used."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slalom.train.tree import leaves, mapped


class Carrier:
    """Takes batches to a GPU out of pinned memory, on a stream of its own."""

    def __init__(self, device: torch.device):
        self._device, self._stream = device, torch.cuda.Stream(device)

    def send(self, batch: Any) -> Any:
        """Begin to copy a batch; what :meth:`take` is to be given."""
        pinned = mapped(lambda v: v.pin_memory() if _here(v) else v, batch)
        with torch.cuda.stream(self._stream):
            there = mapped(self._to, pinned)
            return there, self._stream.record_event()

    def take(self, sent: Any) -> Any:
        """The batch, which what is asked of the device from now on finds there."""
        there, event = sent
        current = torch.cuda.current_stream(self._device)
        current.wait_event(event)
        for leaf in leaves(there):
            if isinstance(leaf, Tensor):
                leaf.record_stream(current)  # its memory is not given away while it is in use
        return there

    def _to(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(self._device, non_blocking=True)
        return value.to(self._device) if hasattr(value, "to") else value


def _here(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type == "cpu" and not value.is_pinned()


class Ahead:
    """The batches of every update of a run, on a device.

    Args:
        updates: by step the batches of an update, each with its number of samples.
        carrier: takes them there.
        end: the step after the last, of which nothing is fetched.

    Attributes:
        ended: whether an epoch ends with the update that was taken last.
    """

    ended = False

    def __init__(self, updates: Any, carrier: Any, end: int):
        self._updates, self._carrier, self._end = updates, carrier, end
        self._step, self._sent = -1, []

    def __getitem__(self, step: int) -> list[tuple[Any, int]]:
        if step != self._step:
            self._fetch(step)
        sent, self._step = self._sent, -1
        self.ended = self._updates.ended
        return [(self._carrier.take(one), n) for one, n in sent]

    def after(self, step: int) -> None:
        """Fetch the batches of the update after this one, which the device is at work on."""
        if step + 1 < self._end:
            self._fetch(step + 1)

    def _fetch(self, step: int) -> None:
        self._sent = [(self._carrier.send(batch), n) for batch, n in self._updates[step]]
        self._step = step
