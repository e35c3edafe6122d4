"""What a recorded setting needs to reach the target, over all its seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from slalom.racing.contender import Lane
from slalom.racing.runner import History
from slalom.train import Task


@dataclass(frozen=True)
class Need:
    """What runs of one setting need; work is in updates of the task's batch size.

    Attributes:
        works: to the target, of each run; infinite where it did not arrive.
        spent: by each run, to the target or to where it ended.
    """

    works: list[float]
    spent: list[float]

    @classmethod
    def of(cls, task: Task, lane: Lane, histories: Sequence[History]) -> Need:
        """That of recorded runs. One that was recorded past the task's cap has spent the cap."""
        works, spent = [], []
        for history in histories:
            crossing = history.crossing(task)
            done = lane.work(history.evaluations[-1]) if history.evaluations else lane.stride
            works.append(lane.work(crossing) if crossing else math.inf)
            spent.append(lane.work(crossing) if crossing else min(done, float(task.max_steps)))
        return cls(works, spent)

    @property
    def arrived(self) -> float:
        """The share of runs that arrived."""
        return sum(map(math.isfinite, self.works)) / len(self.works)

    @property
    def median(self) -> float:
        """The work to the target of the run in the middle; infinite where half do not arrive."""
        return statistics.median_high(self.works)

    @property
    def expected(self) -> float:
        """The expected work with restarts until a run arrives (ERT: Hansen et al. 2009).

        All the work that was done, over the number of runs that arrived; infinite where none did,
        and the mean where all did.
        """
        arrivals = sum(map(math.isfinite, self.works))
        return sum(self.spent) / arrivals if arrivals else math.inf
