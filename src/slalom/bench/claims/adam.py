"""Adam."""

from __future__ import annotations

import copy

import torch
from torch import nn

import slalom
from slalom.bench.claims._claim import Call, Finding, claim, share, times, when
from slalom.bench.claims._drift import drift
from slalom.bench.claims._tuned import (
    bank,
    best_of,
    family,
    grid,
    needs,
    on_sparse_words,
    slower,
    tuned,
)  # fmt: skip
from slalom.paths.lesson import uncorrected
from slalom.racing.entrants import Family
from slalom.tasks import TASKS, digits
from slalom.train import Batches

NEAR = 1.25
"""Who needs at most so many times as much is as good."""


@claim("Adam joins AdaGrad's strength on sparse problems with RMSProp's on drifting ones.")
def joins_both(quick: bool) -> Finding:
    """Sparse: the built-in task sparse-words, and from the bank rare-words, lookup and skip-gram:
    Adam in multiples of AdaGrad. Drifting: digits whose classes change their names (as in
    *non-stationary*, 2,000 updates), and from the bank walking-goal and turning-classes: Adam in
    multiples of RMSProp. Each at its best rate. Holds if Adam needs less than 1.25 times as much on
    every one of them."""
    words = on_sparse_words(quick)
    figures = [
        slower("Adam in multiples of AdaGrad, sparse-words", words["Adam"], words["AdaGrad"],
               12 if quick else 200)
    ]  # fmt: skip
    recorded = {"AdaGrad": ("rare-words", "lookup", "skip-gram"),
                "RMSProp": ("walking-goal", "turning-classes")}  # fmt: skip
    for label, names in recorded.items():
        for name in names:
            figures.append(slower(
                f"Adam in multiples of {label}, {name}", best_of(name, "Adam"),
                best_of(name, label), bank(name)[0].max_steps,
            ))  # fmt: skip
    updates = 300 if quick else 2000
    figures.append(times("Adam's loss in multiples of RMSProp's, changing names",
                         drift("Adam", updates, quick)[1],
                         drift("RMSProp", updates, quick)[1]))  # fmt: skip
    good = [f.low < NEAR for f in figures]
    behind = [f.what.split(", ")[1] for f in figures if f.low >= NEAR]
    said = f"Not on {' and '.join(behind)}." if behind else "On each of these."
    return Finding(when(all(good), Call.ONLY_WHEN if any(good) else Call.FAILS), said, figures)


Uncorrected = slalom.optimizer(uncorrected)


@claim("Adam's bias correction matters at the start.")
def bias_correction(quick: bool) -> Finding:
    """Adam on the built-in task digits, with its correction and without, on the same seeds and
    batches: the largest update of the first ten, at the same rate of 0.01; the training loss after
    20 updates; and updates to the target, both at that rate and each at its best of nine, chosen on
    other seeds. Holds if the first updates differ twofold or more, and leaving it out costs 1.05
    times the updates or more at the best rates."""
    steps, losses = zip(*(_first(s) for s in range(2 if quick else 10)), strict=True)
    larger = times("largest of the first ten updates without, in multiples of with",
                   [s[1] for s in steps], [s[0] for s in steps])  # fmt: skip
    worse = times("loss after 20 updates without, in multiples of with",
                  [s[1] for s in losses], [s[0] for s in losses])  # fmt: skip
    task = copy.copy(TASKS["digits"]())
    task.max_steps = 60 if quick else 1000
    rates = grid(family("Adam"), 3 if quick else 9)
    plain = Family("Uncorrected", Uncorrected, {"lr": (1e-4, 0.1)})
    seeds = {"search": 1, "fresh": 2} if quick else {"search": 3, "fresh": 16}
    own, other = (tuned(task, one, rates, **seeds) for one in (family("Adam"), plain))
    best = slower("updates without, in multiples of with, each at its best rate", other[1], own[1],
                  task.max_steps)  # fmt: skip
    fresh = range(2000, 2000 + seeds["fresh"])
    same = [needs(task, one, [0.01], fresh, task.max_steps)[0.01]
            for one in (plain, family("Adam"))]  # fmt: skip
    at_one = slower("the same, both at 0.01", same[0], same[1], task.max_steps)
    there = sum(w < task.max_steps for w in other[1].works)
    arrive = share("runs that arrive without, at its best rate", there, len(other[1].works))
    return Finding(
        when(larger.low > 2 and best.low > 1.05, Call.ONLY_WHEN if larger.low > 2 else Call.FAILS),
        "Without it the first updates are several times as long, since the average of the squares "
        "starts at 0 and fills more slowly than that of the gradients. What that costs in the end "
        "depends on the rate.",
        [larger, worse, at_one, best, arrive],
    )


def _first(seed: int) -> tuple[list[float], list[float]]:
    """([largest update, of the norm] with and without, [loss after 20] with and without)."""
    (inputs, classes), _ = digits.data()
    x, y = torch.from_numpy(inputs), torch.from_numpy(classes)
    largest, losses = [], []
    for make in (slalom.optim.Adam, Uncorrected):
        torch.manual_seed(seed)
        model, loss = digits.model(), nn.CrossEntropyLoss()
        optimizer = make(model.parameters(), lr=0.01)
        batches, moved = Batches(len(x), 64, seed), []
        for step in range(20):
            optimizer.zero_grad()
            loss(model(x[batches[step]]), y[batches[step]]).backward()
            before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
            optimizer.step()
            after = nn.utils.parameters_to_vector(model.parameters()).detach()
            moved.append((after - before).norm().item())
        largest.append(max(moved[:10]))
        with torch.no_grad():
            losses.append(loss(model(x), y).item())
    return largest, losses
