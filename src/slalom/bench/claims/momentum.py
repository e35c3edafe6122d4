"""Momentum."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from slalom import optim
from slalom.bench.claims._claim import (
    Call,
    Figure,
    Finding,
    claim,
    exact,
    exponent,
    times,
    when,
)  # fmt: skip

DIRECTIONS = 20
"""Of a ravine, their curvatures evenly from 1 over the condition number to 1, in logarithms."""


@claim(
    "Momentum adds up along agreeing directions and damps across a ravine, so that the condition "
    "number costs only its square root."
)
def ravine(quick: bool) -> Finding:
    """Quadratics in 20 directions, from random starts, at the rates and momentum that theory has
    for each condition number: updates until a millionth of the distance is left. With a momentum of
    0.9, the length of a step under a constant gradient; the largest rate that stays bounded; and
    the same ravine with noise in the gradient, each at its best of 15 rates, down to 3% and to 0.3%
    of the first loss.
    Holds if updates grow with the condition number to a power of 1 (0.9 to 1.1) for gradient
    descent and 0.5 (0.4 to 0.6) for Momentum, and noise leaves a gain of twice or more."""
    copies = 3 if quick else 20
    numbers = [10.0, 100.0] if quick else [10.0, 100.0, 1000.0, 10_000.0]
    plain = [_updates(k, copies, momentum=False) for k in numbers]
    heavy = [_updates(k, copies, momentum=True) for k in numbers]
    of_plain = exponent("updates of gradient descent grow as the condition to the power",
                        numbers, _turned(plain))  # fmt: skip
    of_heavy = exponent("updates of Momentum, likewise", numbers, _turned(heavy))
    gains = [
        times(f"gradient descent in multiples of Momentum, condition {k:g}", a, b)
        for k, a, b in zip(numbers, plain, heavy, strict=True)
    ]
    theory = [
        exact(f"the same by theory, condition {k:g}", math.log(_rate(k)[1]) / math.log(_rate(k)[0]))
        for k in numbers
    ]
    noisy = [_noisy(target, quick) for target in (0.03, 0.003)]
    clean = 0.9 < of_plain.value < 1.1 and 0.4 < of_heavy.value < 0.6
    return Finding(
        when(clean and noisy[-1].low > 2, Call.ONLY_WHEN if clean else Call.FAILS),
        "The gradients have little noise. Where noise sets the rate, as near the end of training "
        "with small batches, Momentum is gradient descent at a larger rate, and gains little.",
        [
            of_plain, of_heavy, *(f for pair in zip(gains, theory, strict=True) for f in pair),
            exact("a step under a constant gradient, in steps without momentum", _adds_up()),
            exact("the largest rate that stays bounded, likewise", _bounded(0.9) / _bounded(0.0)),
            *noisy,
        ],
    )  # fmt: skip


def _rate(condition: float) -> tuple[float, float]:
    """What is left of the distance after an update, by theory: of gradient descent, of Momentum
    (Polyak 1964)."""
    root = math.sqrt(condition)
    return (condition - 1) / (condition + 1), (root - 1) / (root + 1)


def _begun(condition: float, copies: int) -> tuple[nn.Parameter, Tensor]:
    """(weights (copies, directions), curvatures)."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(copies, DIRECTIONS, generator=generator, dtype=torch.float64)
    curved = torch.logspace(-math.log10(condition), 0, DIRECTIONS, dtype=torch.float64)
    return nn.Parameter(start), curved


def _updates(condition: float, copies: int, *, momentum: bool) -> list[float]:
    """Updates until a millionth of the distance is left, for each start."""
    weights, curved = _begun(condition, copies)
    root = math.sqrt(1 / condition)
    lr = (2 / (1 + root)) ** 2 if momentum else 2 / (1 + 1 / condition)
    optimizer = optim.Momentum([weights], lr, _rate(condition)[1] ** 2 if momentum else 0.0)
    first = weights.detach().norm(dim=1)
    found = torch.zeros(copies)
    step = 0
    while bool((found == 0).any()):
        weights.grad = curved * weights.detach()
        optimizer.step()
        step += 1
        there = weights.detach().norm(dim=1) < 1e-6 * first
        found = torch.where((found == 0) & there, torch.tensor(float(step)), found)
    return found.tolist()


def _adds_up() -> float:
    weights = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = optim.Momentum([weights], 1.0, 0.9)
    before = 0.0
    for _ in range(200):
        before = weights.item()
        weights.grad = torch.ones(1, dtype=torch.float64)
        optimizer.step()
    return before - weights.item()


def _bounded(momentum: float) -> float:
    """The largest rate at which a curvature of 1 does not drive it away, by bisection."""
    low, high = 0.1, 10.0
    for _ in range(25):
        middle = (low + high) / 2
        weights = nn.Parameter(torch.ones(1, dtype=torch.float64))
        optimizer = optim.Momentum([weights], middle, momentum)
        for _ in range(500):
            weights.grad = weights.detach().clone()
            optimizer.step()
            if abs(weights.item()) > 1e6:
                break
        low, high = (low, middle) if abs(weights.item()) > 1 else (middle, high)
    return low


def _noisy(target: float, quick: bool) -> Figure:
    """Gradient descent in multiples of Momentum where gradients are noisy, each at its best rate,
    until the mean loss of 64 copies is at ``target`` of the first."""
    rates = np.geomspace(2e-3, 2, 5 if quick else 15)
    found = []
    for momentum in (0.0, 0.9):
        own = (rates * (1 - momentum)).tolist()
        best = min(own, key=lambda r: _arrival(r, momentum, target, 0, quick))
        seeds = range(1, 3 if quick else 9)
        found.append([_arrival(best, momentum, target, seed, quick) for seed in seeds])
    return times(f"with noise, to {target:.1%} of the first loss, condition 100", *found)


def _arrival(lr: float, momentum: float, target: float, seed: int, quick: bool) -> float:
    weights, curved = _begun(100.0, 64)
    generator = torch.Generator().manual_seed(seed)
    optimizer = optim.Momentum([weights], lr, momentum)
    first = float((curved * weights.detach().square()).sum(1).mean())
    most = 300 if quick else 3000
    for step in range(1, most + 1):
        noise = torch.randn(weights.shape, generator=generator, dtype=torch.float64)
        weights.grad = curved * weights.detach() + 0.3 * noise * curved.sqrt()
        optimizer.step()
        loss = float((curved * weights.detach().square()).sum(1).mean())
        if loss <= target * first:
            return float(step)
        if loss > 100 * first:
            break
    return float(most)


def _turned(columns: Sequence[Sequence[float]]) -> list[list[float]]:
    return [list(row) for row in zip(*columns, strict=True)]
