"""AdaGrad."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

from slalom import optim
from slalom.bench.claims._claim import (
    Call,
    Figure,
    Finding,
    claim,
    exact,
    exponent,
    mean,
    share,
    times,
    when,
)  # fmt: skip
from slalom.bench.claims._deep import DEEP, needed, reach
from slalom.bench.claims._tuned import on_sparse_words, recorded, slower, valley
from slalom.tasks import sparse_words
from slalom.train import Batches

WIDE = 2.0
"""A rate is within a rule's valley that needs at most so many times what its best does."""


@claim("AdaGrad gives rarely touched parameters larger steps.")
def rare_parameters(quick: bool) -> Finding:
    """The task sparse-words, one epoch at a rate of 0.3: the rate of each word's vector, over how
    many batches held the word; and what SGD needs there in multiples of AdaGrad, each at its best
    of six rates, chosen on other seeds. Holds if the rate falls as seen to a power below -0.25 and
    AdaGrad needs less."""
    task = sparse_words.task()
    assert task.train.arrays is not None
    bags, classes = task.train.arrays
    slopes, ratios = [], []
    for seed in range(2 if quick else 6):
        torch.manual_seed(seed)
        model, loss = task.make_model(seed), nn.CrossEntropyLoss()
        optimizer = optim.Adagrad(model.parameters(), lr=0.3)
        batches = Batches(len(bags), task.batch_size, seed)
        epoch = [batches[step] for step in range(30 if quick else batches.per_epoch or 1)]
        for chosen in epoch:
            optimizer.zero_grad()
            loss(model(bags[chosen]), classes[chosen]).backward()
            optimizer.step()
        table = next(p for p in model.parameters() if p.grad is not None and p.grad.is_sparse)
        rate = 0.3 / (optimizer.state[table]["sum"].mean(1).sqrt() + 1e-10)
        seen = torch.zeros(len(table))
        for chosen in epoch:
            words = bags[chosen].unique()
            seen[words] += 1
        some = seen > 0
        slopes.append(exponent("", seen[some].tolist(), [rate[some].tolist()]).value)
        rare, common = rate[some & (seen <= 2)], rate[seen >= (10 if quick else 50)]
        ratios.append(float(rare.log().mean().exp() / common.log().mean().exp()))
    power = mean("the rate falls as the batches with a word to the power", slopes)
    found = on_sparse_words(quick)
    gain = slower(
        "SGD in multiples of AdaGrad on sparse-words", found["SGD"], found["AdaGrad"],
        12 if quick else 200,
    )  # fmt: skip
    return Finding(
        when(power.high < -0.25 and gain.low > 1),
        "Equal gradients would give a power of -0.5. Who is seen rarely moves further each time.",
        [
            power,
            times("rate of words in one or two batches, over that of those in 50 batches or more",
                  ratios, [1.0] * len(ratios)),
            gain,
        ],
    )  # fmt: skip


@claim("AdaGrad needs less tuning of its first rate.")
def first_rate(quick: bool) -> Finding:
    """All 37 tasks of the bank (benchmarks/bank), each rule at many rates on eight seeds: over how
    many decades of rates it needs at most twice what its best does; and what its one rate that is
    best for all other tasks needs, over its best for this one. Holds if AdaGrad's valley is wider
    than SGD's and Momentum's, and its common rate costs less than theirs."""
    names = recorded()[:4] if quick else recorded()
    labels = ("AdaGrad", "SGD", "Momentum", "RMSProp", "Adam")
    valleys = {label: {n: valley(n, label) for n in names} for label in labels}
    there = [n for n in names if all(valleys[label][n] for label in labels)]
    wide = {label: [width(valleys[label][n]) for n in there] for label in labels}
    common = {label: _common([valleys[label][n] for n in there]) for label in labels}
    further: list[Figure] = []
    for label in labels[1:]:
        apart = [a - b for a, b in zip(wide["AdaGrad"], wide[label], strict=True)]
        further.append(mean(f"decades that AdaGrad's valley is wider than {label}'s", apart))
    costs = [times(f"a common rate in multiples of the best: {label}", found, [1.0] * len(there))
             for label, found in common.items()]  # fmt: skip
    wider = further[0].low > 0 and further[1].low > 0
    cheaper = costs[0].value < min(costs[1].value, costs[2].value)
    return Finding(
        when(wider and cheaper, Call.ONLY_WHEN if further[0].low > 0 else Call.FAILS),
        _said(further, costs),
        [mean("decades of AdaGrad's valley", wide["AdaGrad"]), *further, *costs],
    )


def _said(further: list[Figure], costs: list[Figure]) -> str:
    names = ("SGD", "Momentum", "RMSProp", "Adam")
    wider = [n for n, f in zip(names, further, strict=True) if f.low > 0]
    narrower = [n for n, f in zip(names, further, strict=True) if f.high < 0]
    cheaper = [n for n, c in zip(names, costs[1:], strict=True) if costs[0].high < c.low]
    dearer = [n for n, c in zip(names, costs[1:], strict=True) if costs[0].low > c.high]
    lists = {
        "Its valley is wider than that of": wider, "It is narrower than that of": narrower,
        "One rate for all tasks costs it less than": cheaper,
        "One rate for all tasks costs it more than": dearer,
    }  # fmt: skip
    told = [f"{what} {' and '.join(who)}." for what, who in lists.items() if who]
    return " ".join([*told, "What is not named is not told apart on these tasks."])


def width(points: list[tuple[float, float]], within: float = WIDE) -> float:
    """Decades of rates at which a rule needs at most ``within`` times its best, the needs between
    two rates taken as a line in logarithms; one that never arrives counts as 100 times."""
    total = 0.0
    bar = math.log(within)
    for (a, p), (b, q) in pairwise(points):
        low, high = sorted(math.log(min(v, 100.0)) for v in (p, q))
        inside = 1.0 if high <= bar else 0.0 if low >= bar else (bar - low) / (high - low)
        total += (b - a) * inside
    return total


def _common(valleys: list[list[tuple[float, float]]]) -> list[float]:
    """What each task needs at the rate that is best for all others, over its best; at most 10."""
    grid = [x / 10 for x in range(-50, 21)]
    table = [[_at(points, x) for x in grid] for points in valleys]
    found = []
    for i, own in enumerate(table):
        others = [row for j, row in enumerate(table) if j != i]
        best = min(range(len(grid)), key=lambda k: sum(math.log(row[k]) for row in others))
        found.append(own[best])
    return found


def _at(points: list[tuple[float, float]], x: float) -> float:
    """The need at a rate, in multiples of the best, between what is recorded; at most 10."""
    for (a, p), (b, q) in pairwise(points):
        if a <= x <= b:
            part = (x - a) / (b - a)
            logs = [math.log(min(v, 10.0)) for v in (p, q)]
            return math.exp(logs[0] + part * (logs[1] - logs[0]))
    return 10.0


@claim("AdaGrad slows as it moves.")
def slows(quick: bool) -> Finding:
    """Digits through three layers of 32 with tanh, at a rate of 0.03: how far an update goes for
    its gradient, from the 10th to the 2,560th. Holds if that falls as the number of updates to a
    power below -0.25."""
    looks, rows = reach("AdaGrad", 0.03, 3, quick)
    power = exponent("the step falls as the updates to the power", looks, rows)
    left = times(
        "the last in multiples of the first", [r[-1] for r in rows], [r[0] for r in rows]
    )  # fmt: skip
    return Finding(
        when(power.high < -0.25),
        "Under gradients of one size it falls with the root, a power of -0.5; where gradients "
        "become small, more slowly, since a sum of small squares hardly grows.",
        [power, left],
    )


@claim("AdaGrad ends too early on deep networks.")
def ends_early(quick: bool) -> Finding:
    """Digits through 3 and through 6 layers of 32 with tanh, to an accuracy of 93%: AdaGrad in
    multiples of RMSProp and of SGD, each at the best of eight rates, chosen on other seeds, 1,500
    updates at most; through 12 nobody arrives in that. Holds if RMSProp arrives in nine runs of
    ten of the deep one, and AdaGrad needs twice as much or more, or arrives in less than half."""
    figures: list[Figure] = []
    deep = {}
    for depth in (3, DEEP):
        cap, found = needed(depth, quick)
        own = found["AdaGrad"][1]
        for label in ("RMSProp", "SGD"):
            what = f"AdaGrad in multiples of {label}, {depth} layers"
            figures.append(slower(what, own, found[label][1], cap))
        arrived = sum(map(math.isfinite, own.works))
        figures.append(share(f"runs of AdaGrad that arrive, {depth} layers", arrived,
                             len(own.works)))  # fmt: skip
        figures.append(exact(f"its best rate, {depth} layers", found["AdaGrad"][0]))
        deep[depth] = figures[-4], figures[-2]
    slow, arrivals = deep[DEEP]
    others = needed(DEEP, quick)[1]["RMSProp"][1].works
    goes_on = sum(map(math.isfinite, others)) >= 0.9 * len(others)
    early = goes_on and (slow.low > 2 or arrivals.high < 0.5)
    return Finding(
        when(early, Call.ONLY_WHEN if slow.low > 1 else Call.FAILS),
        "Its sum never forgets the large gradients of the start. How much that costs is set by "
        f"its rate: {'tuned, it makes up for a part of it' if early else 'tuned, it cost nothing'} "
        "here.",
        figures,
    )
