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

TASKS = ("stdlib-chars", "small-attention", "deep-tanh")

RATES, TUNING, SEEDS = 6, range(2000, 2003), range(3000, 3008)


def rates(family: Family) -> list[float]:
    """The learning rates that are tried, from the lowest to the highest of its range."""
    low, high = map(float, cast("tuple[float, float]", family.space["lr"]))
    return [low * (high / low) ** (i / (RATES - 1)) for i in range(RATES)]


def needed(task: Task, family: Family, lr: float, seed: int, within: float = math.inf) -> float:
    """Updates to the target; infinity where it does not arrive, or not within so many."""
    entrant = Entrant(0, family, {"lr": lr})
    every = Lane.of(task, entrant).every
    longest = min(task.max_steps, within)
    until = int(longest) + HOLD * task.eval_every
    ((_, history),) = Trainer(task).advance([Request(entrant, seed, until, every)])
    crossing = history.crossing(task)
    return math.inf if crossing is None or crossing.step > longest else crossing.step


def tuned(task: Task, family: Family) -> tuple[float, bool]:
    """The rate with the least median, the lowest of several, and whether its range ends there.

    Those in the middle come first, and a run ends where it can no longer decide: it is above the
    least median by then, or most runs of its rate were.
    """
    tried = rates(family)
    best, least = tried[0], math.inf
    for lr in sorted(tried, key=lambda lr: abs(tried.index(lr) - (len(tried) - 1) / 2)):
        runs: list[float] = []
        for seed in TUNING:
            if 2 * runs.count(math.inf) < len(TUNING):
                runs.append(needed(task, family, lr, seed, least))
        runs += [math.inf] * (len(TUNING) - len(runs))
        least, best = min((least, best), (statistics.median(runs), lr))
    return best, best in (tried[0], tried[-1])


def main(names: Sequence[str] = ()) -> None:
    """Print of each task the best rate of each entrant and what it needs, the quickest first.

    ``names``, else the arguments of the command, are of tasks and of entrants; all where there is
    none of a kind.
    """
    torch.set_num_threads(1)
    names = names or sys.argv[1:]
    entrants = [n for n in MODERN if n in names] or list(MODERN)
    for name in [n for n in names if n not in MODERN] or TASKS:
        task, found = load(name), []
        with one_thread():
            for label in entrants:
                family = MODERN[label]
                best, edge = tuned(task, family)
                runs = [needed(task, family, best, s) for s in SEEDS]
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
