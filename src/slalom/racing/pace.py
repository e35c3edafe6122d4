"""A budget in seconds: how many updates of each rule it lasts for, as they are timed here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from slalom.errors import InputError
from slalom.racing.contender import Lane
from slalom.racing.entrants import Entrant, Family
from slalom.racing.limit import Limit
from slalom.racing.space import points
from slalom.racing.stopwatch import stopwatch
from slalom.train import Task
from slalom.train.faults import told


def paces(task: Task, families: Sequence[Family], seed: int, limit: Limit) -> dict[str, float]:
    """Label -> seconds of one update, taking turns, alone on the machine.

    Raises :class:`InputError` where updates of one cannot be timed.
    """
    entrants = []
    for number, family in enumerate(families):
        settings = points(family.space, None, seed)
        least = min(settings, key=lambda s: s.get("lr", 0.0))  # which does not diverge
        entrants.append(Entrant(number, family, least))
    try:
        rounds, _ = stopwatch(task, entrants, seed, limit)
    except Exception as error:
        raise InputError(
            f"a budget in seconds needs the time of an update, and none could be made: "
            f"{told(error)}"
        ) from error
    for family, series in zip(families, rounds, strict=True):
        if not series:
            raise InputError(
                f"a budget in seconds needs the time of an update, and {family.label} diverges in "
                "the first few; give the budget in steps, or leave it out"
            )
    return {f.label: statistics.median(s) for f, s in zip(families, rounds, strict=True)}


def paced(
    task: Task, families: Sequence[Family], known: Mapping[str, float], seconds: float
) -> tuple[list[Family], int]:
    """(the families with the updates that each makes in so many seconds, the most work of all)."""
    found, most = [], 1.0
    for family in families:
        updates = math.floor(seconds / known[family.label])
        batch = Lane.of(task, Entrant(0, family, {})).batch
        most = max(most, updates * batch / task.batch_size)
        found.append(replace(family, updates=updates))
    return found, math.ceil(most)
