"""What a race's search costs, and what its choice is worth: whole races, replayed from a bank."""

from __future__ import annotations

import copy
import math
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import slalom
from slalom.bench.bank import load
from slalom.bench.need import Need
from slalom.racing import seeds as seeds_of
from slalom.racing.contender import Lane
from slalom.racing.entrants import FIELD, Entrant
from slalom.racing.replay import Bank, Draw, Key, Replayer
from slalom.train import Task

SUFFIX = ".json.xz"
"""How the file of a task's bank ends."""


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


def replay(task: Task, bank: Bank, seed: int) -> tuple[float, float]:
    """One race from the bank: what its search cost, and the regret of its choice.

    The cost is in runs of the winner to the target; the regret is what the winner is expected to
    need, over what the best of all recorded settings is. Infinite where nobody won.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = slalom.race(
            task, seed=seed, baseline=None, out=Path(folder) / "race",
            runner=replayer(task, bank, seed),
        )  # fmt: skip
    if result.winner is None or result.cost.search_runs is None:
        return math.inf, math.inf
    grid = needs(task, bank)
    key = bank.nearest(result.winner.rule, result.winner.hypers["lr"])
    return result.cost.search_runs, grid[key] / min(grid.values())


@dataclass(frozen=True)
class Worth:
    """Costs and regrets of many races: medians, and the 90th percentile of the regrets."""

    costs: list[float]
    regrets: list[float]

    @property
    def cost(self) -> float:
        """The median cost."""
        return statistics.median(self.costs)

    @property
    def regret(self) -> float:
        """The median regret."""
        return statistics.median(self.regrets)

    @property
    def ninth(self) -> float:
        """The 90th percentile of the regrets."""
        return sorted(self.regrets)[math.ceil(0.9 * len(self.regrets)) - 1]

    @property
    def worst(self) -> float:
        """The largest regret."""
        return max(self.regrets)

    def __str__(self) -> str:
        return (
            f"search {self.cost:5.1f} winning runs, regret {self.regret:.2f}, "
            f"90th percentile {self.ninth:.2f}, worst {self.worst:.2f}"
        )


def replays(
    folder: Path, seeds: int = 10, show: Callable[[str], None] = print, names: Iterable[str] = ()
) -> Worth:
    """Races of every task in the bank, from ``seeds`` seeds each; shows each task's figures."""
    costs: list[float] = []
    regrets: list[float] = []
    for task, bank in banked(folder, names):
        found = Worth(*map(list, zip(*(replay(task, bank, s) for s in range(seeds)), strict=True)))
        show(f"{task.name:17} {found}")
        costs += found.costs
        regrets += found.regrets
    return Worth(costs, regrets)


def main(folder: Path = Path("benchmarks/bank")) -> None:
    """Print the search's cost in winning runs and the regret, by task and in all."""
    print(f"{'all':17} {replays(folder)}  (bars: 10, 1.15, 1.3)")


if __name__ == "__main__":
    main()
