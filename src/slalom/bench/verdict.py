"""How often a verdict errs: races between two names for one thing, and between unequal ones."""

from __future__ import annotations

import math
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import slalom
from slalom.bench.race import banked, needs
from slalom.racing.contender import Lane
from slalom.racing.entrants import FIELD, Entrant
from slalom.racing.result import Result
from slalom.racing.runner import HOLD, History, Request, Runner
from slalom.train import Evaluation, Task

RACES = 400
"""Of each kind."""

FASTER = 1.3
"""The difference that is to be found."""


class Drawn(Runner):
    """A runner that trains nothing: what a run needs is drawn from what recorded runs needed.

    Each label and seed has its own draw, so that two labels differ by chance alone, or by what
    ``slower`` says of one: its needs, in multiples.
    """

    any_spacing = False

    def __init__(self, task: Task, works: Sequence[float], slower: dict[str, float], seed: int):
        super().__init__(task)
        self._works, self._slower, self._seed = works, slower, seed

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, History]]:
        for request in requests:
            label = request.entrant.family.label
            work = random.Random(f"{self._seed} {label} {request.seed}").choice(self._works)
            work *= self._slower.get(label, 1.0)
            lane = Lane.of(self.task, request.entrant)
            never = request.until + (HOLD + 2) * lane.every
            crossing = lane.until(work) if math.isfinite(work) else never
            steps = [min(crossing, request.until + 1) - lane.every]
            steps += [s for i in range(HOLD + 1) if (s := crossing + i * lane.every)]
            if request.until < crossing + HOLD * lane.every:
                steps = [s for s in steps if s < request.until] + [request.until]
            known = tuple(
                self._evaluation(step, lane, step >= crossing) for step in steps if step > 0
            )
            yield request, History(known)

    def _evaluation(self, step: int, lane: Lane, there: bool) -> Evaluation:
        target = self.task.target or 0.0
        short = -1.0 if self.task.higher_is_better else 1.0
        return Evaluation(step, step * lane.batch, 0.0, 1.0, 1.0, target + (0 if there else short))


def one_race(task: Task, works: Sequence[float], factor: float, seed: int) -> Result:
    """A race of two that need the same, or of which "that" needs ``factor`` times as much."""

    def sgd(params: list[torch.Tensor]) -> torch.optim.Optimizer:
        return slalom.optim.SGD(params)

    with tempfile.TemporaryDirectory() as folder:
        return slalom.race(
            task, entrants={"this": sgd, "that": sgd}, seed=seed, baseline=None, progress=False,
            out=Path(folder) / "race", runner=Drawn(task, works, {"that": factor}, seed),
        )  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A kind of tasks.

    Attributes:
        name: in a few words.
        least, most: of the standard deviation of the logarithm of what the best setting needs.
        always: whether all of its recorded runs arrive; else there are some that do not.
    """

    name: str
    least: float
    most: float
    always: bool = True

    def holds(self, works: Sequence[float]) -> bool:
        """Whether a task is of this kind whose best setting needs this, seed by seed."""
        there = [math.log(w) for w in works if math.isfinite(w)]
        spread = statistics.pstdev(there)
        return (len(there) == len(works)) == self.always and self.least <= spread < self.most


KINDS = (
    Kind("seeds differ little", 0.0, 0.15),
    Kind("seeds differ much", 0.15, math.inf),
    Kind("some seeds never arrive", 0.0, math.inf, always=False),
)

Field = list[tuple[Task, list[float]]]
"""Tasks, and what the best setting of each needs, seed by seed; infinite where it never arrives."""


def fields(folder: Path) -> Field:
    """Every task of the bank."""
    found: Field = []
    for task, bank in banked(folder):
        grid = needs(task, bank)
        best = min(grid, key=lambda key: grid[key])
        lane = Lane.of(task, Entrant(0, FIELD[best[0]], {}))
        crossings = [t.crossing(task) for t in bank.histories[best]]
        found.append((task, [lane.work(c) if c else math.inf for c in crossings]))
    return found


def called(field: Field, factor: float, races: int = RACES) -> float:
    """The share of races that call "this" the winner (of two equals: either), over the tasks."""
    won = 0
    for seed in range(races):
        task, works = field[seed % len(field)]
        verdict = one_race(task, works, factor, seed).verdict
        won += not verdict.tie and (factor == 1.0 or verdict.winner == "this")
    return won / races


def main(
    folder: Path = Path("benchmarks/bank"), races: int = RACES, show: Callable[[str], None] = print
) -> None:
    """Print, for each kind, how often equals are told apart, and how often the faster is found."""
    field = fields(folder)
    for kind in KINDS:
        own = [(task, works) for task, works in field if kind.holds(works)]
        if not own:
            continue
        equals, found = called(own, 1.0, races), called(own, FASTER, races)
        show(
            f"{kind.name} ({len(own)} tasks): of {races} races of two equals {equals:.1%} call a "
            f"winner (bar: 5%); {FASTER} times as fast is found in {found:.1%} (90% where all "
            "arrive)"
        )


if __name__ == "__main__":
    main()
