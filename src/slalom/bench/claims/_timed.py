"""Seconds, measured in turns, so that what else the machine does meets all alike."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from slalom import optim
from slalom.errors import InputError
from slalom.racing.machine import cores
from slalom.tasks import digits
from slalom.train import full_gradient


def turns(
    contenders: Mapping[str, Callable[[], object]], rounds: int, least: float = 0.02
) -> dict[str, list[float]]:
    """Seconds of a call of each, one value a round: the least of some calls that take ``least``."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        call()
    for _ in range(rounds):
        for name, call in contenders.items():
            seconds: list[float] = []
            while sum(seconds) < least or len(seconds) < 3:
                begun = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - begun)
            found[name].append(min(seconds))
    return found


def step_of(n: int, batch: int | None) -> Callable[[], None]:
    """A step of the digits' network on ``n`` samples: of a batch, or of all where it is None.

    Beyond the digits that there are, they are repeated; the batch's are drawn anew in each step.
    """
    (inputs, classes), _ = digits.data()
    rows = np.arange(n) % len(inputs)
    x, y = torch.from_numpy(inputs[rows]), torch.from_numpy(classes[rows])
    torch.manual_seed(0)
    model, loss = digits.model(), nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=1e-6)
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        if batch is None:
            full_gradient(model, loss, (x, y), reduction=None)
        else:
            chosen = torch.randint(n, (batch,), generator=generator)
            optimizer.zero_grad()
            loss(model(x[chosen]), y[chosen]).backward()
        optimizer.step()

    return step


def speed_ups(batches: Sequence[int | None], n: int, rounds: int) -> dict[int | None, list[float]]:
    """Batch -> how many times as fast two threads are as one, a value a round.

    Raises :class:`InputError` where other processes hold the cores: their load would be measured.
    """
    if rounds > 3 and os.getloadavg()[0] > 0.5 * cores():
        raise InputError(
            f"a load of {os.getloadavg()[0]:.1f} on {cores()} cores; threads are compared when the "
            "machine is idle"
        )
    calls = {str(b): step_of(n, b) for b in batches}
    found: dict[int | None, list[float]] = {b: [] for b in batches}
    for _ in range(rounds):
        seconds = []
        for threads in (1, 2):
            with on(threads):
                seconds.append(turns(calls, 1, 0.1))
        for b in batches:
            one, two = (s[str(b)][0] for s in seconds)
            found[b].append(one / two)
    return found


@contextlib.contextmanager
def on(threads: int) -> Iterator[None]:
    """With so many threads of torch's."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
