"""What has been proposed in AdamW's place, each tuned by equally many rates and seeds.

A race spends its updates where they decide something, so that who falls behind early is searched
less. Here every entrant has :data:`RATES` learning rates, evenly in the logarithm over the range
that its rule declares, on :data:`TUNING` seeds, and the one with the least median is run on
:data:`SEEDS`, which chose nothing. Nothing else is tuned.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence
from typing import cast

import torch

from slalom.bench.bank import load
from slalom.racing.contender import Lane
from slalom.racing.entrants import MODERN, Entrant, Family
from slalom.racing.runner import HOLD, Request
from slalom.racing.trainer import Trainer, one_thread
from slalom.train import Task

TASKS = ("small-attention", "deep-tanh")

RATES, TUNING, SEEDS = 6, range(2000, 2003), range(3000, 3008)


def rates(family: Family) -> list[float]:
    """The learning rates that are tried, from the lowest to the highest of its range."""
    low, high = map(float, cast("tuple[float, float]", family.space["lr"]))
    return [low * (high / low) ** (i / (RATES - 1)) for i in range(RATES)]


def needed(task: Task, family: Family, lr: float, seed: int) -> float:
    """Updates to the target; infinity where it does not arrive."""
    entrant = Entrant(0, family, {"lr": lr})
    every = Lane.of(task, entrant).every
    until = task.max_steps + HOLD * task.eval_every
    ((_, history),) = Trainer(task).advance([Request(entrant, seed, until, every)])
    crossing = history.crossing(task)
    return math.inf if crossing is None else crossing.step


def main(names: Sequence[str] = ()) -> None:
    """Print of each task the best rate of each entrant and what it needs, the quickest first."""
    torch.set_num_threads(1)
    for name in names or sys.argv[1:] or TASKS:
        task, found = load(name), []
        with one_thread():
            for label, family in MODERN.items():
                tried = {
                    lr: statistics.median(needed(task, family, lr, s) for s in TUNING)
                    for lr in rates(family)
                }
                best = min(tried, key=tried.__getitem__)
                runs = [needed(task, family, best, s) for s in SEEDS]
                edge = best in (min(tried), max(tried))
                found.append((statistics.median(runs), label, best, edge, sorted(runs)))
        print(f"\n{name}: updates to the target, median, least and most of {len(SEEDS)} seeds")
        for middle, label, best, edge, runs in sorted(found):
            where = ", at the end of its range" if edge else ""
            print(
                f"  {label:20}{middle:8g}{runs[0]:8g}{runs[-1]:8g}  lr {best:.3g}{where}",
                flush=True,
            )


if __name__ == "__main__":
    main()
