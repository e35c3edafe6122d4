"""What a race's search costs, and what its choice is worth: whole races, replayed from a bank."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import slalom
from slalom.racing.bracket import Lane
from slalom.racing.entrants import FIELD, Entrant
from slalom.racing.replay import Bank, Key, Replayer
from slalom.tasks import TASKS, load
from slalom.train import Task

GRID: dict[str, tuple[int, int]] = {
    "digits-cnn": (12, 6),
    "digits-rnn": (12, 6),
    "stdlib-chars": (10, 5),
}
"""Learning rates of each method and seeds recorded of a task; (16, 10) where it is not named."""


def record(folder: Path, names: Iterable[str] = TASKS) -> None:
    """Train what the bank holds: every classic method at a grid of learning rates."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / f"{name}.json.gz"
        rates, seeds = GRID.get(name, (16, 10))
        Bank.record(load(name), list(FIELD.values()), rates, seeds).save(path)
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB", flush=True)


def needs(task: Task, bank: Bank) -> dict[Key, float]:
    """Each setting of the grid -> the work it typically needs to the target, over its seeds.

    The geometric mean; the median where some runs do not arrive, which is what the race's own
    verdict goes by.
    """
    found: dict[Key, float] = {}
    for key, histories in bank.histories.items():
        lane = Lane.of(task, Entrant(0, FIELD[key[0]], {}))
        crossings = [t.crossing(task) for t in histories]
        works = [lane.work(c) if c else math.inf for c in crossings]
        arrived = all(map(math.isfinite, works))
        found[key] = statistics.geometric_mean(works) if arrived else statistics.median(works)
    return found


def replay(task: Task, bank: Bank, seed: int) -> tuple[float, float]:
    """One race from the bank: what its search cost, and the regret of its choice.

    The cost is in runs of the winner to the target; the regret is what the winner typically needs,
    over what the best setting of the whole grid does. Infinite where nobody won.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = slalom.race(
            task, seed=seed, baseline=None, out=Path(folder) / "race", runner=Replayer(task, bank)
        )
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

    def __str__(self) -> str:
        return (
            f"search {self.cost:5.1f} winning runs, regret {self.regret:.2f}, "
            f"90th percentile {self.ninth:.2f}"
        )


def replays(folder: Path, seeds: int = 10, show: Callable[[str], None] = print) -> Worth:
    """Races of every task in the bank, from ``seeds`` seeds each; shows each task's figures."""
    costs: list[float] = []
    regrets: list[float] = []
    for path in sorted(folder.glob("*.json.gz")):
        name = path.name.removesuffix(".json.gz")
        task, bank = load(name), Bank.load(path)
        found = Worth(*map(list, zip(*(replay(task, bank, s) for s in range(seeds)), strict=True)))
        show(f"{name:13} {found}")
        costs += found.costs
        regrets += found.regrets
    return Worth(costs, regrets)


def main(folder: Path = Path("benchmarks/bank")) -> None:
    """Print the search's cost in winning runs and the regret, by task and in all."""
    print(f"{'all':13} {replays(folder)}  (bars: 10, 1.15, 1.3)")


if __name__ == "__main__":
    main()
