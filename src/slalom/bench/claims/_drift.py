"""Digits whose classes are called otherwise every so often: what is learnt must be learnt anew."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from slalom.bench.claims._softmax import Softmax, draw
from slalom.bench.claims._tuned import family, grid
from slalom.racing.entrants import Entrant

PERIOD, BATCH = 100, 16
"""Updates from one change of names to the next, and samples in each."""


@cache
def drift(label: str, updates: int, quick: bool) -> tuple[float, list[float]]:
    """(rate, mean loss of each copy before its updates) of a rule, softmax regression over so many
    updates; at the rate that is best on other copies."""
    one = family(label)
    rates = grid(one, 3 if quick else 7)
    tried = {rate: float(np.mean(_lost(label, rate, updates, 0, 2))) for rate in rates}
    rate = min(rates, key=lambda r: tried[r])
    return rate, _lost(label, rate, updates, 1, 3 if quick else 16)


def _lost(label: str, rate: float, updates: int, seed: int, copies: int) -> list[float]:
    problem = Softmax(copies)
    optimizer = Entrant(0, family(label), {"lr": rate}).optimizer([problem.weights])
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(copies, dtype=torch.float64)
    for step in range(updates):
        if step % PERIOD == 0:
            names = [torch.randperm(10, generator=generator) for _ in range(copies)]
            problem.names = torch.stack(names)
        total += problem.set_gradient(draw(len(problem), copies, BATCH, generator))
        optimizer.step()
    return (total / updates).tolist()
