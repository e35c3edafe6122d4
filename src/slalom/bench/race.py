"""What a race's search costs, and what its choice is worth: whole races, replayed from a bank."""

from __future__ import annotations

import copy
import itertools
import math
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import slalom
from slalom.bench.bank import load
from slalom.bench.need import Need
from slalom.racing import seeds as seeds_of
from slalom.racing.contender import Lane
from slalom.racing.design import STANDARD as FINALS
from slalom.racing.design import Design
from slalom.racing.entrants import FIELD, Entrant
from slalom.racing.heats import Heats
from slalom.racing.replay import Bank, Draw, Key, Replayer
from slalom.racing.schedule import STANDARD, Schedule
from slalom.train import Task

SUFFIX = ".json.xz"
"""How the file of a task's bank ends."""

FOUND, POWER = 1.3, 0.9
"""The ratio that finals are to find, and how often."""


def banked(folder: Path, names: Iterable[str] = ()) -> Iterator[tuple[Task, Bank]]:
    """Every recorded task (or those named) with its bank; its cap is that of the recording."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        name = path.name.removesuffix(SUFFIX)
        if not names or name in names:
            bank = Bank.load(path)
            yield capped(load(name), bank.terms.cap), bank


def capped(task: Task, cap: int | None) -> Task:
    """The task, or a copy that ends at a lower cap."""
    if cap is None or cap >= task.max_steps:
        return task
    task = copy.copy(task)
    task.max_steps = cap
    return task


def need(task: Task, bank: Bank, key: Key) -> Need:
    """What the runs of one setting need."""
    return Need.of(task, Lane.of(task, Entrant(0, FIELD[key[0]], {})), bank.histories[key])


def needs(task: Task, bank: Bank) -> dict[Key, float]:
    """Each recorded setting -> the work it is expected to need to the target, over all its seeds.

    With restarts, so that it is a number as soon as one run arrives: see :class:`Need`.
    """
    return {key: need(task, bank, key).expected for key in bank.histories}


def replayer(task: Task, bank: Bank, seed: int) -> Replayer:
    """What answers one race from the bank; its heats and its finals have seeds of their own."""
    return Replayer(task, bank, Draw(bank.seeds, seed, final=lambda s: seeds_of.place(s) >= 0))


@dataclass(frozen=True)
class Search:
    """What one search cost, and found: see :func:`search`.

    ``picked`` is the regret of the setting that was soonest on the seed of the heats.
    """

    cost: float
    regret: float
    picked: float


def search(task: Task, bank: Bank, seed: int, schedule: Schedule = STANDARD) -> Search:
    """The heats of one race, replayed from the bank.

    The regret is what the best of the chosen settings is expected to need, over what the best of
    all recorded settings is: the finals choose among rules, and cannot mend what heats have missed.
    The cost is in runs of that setting to the target. Infinite where it never arrives.
    """
    entered = itertools.count()
    field = [replace(f, space={"lr": f.space["lr"]}) for f in FIELD.values()]
    heats = Heats(
        task, field, replayer(task, bank, seed), seeds_of.heats(seed),
        lambda family, hypers: Entrant(next(entered), family, hypers), schedule=schedule,
    )  # fmt: skip
    heats.run()
    grid = needs(task, bank)
    found = {n: grid[bank.nearest(n, s.rate)] for n, s in heats.chosen.items()}
    soonest = min(found, key=lambda n: (heats.chosen[n].to_target, heats.chosen[n].loss))
    spent = sum(s.spent for own in heats.contenders.values() for s in own)
    best, least = min(found.values()), min(grid.values())
    return Search(spent / best, best / least, found[soonest] / least)


@dataclass(frozen=True)
class Whole:
    """What one race cost, and chose: see :func:`replay`."""

    cost: float
    regret: float
    tie: bool


def replay(task: Task, bank: Bank, seed: int, **options: Any) -> Whole:
    """One whole race, replayed from the bank; costs and regrets are infinite where nobody won.

    The cost is in runs of the one that leads; the regret is what that is expected to need, over
    what the best of all recorded settings is.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = slalom.race(
            task, seed=seed, baseline=None, out=Path(folder) / "race", progress=False,
            runner=replayer(task, bank, seed), **options,
        )  # fmt: skip
    if result.winner is None or result.cost.runs is None:
        return Whole(math.inf, math.inf, False)
    grid = needs(task, bank)
    key = bank.nearest(result.winner.rule, result.winner.hypers["lr"])
    return Whole(result.cost.runs, grid[key] / min(grid.values()), result.verdict.tie)


def close(task: Task, bank: Bank, within: float = 1.15) -> bool:
    """Whether the best of two rules are within so many times of each other."""
    grid = needs(task, bank)
    rules = {rule for rule, _ in grid}
    first, second, *_ = sorted(min(v for k, v in grid.items() if k[0] == r) for r in rules)
    return second < within * first


def least(task: Task, bank: Bank, design: Design = FINALS) -> float:
    """Winning runs that any finals take at least, were the best setting of every rule known.

    Of every rival three seeds, to the target or to 1.5 times what the best took there. Where all
    runs of the best arrive, a rival that needs :data:`FOUND` times as much is to be found with
    :data:`POWER`: in the mean that takes as many seeds as Wald (1945) says, were the logarithms of
    the ratios normal, their spread known, and this rival the only one to err about. The best runs
    on as many seeds as any rival.
    """
    found: dict[str, Need] = {}
    for key in bank.histories:
        one = need(task, bank, key)
        if key[0] not in found or one.expected < found[key[0]].expected:
            found[key[0]] = one
    first = min(found.values(), key=lambda n: n.expected)
    seeds, runs = float(design.evidence), 0.0
    for rival in (n for n in found.values() if n is not first):
        pairs = [(f, s) for f, s in zip(first.works, rival.works, strict=True) if f < math.inf]
        taken = sum(min(s, design.far * f) for f, s in pairs) / sum(f for f, _ in pairs)
        enough = float(design.evidence)
        if first.arrived == 1 and rival.expected >= FOUND * first.expected:
            enough = min(design.seeds, max(enough, _wald(pairs, design)))
        seeds, runs = max(seeds, enough), runs + enough * taken
    return seeds + runs


def _wald(pairs: Sequence[tuple[float, float]], design: Design) -> float:
    """Seeds in the mean for a sequential test to find these runs' ratio, where equals look alike.

    By the ratios or, where that is quicker, by the ratios up to ``design.far``.
    """
    error, missed = design.error / 2, 1 - POWER
    told = POWER * math.log(POWER / error) + missed * math.log(missed / (1 - error))
    least, far = math.inf, math.log(design.far)
    for most in (math.inf, far):
        logs = [max(-most, min(most, math.log(s / f))) for f, s in pairs]
        if max(logs) < math.inf and (mean := statistics.mean(logs)) > 0:
            least = min(least, 2 * told * statistics.pvariance(logs) / mean**2)
    return least


@dataclass(frozen=True)
class TaskRaces:
    """Searches and whole races of one task.

    ``by_schedule``: the searches of each of :data:`SCHEDULES`; ``least``: see :func:`least`.
    """

    name: str
    close: bool
    by_schedule: dict[str, list[Search]]
    races: list[Whole]
    least: float = math.nan

    def regret(self, schedule: str) -> float:
        """The median regret of the searches by a schedule."""
        return statistics.median(s.regret for s in self.by_schedule[schedule])

    def cost(self, schedule: str) -> float:
        """The median cost of the searches by a schedule."""
        return statistics.median(s.cost for s in self.by_schedule[schedule])

    def __str__(self) -> str:
        regrets = [s.regret for s in self.by_schedule["standard"]]
        whole = statistics.median(r.cost for r in self.races) if self.races else math.nan
        won = statistics.median(r.regret for r in self.races) if self.races else math.nan
        return (
            f"{self.name:17} search {self.cost('standard'):5.1f}  "
            f"regret {self.regret('standard'):5.2f} (90% {ninth(regrets):5.2f})  "
            f"whole race {whole:5.0f}  regret {won:5.2f}  "
            f"{sum(r.tie for r in self.races)} of {len(self.races)} tie"
        )


SCHEDULES: dict[str, Schedule] = {
    "standard": STANDARD,
    "more settings kept": replace(STANDARD, keep=0.67),
    "dropped later": replace(STANDARD, moved=0.3, stirred=0.2),
    "rules tuned on longer": replace(STANDARD, behind=1.5),
    "rules given up sooner": replace(STANDARD, behind=1.2),
    "coarser at the end": replace(STANDARD, fine=2.1),
    "longer glances": replace(STANDARD, glance=0.4),
    "luck counts": replace(STANDARD, alone=1.0),
}
"""Schedules that were thought of; what one is worth is seen on tasks that did not choose it."""


def measured(task: Task, bank: Bank, seeds: int, races: int, names: Iterable[str]) -> TaskRaces:
    """The row of one task, from so many searches and races."""
    found = {n: [search(task, bank, s, SCHEDULES[n]) for s in range(seeds)] for n in names}
    return TaskRaces(
        task.name, close(task, bank), found, [replay(task, bank, s) for s in range(races)],
        least(task, bank),
    )  # fmt: skip


def left_out(rows: Sequence[TaskRaces]) -> dict[str, str]:
    """Task -> the schedule that is best on all other tasks: least regret, then cost.

    By the mean of the logarithm of the regret, at most of 4, and a tenth of that of the cost.
    """

    def worth(row: TaskRaces, schedule: str) -> float:
        return math.log(min(4.0, row.regret(schedule))) + math.log(row.cost(schedule)) / 10

    return {
        row.name: min(row.by_schedule, key=lambda s: sum(worth(r, s) for r in rows if r is not row))
        for row in rows
    }


def ninth(values: Sequence[float]) -> float:
    """The 90th percentile."""
    return sorted(values)[math.ceil(0.9 * len(values)) - 1]


def summary(rows: Sequence[TaskRaces], schedules: Mapping[str, str]) -> str:
    """Over tasks, each searched by the schedule that is named for it: cost and regret."""
    regrets = [row.regret(schedules[row.name]) for row in rows]
    cost = statistics.median(row.cost(schedules[row.name]) for row in rows)
    worst = max(rows, key=lambda row: row.regret(schedules[row.name]))
    return (
        f"search {cost:.1f} (bar 12), regret {statistics.median(regrets):.2f} (bar 1.10), "
        f"90th percentile of tasks {ninth(regrets):.2f} (1.35), worst {max(regrets):.2f} (1.60: "
        f"{worst.name})"
    )


def rows_of(
    folder: Path, seeds: int = 10, races: int = 10, names: Iterable[str] = (),
    schedules: Iterable[str] = ("standard",), show: Callable[[str], None] = print,
) -> list[TaskRaces]:  # fmt: skip
    """Measure every task in the bank, or those named; shows each."""
    found = []
    for task, bank in banked(folder, names):
        found.append(measured(task, bank, seeds, races, tuple(schedules)))
        show(str(found[-1]))
    return found


def main(folder: Path = Path("benchmarks/bank"), names: Sequence[str] = ()) -> None:
    """Print what searches and whole races cost and are worth, by task and in all.

    In winning runs. The last line judges each task by the schedule that the others choose.
    """
    rows = rows_of(folder, names=names, schedules=SCHEDULES)
    everywhere = {row.name: "standard" for row in rows}
    print(f"\nstandard: {summary(rows, everywhere)}")
    chosen = left_out(rows)
    print(f"left out: {summary(rows, chosen)}")
    for schedule in dict.fromkeys(chosen.values()):
        print(f"  {schedule}: chosen for {list(chosen.values()).count(schedule)} tasks")
    whole = {row.name: statistics.median(r.cost for r in row.races) for row in rows}
    apart = [whole[row.name] for row in rows if not row.close]
    print(f"whole race: {statistics.median(whole.values()):.0f} winning runs (bar 80)", end="")
    if apart:
        print(f"; {statistics.median(apart):.0f} (60) where no two rules are within 1.15", end="")
    print()
    bound = statistics.median(row.least + row.cost("standard") for row in rows)
    print(f"  at least {bound:.0f}, were the best setting of every rule known after the search")


if __name__ == "__main__":
    main()
