"""What a race with a budget is worth: its judge on drawn scores, and whole races from the bank."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

import slalom
from slalom.bench.race import banked, ninth, replay
from slalom.racing import seeds as seeds_of
from slalom.racing.design import OUT, AtTheEnd, Design
from slalom.racing.entrants import FIELD
from slalom.racing.estimate import estimates
from slalom.racing.replay import Bank, Draw, Key, Replayer
from slalom.racing.scores import Score, difference
from slalom.racing.sequential import judge
from slalom.train import Task

DESIGN = AtTheEnd()

SIMULATIONS = 1000
"""Finals of a cell of two; a quarter of that of seven."""

GAPS = (0.0, 0.5, 1.0, 2.0)
"""How much worse rivals are than the best, in standard deviations of the difference of a pair."""

STEP = 0.5
"""Of a coarse metric, in the same unit."""


@dataclass(frozen=True)
class Noise:
    """How the metric at the end varies between seeds; the difference of two equals varies by 1.

    Attributes:
        shape: normal; exponential (now and then a bad run); or Student's t with 3 degrees of
            freedom.
        coarse: whether it is rounded to multiples of :data:`STEP`, so that pairs are often equal.
        lost: the share of runs that diverge, each by itself.
    """

    shape: Literal["smooth", "skewed", "heavy"]
    coarse: bool = False
    lost: float = 0.0

    def __str__(self) -> str:
        coarse = ", coarse" if self.coarse else ""
        return self.shape + coarse + (f", {self.lost:.0%} diverge" if self.lost else "")

    def finals(self, gaps: Sequence[float], seeds: int, seed: int) -> dict[str, dict[int, Score]]:
        """Scores of finalists named by their place in ``gaps``, by how much each is worse."""
        generator = np.random.default_rng((seed, len(gaps)))
        size = (len(gaps), seeds)
        draws = {
            "smooth": lambda: generator.standard_normal(size),
            "skewed": lambda: generator.exponential(1.0, size),
            "heavy": lambda: generator.standard_t(3, size) / math.sqrt(3),
        }[self.shape]()
        values = np.array(gaps)[:, None] + draws / math.sqrt(2)
        if self.coarse:
            values = np.round(values / STEP) * STEP
        values[generator.random(size) < self.lost] = math.nan
        return {
            str(i): {s: Score(float(values[i, s]), 1.0) for s in range(seeds)}
            for i in range(len(gaps))
        }


NOISES = (
    Noise("smooth"), Noise("skewed"), Noise("heavy"), Noise("smooth", coarse=True),
    Noise("smooth", lost=0.1), Noise("heavy", coarse=True, lost=0.4),
)  # fmt: skip
"""For two finalists."""

WIDE = (Noise("smooth"), Noise("skewed"), Noise("heavy", coarse=True, lost=0.1))
"""For seven."""


@dataclass(frozen=True)
class Cell:
    """What came of many finals of one kind.

    Attributes:
        wrong: the share of which somebody among the best was called worse, or behind.
        found: of which the best was the winner.
        runs: made, on average.
        told: the mean of how much worse the first rival was told to be, where the best won; NaN
            where it never did.
        held: the share of intervals, of the first of two, that held the true difference.
        meant: the share that they are said to hold.
    """

    wrong: float
    found: float
    runs: float
    told: float
    held: float
    meant: float


Cells = dict[tuple[Noise, tuple[float, ...]], Cell]
"""By noise, and by how much worse finalists are than the best."""


def cell(
    noise: Noise, gaps: Sequence[float], simulations: int = SIMULATIONS, design: Design = DESIGN,
) -> Cell:  # fmt: skip
    """Judge so many finals; names are shuffled, so that no place among them is favoured."""
    best = [i for i, gap in enumerate(gaps) if gap == min(gaps)]
    rows, told, held, meant = [], [], [], []
    for i in range(simulations):
        drawn = noise.finals(gaps, design.seeds, i)
        names = np.random.default_rng(i).permutation(list(drawn))
        finals = {str(name): drawn[str(name)] for name in names}
        found = judge(finals, design)
        out = {int(n) for n, f in found.findings.items() if f.call in OUT}
        ran = {n: f.seeds for n, f in found.findings.items()}
        runs = sum(ran.values()) + found.seeds * (len(gaps) - len(ran))
        won = best == [0] and found.winner == "0"
        rows.append((bool(out & set(best)), won, runs))
        if len(gaps) == 2 and found.findings:
            ((rival, apart),) = estimates(finals, found, design).items()
            true = gaps[int(rival)] - gaps[1 - int(rival)]
            held.append(apart.low <= true <= apart.high)
            meant.append(apart.level)
            told += [apart.value] if won else []
    wrong, share, runs = (float(x) for x in np.mean(np.array(rows, float), axis=0))
    return Cell(wrong, share, runs, _mean(told), _mean(held), _mean(meant))


def cells(simulations: int, pool: Executor) -> Cells:
    """Every cell."""
    kinds = [(noise, (0.0, gap)) for noise in NOISES for gap in GAPS]
    kinds += [(noise, (0.0, *[gap] * 6)) for noise in WIDE for gap in GAPS]
    kinds += [(noise, (0.0, 0.0, *[1.0] * 5)) for noise in WIDE]
    futures = {
        kind: pool.submit(cell, *kind, simulations if len(kind[1]) == 2 else _fewer(simulations))
        for kind in kinds
    }
    return {kind: future.result() for kind, future in futures.items()}


def _fewer(simulations: int) -> int:
    return max(1, simulations // 4)


# whole races

SHORTEST = 8
"""Evaluations of the shortest budget that is worth a race."""


ENTRANTS = [label for label, family in FIELD.items() if family.batch_size is None]
"""All but batch gradient descent, whose updates do not come to an end with a budget of others'."""


def horizon(task: Task, bank: Bank) -> int:
    """The longest budget, in updates, that every recorded run goes to which did not end before."""
    runs = [h for (label, _), own in bank.histories.items() if label in ENTRANTS for h in own]
    least = min(h.step for h in runs if h.ended is None)
    return least // task.eval_every * task.eval_every


def ends(task: Task, bank: Bank) -> dict[Key, list[float]]:
    """Each recorded setting -> its metric at the end of the task's budget, seed by seed, with the
    sign by which less is better; infinite where a run did not get there."""
    sign = -1.0 if task.higher_is_better else 1.0
    found: dict[Key, list[float]] = {}
    for key, histories in bank.histories.items():
        if key[0] not in ENTRANTS:
            continue
        at = [[e.metric for e in h.evaluations if e.step == task.max_steps] for h in histories]
        found[key] = [sign * m[0] if m and math.isfinite(m[0]) else math.inf for m in at]
    return found


@dataclass(frozen=True)
class Whole:
    """One race with a budget, replayed.

    Attributes:
        cost: of all its runs, in those that use the budget up.
        better: the share of recorded settings that end better than what was chosen, in the median.
        excess: by how much the best of them does, in standard deviations of its seeds.
        tie: whether nobody won.
        wrong: whether somebody won while another finalist ends better on the seeds that finals are
            drawn from, in the median of the means of all two differences.
    """

    cost: float
    better: float
    excess: float
    tie: bool
    wrong: bool


def replayed(task: Task, bank: Bank, seed: int, **options: Any) -> Whole:
    """One race on a task that has a budget."""
    draw = Draw(bank.seeds, seed, final=lambda s: seeds_of.place(s) >= 0)
    with tempfile.TemporaryDirectory() as folder:
        result = slalom.race(
            task, entrants=ENTRANTS, seed=seed, baseline=None, out=Path(folder) / "race",
            progress=False, runner=Replayer(task, bank, draw), **options,
        )  # fmt: skip
    grid = ends(task, bank)
    middle = {key: statistics.median(values) for key, values in grid.items()}
    assert result.winner is not None
    chosen = {s.rule: bank.nearest(s.rule, s.hypers["lr"]) for s in result.standings}
    won, best = chosen[result.winner.rule], min(middle, key=lambda k: middle[k])
    ahead = [_ahead(grid[key], grid[won], draw.left) for key in chosen.values()]
    spread = statistics.stdev(v for v in grid[best] if math.isfinite(v))
    gap = middle[won] - middle[best]
    return Whole(
        result.cost.samples / (task.max_steps * task.batch_size),
        sum(v < middle[won] for v in middle.values()) / len(middle),
        gap / spread if spread else (math.inf if gap else 0.0),
        result.verdict.tie,
        not result.verdict.tie and max(ahead) > 0,
    )


def _ahead(one: Sequence[float], other: Sequence[float], seeds: Sequence[int]) -> float:
    """By how much the one ends better on these seeds."""
    gaps = np.array([difference(Score(other[s], 1.0), Score(one[s], 1.0)) for s in seeds])
    gaps = gaps[~np.isnan(gaps)]
    i, j = np.triu_indices(len(gaps))
    with np.errstate(invalid="ignore"):
        means = (gaps[i] + gaps[j]) / 2
    return float(np.median(means[~np.isnan(means)])) if len(gaps) else 0.0


def races(folder: Path, seeds: int, names: Sequence[str] = (), **options: Any) -> Iterator[Whole]:
    """Races with a budget on the tasks of the bank, or those named, that go to one worth it."""
    for task, bank in banked(folder, names):
        if (longest := horizon(task, bank)) < SHORTEST * task.eval_every:
            continue
        for seed in range(seeds):
            yield replayed(task.lasting(f"{longest} steps"), bank, seed, **options)


# what is told of them


def page(found: Cells, simulations: int) -> str:
    """The cells as a section of the documentation, in Markdown."""
    gaps = GAPS[1:]
    lines = [
        f"The judge on drawn scores, {simulations} finals a cell ({_fewer(simulations)} of seven), "
        f"{DESIGN.seeds} seeds at most. The difference of two equals varies between seeds with a "
        "standard deviation of 1; rivals are so many of these worse. Noise is normal (smooth), "
        "exponential (skewed) or Student's t with 3 degrees of freedom (heavy); a coarse metric is "
        f"rounded to multiples of {STEP}. *false*: one of two equals was called worse, or behind "
        f"({DESIGN.error:.0%} and {DESIGN.luck:.0%} are meant). *found*: the better won. *told*: "
        "by how much, on average, where it did. *held*: intervals that held the true difference, "
        "for what they are said to hold, on average: of few seeds they are open.",
        "",
        _row("two finalists", "false", "runs", "held",
             *(x for g in gaps for x in (f"{g:g} found", "runs", "told", "held"))),
        _row("---", *["---:"] * (3 + 4 * len(gaps))),
    ]  # fmt: skip
    for noise in NOISES:
        equal = found[noise, (0.0, 0.0)]
        row = [f"{equal.wrong:.1%}", f"{equal.runs:.0f}", _held(equal)]
        for gap in gaps:
            one = found[noise, (0.0, gap)]
            row += [f"{one.found:.1%}", f"{one.runs:.0f}", f"{one.told:.2f}", _held(one)]
        lines.append(_row(str(noise), *row))
    lines += [
        "",
        "Of seven, one is the best and six are so much worse. *false*: of seven equals somebody "
        "was called worse, or behind; *false of two*: of two equals before five worse by 1.",
        "",
        _row("seven finalists", "false", "runs", "false of two", "runs",
             *(x for g in gaps for x in (f"{g:g} found", "runs"))),
        _row("---", *["---:"] * (4 + 2 * len(gaps))),
    ]  # fmt: skip
    for noise in WIDE:
        row = []
        for kind in ((0.0,) * 7, (0.0, 0.0, *[1.0] * 5)):
            row += [f"{found[noise, kind].wrong:.1%}", f"{found[noise, kind].runs:.0f}"]
        for gap in gaps:
            one = found[noise, (0.0, *[gap] * 6)]
            row += [f"{one.found:.1%}", f"{one.runs:.0f}"]
        lines.append(_row(str(noise), *row))
    return "\n".join([*lines, ""])


def told(kind: str, own: Sequence[Whole]) -> str:
    """Races of one kind as a row of a table."""
    return _row(
        kind, str(len(own)), f"{statistics.median(r.cost for r in own):.0f}",
        f"{statistics.median(r.better for r in own):.1%}",
        f"{ninth([r.better for r in own]):.1%}",
        f"{statistics.median(r.excess for r in own):.2f}", f"{ninth([r.excess for r in own]):.2f}",
        f"{_mean([float(r.tie) for r in own]):.0%}", f"{_mean([float(r.wrong) for r in own]):.1%}",
    )  # fmt: skip


SEARCHES: Mapping[str, Mapping[str, Any]] = {"halfway": {}, "TPE": {"sampler": "tpe"}}
"""How settings are added to a search."""


def main(
    folder: Path, simulations: int = SIMULATIONS, workers: int = 1, seeds: int = 3,
    names: Sequence[str] = (), show: Callable[[str], None] = print,
) -> None:  # fmt: skip
    """Print the judge's cells as tables, then whole races on the bank by each kind of search: with
    a budget, and to the target."""
    with ProcessPoolExecutor(workers) as pool:
        show(page(cells(simulations, pool), simulations))
    show(
        "Whole races to the longest budget that all recorded runs go to. *cost*: in runs of the "
        "whole budget. *better*: settings, of all recorded ones, that end better than the one that "
        "was chosen; *excess*: by how much the best of them does, in standard deviations of its "
        "seeds. *wrong*: somebody won, and another finalist is better on the seeds that finals are "
        "drawn from.\n"
    )
    show(_row("search", "races", "cost", "better", "90%", "excess", "90%", "tie", "wrong"))
    show(_row("---", *["---:"] * 8))
    for kind, options in SEARCHES.items():
        show(told(kind, list(races(folder, seeds, names, **options))))
    show(
        "\nWhole races to the tasks' own targets. *cost*: in runs of the one that leads. *regret*: "
        "what that is expected to need, over what the best of all recorded settings is.\n"
    )
    show(_row("search", "races", "cost", "regret", "90%", "tie"))
    show(_row("---", *["---:"] * 5))
    for kind, options in SEARCHES.items():
        own = [
            replay(task, bank, seed, **options)
            for task, bank in banked(folder, names) for seed in range(seeds)
        ]  # fmt: skip
        costs, regrets = [r.cost for r in own], [r.regret for r in own]
        show(_row(
            kind, str(len(own)), f"{statistics.median(costs):.0f}",
            f"{statistics.median(regrets):.2f}", f"{ninth(regrets):.2f}",
            f"{_mean([float(r.tie) for r in own]):.0%}",
        ))  # fmt: skip


def _held(one: Cell) -> str:
    return f"{one.held:.1%} for {one.meant:.1%}"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _row(*columns: str) -> str:
    return f"| {' | '.join(columns)} |"
