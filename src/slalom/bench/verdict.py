"""How often a verdict errs: finals between two names for one thing, and between unequal ones.

The heats of such a race choose nothing, since all settings of both need the same. So the finals
are drawn and judged by themselves, as a race leads them: twenty in the time of a race.
"""

from __future__ import annotations

import math
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import slalom
from slalom.bench.race import banked, needs
from slalom.racing import seeds
from slalom.racing.contender import Contender, Lane
from slalom.racing.design import STANDARD
from slalom.racing.entrants import FIELD, Entrant, families
from slalom.racing.finals import Finals, Leg
from slalom.racing.result import Result
from slalom.racing.runner import HOLD, History, Request, Runner
from slalom.racing.sequential import Judgement, judge
from slalom.train import Evaluation, Task

FINALS = 2000
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


def one_final(task: Task, works: Sequence[float], factor: float, seed: int) -> Judgement:
    """The finals of :func:`one_race`, without its heats."""
    runner = Drawn(task, works, {"that": factor}, seed)
    sides = {
        family.label: Contender(entrant, Lane.of(task, entrant), task)
        for i, family in enumerate(families({"this": slalom.optim.SGD, "that": slalom.optim.SGD}))
        for entrant in [Entrant(i, family, {})]
    }

    def history(side: Contender, at: int, work: float) -> History:
        every, until = side.lane.every, side.lane.until(work)
        request = Request(side.entrant, at, until, every)
        ((_, found),) = runner.advance([request])
        if task.reached(found.evaluations[-1].metric):  # whether it holds is to be seen
            ((_, found),) = runner.advance([replace(request, until=until + HOLD * every)])
        return found

    def train(legs: Sequence[Leg]) -> list[History]:
        return [history(side, seeds.final(seed, place), work) for side, place, work in legs]

    def likely(label: str) -> float:
        side = sides[label]
        there = history(side, seeds.heats(seed)[0], float(task.max_steps)).crossing(task)
        return side.lane.work(there) if there else math.inf

    order = sorted(sides, key=likely)
    finals = Finals(order, lambda place: sides, train, float(task.max_steps), STANDARD)
    finals.race()
    return judge(finals.runs, STANDARD)


def called(field: Field, factor: float, finals: int = FINALS) -> float:
    """The share of finals that call "this" the winner (of two equals: either), over the tasks."""
    won = 0
    for seed in range(finals):
        winner = one_final(*field[seed % len(field)], factor, seed).winner
        won += winner == "this" or (factor == 1.0 and winner is not None)
    return won / finals


def main(
    folder: Path = Path("benchmarks/bank"), finals: int = FINALS,
    show: Callable[[str], None] = print,
) -> str:  # fmt: skip
    """How often equals are told apart, and how often the faster is found, as a section in Markdown;
    each kind is shown as it comes."""
    lines = [
        "## On recorded tasks",
        "",
        "What the best setting of each task of the bank needs, seed by seed, drawn for two "
        f"finalists who need the same, or of whom one needs {FASTER} times as much: {finals} "
        "finals a kind, led as a race leads them. *false*: of two equals a winner was called, and "
        "the standard error of that.",
        "",
        f"| tasks where | tasks | false | {FASTER} found |",
        "| --- | ---: | ---: | ---: |",
    ]
    field = fields(folder)
    for kind in KINDS:
        own = [(task, works) for task, works in field if kind.holds(works)]
        if not own:
            continue
        equals, found = called(own, 1.0, finals), called(own, FASTER, finals)
        error = math.sqrt(equals * (1 - equals) / finals)
        lines.append(f"| {kind.name} | {len(own)} | {equals:.1%} ({error:.1%}) | {found:.1%} |")
        show(lines[-1])
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
