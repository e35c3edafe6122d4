"""Stochastic gradient descent (SGD): a sample or a few an update."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from slalom import optim
from slalom.bench.claims._claim import (
    Call,
    Finding,
    claim,
    exact,
    exponent,
    mean,
    times,
    when,
)  # fmt: skip
from slalom.bench.claims._passes import passes
from slalom.bench.claims._softmax import Softmax, draw, optimum, samples, steepest
from slalom.bench.claims._timed import speed_ups, step_of, turns


@claim(
    "SGD trains faster: it is near the optimum after a fraction of one pass over hundreds of "
    "thousands of samples."
)
def fraction_of_a_pass(quick: bool) -> Finding:
    """The next character of the standard library's text by the two before it (softmax regression),
    300,000 samples in batches of 32, at the best of seven rates, chosen on another seed: passes
    until 95% and no less of the way to the optimum is gone. Holds if that is less than one."""
    n = 20_000 if quick else 300_000
    found, _ = passes(n, 2 if quick else 8, 300 if quick else 1000)
    needed = mean(f"passes over {n:,} samples", found)
    return Finding(
        when(needed.high < 1),
        "Near is within 5% of the first loss above the optimum; how near matters: at a constant "
        "rate SGD does not come as near as one likes (see *ends-less-accurate*).",
        [needed],
    )


@claim("SGD is noisier; rate and batch set the noise, and not every step improves.")
def noise(quick: bool) -> Finding:
    """Softmax regression on the digits with L2, begun at its optimum: the mean loss above the
    optimum after a burn-in, over rates at a batch of 8, and over batches at one rate; and how many
    steps raise the loss over all samples, at the optimum and on the way there from 0. Holds if the
    noise grows with the rate (power above 0.5), falls with the batch (below -0.5), and more than
    one step in ten raises the loss."""
    copies, length = (4, 400) if quick else (16, 4000)
    rates, sizes = [0.02, 0.04, 0.08, 0.16], [1, 4, 16, 64]
    by_rate = [_excess(copies, length, rate, 8) for rate in rates]
    by_batch = [_excess(copies, length, 0.04, m) for m in sizes]
    at_rest = _rising(copies, 100 if quick else 400, 0.08, 8, optimum()[0])
    early = _rising(copies, 50, 0.08, 8, None)
    whole = _rising(1, 200, 1 / steepest(), None, None)
    of_rate = exponent("noise grows as the rate to the power", rates, _turned(by_rate))
    of_batch = exponent("noise grows as the batch to the power", sizes, _turned(by_batch))
    rising = mean("share of steps that raise the loss, at the optimum", at_rest)
    return Finding(
        when(of_rate.low > 0.5 and of_batch.high < -0.5 and rising.low > 0.1),
        "Theory has 1 and -1. On the way down fewer steps go wrong than near the optimum, where "
        "about every second does; of BGD's, at a rate of 1/L, none.",
        [
            of_rate, of_batch, rising,
            mean("the same, in the first 50 updates from 0", early),
            exact("the same, of BGD", whole[0]),
        ],
    )  # fmt: skip


def _excess(copies: int, length: int, rate: float, batch: int) -> list[float]:
    """The mean loss above the optimum of each copy, after a burn-in of as long."""
    problem, optimizer = _begun(copies, rate)
    generator = torch.Generator().manual_seed(batch)
    total = torch.zeros(copies, dtype=torch.float64)
    looks = 0
    for step in range(2 * length):
        problem.set_gradient(draw(len(problem), copies, batch, generator))
        optimizer.step()
        if step >= length and step % 10 == 0:
            total += problem.losses() - optimum()[1]
            looks += 1
    return (total / looks).tolist()


def _begun(copies: int, rate: float) -> tuple[Softmax, torch.optim.Optimizer]:
    problem = Softmax(copies)
    with torch.no_grad():
        problem.weights.copy_(optimum()[0])
    return problem, optim.SGD([problem.weights], lr=rate)


def _rising(
    copies: int, steps: int, rate: float, batch: int | None, begin: Tensor | None
) -> list[float]:
    """The share of each copy's steps that raise the loss over all samples."""
    problem = Softmax(copies)
    if begin is not None:
        with torch.no_grad():
            problem.weights.copy_(begin)
    optimizer = optim.SGD([problem.weights], lr=rate)
    generator = torch.Generator().manual_seed(1)
    before, rose = problem.losses(), torch.zeros(copies)
    for _ in range(steps):
        problem.set_gradient(draw(len(problem), copies, batch, generator) if batch else None)
        optimizer.step()
        after = problem.losses()
        rose += after > before
        before = after
    return (rose / steps).tolist()


@claim("SGD ends less accurate at a constant rate.")
def ends_less_accurate(quick: bool) -> Finding:
    """Softmax regression on the digits with L2 from 0, the loss above the optimum after 20,000
    updates of batches of 8: at a constant rate, at one that falls as 1 over the updates, by BGD.
    And least squares on 40 of the samples, one an update, which 65 weights a class can fit all.
    Holds if the constant rate ends 10 times as far from the optimum as the falling one, and in the
    second case keeps a thousandth of the first loss."""
    copies, length = (4, 1500) if quick else (16, 20_000)
    constant = _ends(copies, length, 8, math.inf)
    falling = _ends(copies, length, 8, 200)
    (whole,) = _ends(1, length, None, math.inf)
    fitted = _fits_all(5 * length)
    worse = times("constant rate in multiples of the falling one", constant, falling)
    stays = worse.low > 10
    return Finding(
        when(stays and fitted > 1e-3, Call.ONLY_WHEN if stays else Call.FAILS),
        "The samples disagree at the optimum, so that single ones pull away from it. Where the "
        "model can fit them all, the noise goes down with the loss, and a constant rate ends where "
        "rounding allows.",
        [
            mean("above the optimum, constant rate", constant),
            mean("above the optimum, falling rate", falling),
            exact("above the optimum, BGD", max(whole, 0.0)),
            worse,
            exact("where all can be fitted: share of the first loss that is left", fitted),
        ],
    )


def _ends(copies: int, length: int, batch: int | None, falls: float) -> list[float]:
    """The loss above the optimum of each copy, at a rate that is halved after ``falls`` updates,
    and so on as 1 over the updates."""
    problem = Softmax(copies)
    rate = 1 / steepest()
    optimizer = optim.SGD([problem.weights], lr=rate)
    generator = torch.Generator().manual_seed(2)
    for step in range(length):
        problem.set_gradient(draw(len(problem), copies, batch, generator) if batch else None)
        optimizer.param_groups[0]["lr"] = rate / (1 + step / falls)
        optimizer.step()
    return (problem.losses() - optimum()[1]).tolist()


def _fits_all(length: int) -> float:
    """The share of the first loss that SGD at a constant rate leaves of least squares that can be
    solved without a rest."""
    x, classes = (part[:40] for part in samples())
    y = nn.functional.one_hot(classes, 10).double()
    weights = nn.Parameter(torch.zeros(65, 10, dtype=torch.float64))
    optimizer = optim.SGD([weights], lr=1 / float(x.square().sum(1).max()))
    generator = torch.Generator().manual_seed(0)
    for i in torch.randint(40, (length,), generator=generator).tolist():
        weights.grad = torch.outer(x[i], x[i] @ weights.detach() - y[i])
        optimizer.step()
    return ((x @ weights - y).square().mean() / y.square().mean()).item()


@claim("SGD by single samples is hard to parallelise.")
def serial(quick: bool) -> Finding:
    """A step of the digits' network by one thread and by two, in turns, with 1, 64 and 4,096
    samples; and how many samples a second more a batch of 64 trains than single ones, on one
    thread. Holds if two threads bring single samples less than 1.1 times, and 4,096 more."""
    rounds = 3 if quick else 48
    found = speed_ups([1, 64, 4096], 8192, rounds)
    one, some, many = (
        times(f"two threads are so many times as fast, {b:,} samples", v, [1.0] * len(v))
        for b, v in found.items()
    )
    seconds = turns({"1": step_of(8192, 1), "64": step_of(8192, 64)}, rounds)
    batched = times(
        "samples a second by 64 in multiples of those by 1", [64 * s for s in seconds["1"]],
        seconds["64"],
    )  # fmt: skip
    return Finding(
        when(one.high < 1.1 and many.low > one.high),
        "Each update needs the one before, and a single sample is too little work to share out. "
        "Batches are the way out, and bring much on one thread already.",
        [one, some, many, batched],
    )


def _turned(columns: list[list[float]]) -> list[list[float]]:
    return [list(row) for row in zip(*columns, strict=True)]
