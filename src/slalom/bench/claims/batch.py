"""Batch gradient descent (BGD)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from slalom import optim
from slalom.bench.claims._claim import (
    Call,
    Finding,
    claim,
    exact,
    exponent,
    share,
    times,
    when,
)  # fmt: skip
from slalom.bench.claims._passes import passes
from slalom.bench.claims._softmax import Softmax, optimum, samples, steepest
from slalom.bench.claims._timed import speed_ups, step_of, turns
from slalom.tasks import digits
from slalom.train import full_gradient


@claim("BGD's cost a step grows with the data, that of mini-batch SGD does not.")
def cost_of_a_step(quick: bool) -> Finding:
    """A step of the digits' network (64-128-128-10) on 1,024 to 65,536 samples, by the gradient of
    all and by that of 64; seconds on one thread, taking turns. Holds if they grow as n to a power
    above 0.8 for the one, and below 0.1 for the other."""
    sizes = [1024, 4096] if quick else [1024, 4096, 16384, 65536]
    found = turns(
        {f"{b} {n}": step_of(n, b) for n in sizes for b in (None, 64)}, 3 if quick else 12
    )
    rows = {b: [list(r) for r in zip(*(found[f"{b} {n}"] for n in sizes), strict=True)]
            for b in (None, 64)}  # fmt: skip
    whole = exponent("seconds of BGD grow as n to the power", sizes, rows[None])
    part = exponent("seconds of SGD grow as n to the power", sizes, rows[64])
    most = sizes[-1]
    ratio = times(
        f"a step of BGD in steps of SGD, {most:,} samples", found[f"None {most}"],
        found[f"64 {most}"],
    )  # fmt: skip
    return Finding(
        when(whole.low > 0.8 and part.high < 0.1),
        "A step of BGD looks at every sample, one of SGD at as many as its batch has.",
        [whole, part, ratio],
    )


@claim("BGD reaches the global optimum of a convex loss.")
def global_optimum(quick: bool) -> Finding:
    """Softmax regression on the digits with L2, in float64, its optimum by L-BFGS; BGD from random
    starts, at a rate of 1/L, where L bounds the curvature, and at 1.1 times 2 over the curvature
    at the optimum. Arrived is who is within 1e-8 of the first distance in loss. Holds if all
    arrive at every rate tried."""
    copies, until = (3, 300) if quick else (6, 20_000)
    best, lowest = optimum()
    curved = _curvature(best)

    def arrive(rate: float, until: int) -> tuple[int, int]:
        """(who arrived, updates until the last did)."""
        problem = Softmax(copies)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            problem.weights.normal_(generator=generator)
        optimizer = optim.SGD([problem.weights], lr=rate)
        first = problem.losses() - lowest
        for step in range(until):
            problem.set_gradient()
            optimizer.step()
            if step % 100 == 99 and bool(((problem.losses() - lowest) / first < 1e-8).all()):
                return copies, step + 1
        return int(((problem.losses() - lowest) / first < 1e-8).sum()), until

    (slow, steps), (fast, _) = arrive(1 / steepest(), until), arrive(2.2 / curved, until // 5)
    return Finding(
        when(slow == copies and fast == copies, Call.ONLY_WHEN if slow == copies else Call.FAILS),
        f"From every start, at a rate below 2 over the largest curvature ({2 / curved:.3g} at the "
        "optimum). Above that it goes back and forth for ever, or diverges.",
        [
            share("starts that arrive at 1/L", slow, copies),
            exact("updates until the last one has", steps),
            share("starts that arrive at 1.1 times the limit", fast, copies),
        ],
    )


def _curvature(weights: torch.Tensor) -> float:
    """The largest curvature at these weights, by power iteration."""
    x, y = samples()

    def loss(w: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(x @ w, y) + 0.005 * w.square().sum()

    at = weights[0].clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(at), at, create_graph=True)
    way = torch.randn(at.shape, generator=torch.Generator().manual_seed(0), dtype=at.dtype)
    for _ in range(200):
        (way,) = torch.autograd.grad(slope, at, way / way.norm(), retain_graph=True)
    return way.norm().item()


@claim("BGD is easily parallel: its gradient is a sum.")
def parallel_sum(quick: bool) -> Finding:
    """The gradient of the digits' network over all training samples, in float64, as the sum of
    those of 2, 8 and 64 shares; and a step over 16,384 samples by one thread and by two, in turns.
    Holds if the sums are equal to 1e-10 and two threads are at least 1.3 times as fast."""
    (inputs, classes), _ = digits.data()
    x, y = torch.from_numpy(inputs).double(), torch.from_numpy(classes)
    torch.manual_seed(0)
    model, loss = digits.model().double(), nn.CrossEntropyLoss(reduction="sum")

    def gradient(lo: int, hi: int) -> torch.Tensor:
        full_gradient(model, loss, (x[lo:hi], y[lo:hi]), reduction=None)
        parts = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        return torch.cat(parts) * (hi - lo)

    whole, off = gradient(0, len(x)), 0.0
    for shares in (2, 8, 64):
        ends = [len(x) * i // shares for i in range(shares + 1)]
        total = sum(gradient(a, b) for a, b in pairwise(ends))
        off = max(off, float((total - whole).norm() / whole.norm()))
    n = 2048 if quick else 16384
    (faster,) = speed_ups([None], n, 3 if quick else 12).values()
    gain = times("two threads are so many times as fast", faster, [1.0] * len(faster))
    return Finding(
        when(off < 1e-10 and gain.low > 1.3, Call.ONLY_WHEN if off < 1e-10 else Call.FAILS),
        "The sum of the shares is the gradient, so that any number of workers may each take some "
        "samples. What that gains is limited by what a share is worth beside handing it out.",
        [exact("largest difference of a sum from the whole", off), gain],
    )


@claim("On many samples BGD is slow.")
def slow_on_many(quick: bool) -> Finding:
    """The next character of the standard library's text by the two before it (softmax regression):
    passes over 3,000, 30,000 and 300,000 samples until 95% of the way to the optimum is gone, by
    BGD and by SGD in batches of 32, each at its best rate. Holds if the ratio grows with n and is
    above 10 at the end."""
    sizes = [3000, 10_000] if quick else [3000, 30_000, 300_000]
    figures, ratios = [], []
    for n in sizes:
        found, whole = passes(n, 2 if quick else 8, 300 if quick else 1000)
        ratios.append(times(f"passes of BGD in those of SGD, {n:,} samples",
                            [whole] * len(found), found))  # fmt: skip
        figures.append(exact(f"passes of BGD, {n:,} samples", whole))
    grows = all(a.value < b.value for a, b in pairwise(ratios))
    return Finding(
        when(grows and ratios[-1].low > 10),
        "BGD needs about as many updates however many samples there are, each of all of them; SGD "
        "about as many samples.",
        [*ratios, *figures],
    )
