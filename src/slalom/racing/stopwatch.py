"""Seconds of an update, measured side by side."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from slalom.racing.entrants import Entrant
from slalom.racing.limit import Limit
from slalom.racing.trainer import one_thread
from slalom.train import Run, Task

ROUNDS = 9
TURN = 0.03
"""Rounds, and the seconds that each turn of a finalist takes, about: one update at least."""

NOISY = 0.25
"""The spread (between the quartiles, over the median) above which a machine counts as noisy."""


def stopwatch(
    task: Task, entrants: Sequence[Entrant], seed: int, limit: Limit
) -> tuple[list[list[float]], str | None]:
    """(seconds of an update by entrant and round, what to say of a noisy machine or None).

    The entrants take turns, so that a change of the machine's mood falls on all alike. The limit is
    looked at before each.
    """
    with one_thread():
        runs = [Run(e.of(task), e.optimizer, seed, batch_size=e.batch_size) for e in entrants]
        turns = []
        for run in runs:
            limit.check()
            run.advance(3)  # what happens once is not an update's
            before, start = run.step, run.seconds
            run.advance(3)
            each = (run.seconds - start) / max(1, run.step - before)
            turns.append(max(1, min(500, round(TURN / max(each, 1e-6)))))
        times: list[list[float]] = [[] for _ in runs]
        for _ in range(ROUNDS):
            for run, turn, series in zip(runs, turns, times, strict=True):
                limit.check()
                step, start = run.step, run.seconds
                run.advance(turn)
                if run.step > step:
                    series.append((run.seconds - start) / (run.step - step))
    spreads = [_spread(series) for series in times if len(series) > 3]
    worst = max(spreads, default=0.0)
    if worst <= NOISY:
        return times, None
    return times, (
        f"the machine was noisy while updates were timed: they spread by {worst:.0%} around their "
        "median; take the seconds with care, the steps are exact"
    )


def _spread(series: list[float]) -> float:
    low, middle, high = statistics.quantiles(series, n=4)
    return (high - low) / middle
