"""How many passes over the data gradient descent needs, with all samples or few an update."""

from __future__ import annotations

from functools import cache

import torch

from slalom import optim
from slalom.bench.claims._characters import DECAY, characters
from slalom.train import Batches

BATCH = 32
"""Samples in an update of SGD."""

RATES = (4.0, 2.0, 8.0, 1.0, 16.0, 0.5, 32.0)

SAMPLES = 1_000_000
"""That SGD may see at most where its rate is chosen."""

LOOKS = 200
"""How often in a pass, at most, the loss over all samples is looked at."""


@cache
def passes(n: int, seeds: int, most: int) -> tuple[list[float], float]:
    """(passes of mini-batch SGD until it is near the optimum, a seed each; those of BGD).

    Each at the best of :data:`RATES`, of SGD chosen on another seed. What needs more than ``most``
    passes counts as that many.
    """
    best, least = RATES[0], min(float(most), SAMPLES / n)
    for rate in RATES:
        needed = _stochastic(n, rate, 0, least)
        best, least = (rate, needed) if needed < least else (best, least)
    found = [_stochastic(n, best, seed, most) for seed in range(1, seeds + 1)]
    whole = most
    for rate in RATES:
        whole = _batch(n, rate, whole)
    return found, float(whole)


def _stochastic(n: int, rate: float, seed: int, most: float) -> float:
    problem, near = characters(n)
    model = problem.model()
    optimizer = optim.SGD(model.parameters(), lr=rate, weight_decay=DECAY)
    batches = Batches(problem.n, BATCH, seed)
    every = max(1, problem.n // BATCH // LOOKS)
    for step in range(int(most * problem.n / BATCH)):
        optimizer.zero_grad()
        problem.batch_loss(model, batches[step]).backward()
        optimizer.step()
        if (step + 1) % every == 0:
            with torch.no_grad():
                near_enough = problem.loss(model).item() <= near
            if near_enough:
                return (step + 1) * BATCH / problem.n
    return most


def _batch(n: int, rate: float, most: int) -> int:
    """Passes of BGD: one a step."""
    problem, near = characters(n)
    model = problem.model()
    optimizer = optim.SGD(model.parameters(), lr=rate)
    for step in range(most):
        optimizer.zero_grad()
        loss = problem.loss(model)
        if loss.item() <= near:
            return step
        loss.backward()
        optimizer.step()
    return most
