"""The operating characteristics of the finals' judge: how often it errs and finds, simulated."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from slalom.racing.design import OUT, STANDARD, Call, Design
from slalom.racing.estimate import estimates
from slalom.racing.needs import Run, Runs, with_restarts
from slalom.racing.sequential import judge

SIMULATIONS = 2000
"""Finals of a cell."""

BASE, STRIDE = 200.0, 10.0
"""What the fastest typically needs, and the work between two evaluations."""


@dataclass(frozen=True)
class Noise:
    """How needs vary between seeds.

    Attributes:
        shape: of the logarithm: normal, exponential (now and then a slow run), or Student's t with
            3 degrees of freedom.
        sd: standard deviation of the logarithm of the ratio of two equals.
        missing: the share of runs that never arrive, each by itself.
    """

    shape: Literal["smooth", "skewed", "heavy"]
    sd: float
    missing: float = 0.0

    def __str__(self) -> str:
        never = f", {self.missing:.0%} never arrive" if self.missing else ""
        return f"{self.shape} {self.sd}{never}"

    def finals(self, factors: Sequence[float], seeds: int, seed: int) -> dict[str, Runs]:
        """Runs of finalists named by their place in ``factors``, what each needs more than BASE."""
        generator = np.random.default_rng((seed, len(factors)))
        size = (len(factors), seeds)
        draws = {
            "smooth": lambda: generator.standard_normal(size),
            "skewed": lambda: generator.exponential(1.0, size) - 1,
            "heavy": lambda: generator.standard_t(3, size) / math.sqrt(3),
        }[self.shape]()
        works = BASE * np.array(factors)[:, None] * np.exp(draws * self.sd / math.sqrt(2))
        works = np.ceil(works / STRIDE) * STRIDE
        arrived = generator.random(size) >= self.missing
        cap = float(works.max())
        return {
            str(i): {
                s: Run(float(works[i, s]) if arrived[i, s] else cap, bool(arrived[i, s]), STRIDE)
                for s in range(seeds)
            }
            for i in range(len(factors))
        }


NOISES = (
    Noise("smooth", 0.2),
    Noise("smooth", 0.3),
    Noise("skewed", 0.5),
    Noise("heavy", 0.4),
    Noise("smooth", 0.3, 0.1),
    Noise("smooth", 0.3, 0.4),
    Noise("skewed", 1.0, 0.7),
)
"""For two finalists."""

WIDE = (Noise("smooth", 0.2), Noise("skewed", 0.5), Noise("heavy", 0.4, 0.4))
"""For seven."""

RATIOS = (1.0, 1.1, 1.3, 2.0)
"""What rivals need more than the fastest."""


@dataclass(frozen=True)
class Cell:
    """What came of many finals of one kind.

    Attributes:
        wrong: the share of which somebody among the fastest was called slower, or behind.
        found: of which the fastest was the winner.
        equal: of which every rival that was left was called equal.
        seeds: looked at, on average.
        runs: made, on average.
        told: the geometric mean of what the first rival was told to need more than the fastest,
            where the fastest won; NaN where it never did.
        held: the share of intervals, of the first rival, that held the true ratio; NaN where it is
            not told.
    """

    wrong: float
    found: float
    equal: float
    seeds: float
    runs: float
    told: float
    held: float


Cells = dict[tuple[Noise, tuple[float, ...]], Cell]
"""By noise, and by what finalists need more than the fastest."""


def stopped(finals: Mapping[str, Runs], design: Design = STANDARD) -> dict[str, Runs]:
    """The runs as finals make them: none goes beyond ``far`` times what the leader's took.

    As if who needs the least over all seeds led from the first on.
    """
    leader = min(finals.values(), key=with_restarts)
    caps = {s: design.far * r.work for s, r in leader.items() if r.arrived}
    return {
        name: {
            s: Run(caps[s], False, r.stride) if r.work > caps.get(s, math.inf) else r
            for s, r in runs.items()
        }
        for name, runs in finals.items()
    }


def cell(
    noise: Noise, factors: Sequence[float], simulations: int = SIMULATIONS,
    design: Design = STANDARD, seed: int = 0,
) -> Cell:  # fmt: skip
    """Judge so many finals, of finalists who need ``factors`` times what the fastest does.

    Names are shuffled, so that no place among them is favoured.
    """
    best = [i for i, f in enumerate(factors) if f == min(factors)]
    rows, told, held = [], [], []
    for i in range(simulations):
        drawn = noise.finals(factors, design.seeds, 1_000_003 * seed + i)
        names = np.random.default_rng(i).permutation(list(drawn))
        finals = stopped({str(name): drawn[str(name)] for name in names}, design)
        found = judge(finals, design)
        slow = {int(n) for n, f in found.findings.items() if f.call in OUT}
        left = [f.call for f in found.findings.values() if f.call not in OUT]
        ran = {n: f.seeds for n, f in found.findings.items()}
        runs = sum(ran.values()) + found.seeds * (len(factors) - len(ran))
        won = best == [0] and found.winner == "0"
        equal = bool(left) and set(left) == {Call.EQUAL}
        rows.append((bool(slow & set(best)), won, equal, found.seeds, runs))
        if len(factors) == 2 and not noise.missing:
            ((rival, ratio),) = estimates(finals, found, design).items()
            true = factors[int(rival)] / factors[1 - int(rival)]
            held.append(ratio.low <= true <= ratio.high)
            told += [math.log(ratio.value)] if won else []
    wrong, share, equal, seeds, runs = (float(x) for x in np.mean(np.array(rows, float), axis=0))
    return Cell(
        wrong, share, equal, seeds, runs,
        math.exp(float(np.mean(told))) if told else math.nan,
        float(np.mean(held)) if held else math.nan,
    )  # fmt: skip


def characteristics(simulations: int, pool: Executor, show: Callable[[str], None] = print) -> Cells:
    """Every cell, shown as it comes."""
    kinds = [(noise, (1.0, ratio)) for noise in NOISES for ratio in RATIOS]
    kinds += [(noise, (1.0, *[ratio] * 6)) for noise in WIDE for ratio in RATIOS]
    kinds += [(noise, (1.0, 1.0, *[1.3] * 5)) for noise in WIDE]
    futures = [(kind, pool.submit(cell, *kind, simulations)) for kind in kinds]
    found: Cells = {}
    for kind, future in futures:
        found[kind] = future.result()
        show(f"{kind[0]}, {kind[1]}: {found[kind]}")
    return found


def page(cells: Cells, simulations: int, picture: str) -> str:
    """The cells as a page of the documentation, in Markdown."""
    design = STANDARD
    two = [n for n, f in cells if f == (1.0, 1.0)]
    seven = [n for n, f in cells if f == (1.0,) * 7]
    lines = [
        "# What a verdict is worth",
        "",
        "<!-- written by benchmarks/race_verdict.py -->",
        "",
        f"The finals' judge on drawn runs, {simulations} finals a cell: a signed rank by sign "
        f"flips, looked at after every seed, {design.seeds} at most, with an error of "
        f"{design.error:.0%} over all rivals and looks (`slalom.racing.sequential`). Before that "
        f"can decide, a rival is out that is *behind*: on {design.evidence} seeds or more it took "
        f"{design.far:g} times as long as the leader, or was stopped there, which by the noise "
        f"seen so far an equal would with a chance of {design.luck:.0%}, over all looks; that is "
        "added for each equal of the leader. What the "
        f"fastest needs is {BASE:.0f} steps, seen every {STRIDE:.0f}. The noise is the standard "
        "deviation of the logarithm of the ratio of two equals: normal (smooth), exponential "
        "(skewed), or Student's t with 3 degrees of freedom (heavy).",
        "",
        f"![Found, and seeds used, by the true ratio]({picture})",
        "",
        "## Two finalists",
        "",
        "*false*: one of two equals was called slower, or behind. *found*: the faster won. "
        "*pairs*: seeds that both were run on, on average.",
        "",
        _row("noise", "false", "pairs", *(x for r in RATIOS[1:] for x in (f"{r} found", "pairs"))),
        _row("---", *["---:"] * (2 + 2 * len(RATIOS[1:]))),
    ]
    for noise in two:
        equals = cells[noise, (1.0, 1.0)]
        row = [f"{equals.wrong:.1%}", f"{equals.seeds:.1f}"]
        for ratio in RATIOS[1:]:
            one = cells[noise, (1.0, ratio)]
            row += [f"{one.found:.1%}", f"{one.seeds:.1f}"]
        lines.append(_row(str(noise), *row))
    lines += [
        "",
        "What is told of a true ratio where the faster won (geometric mean), and how many of all "
        f"intervals held it (at least {1 - design.error:.0%} is meant). Where most runs of the "
        f'slower were stopped, at {design.far:g} times, what is told is "at least":',
        "",
        _row("noise", "1.0 held", *(x for r in RATIOS[1:] for x in (f"{r} told", "held"))),
        _row("---", *["---:"] * (1 + 2 * len(RATIOS[1:]))),
    ]
    for noise in (n for n in two if not n.missing):
        row = [f"{cells[noise, (1.0, 1.0)].held:.1%}"]
        for ratio in RATIOS[1:]:
            one = cells[noise, (1.0, ratio)]
            row += [f"{one.told:.2f}", f"{one.held:.1%}"]
        lines.append(_row(str(noise), *row))
    lines += [
        "",
        "## Seven finalists",
        "",
        "One is the fastest, and six need so many times more. *false*: of seven equals somebody "
        "was called slower, or behind; *false of two*: of two equals before five who need 1.3 "
        "times as much, one was. *found*: the fastest won over all six. *runs*: of all seven "
        "together.",
        "",
        _row("noise", "false", "runs", "false of two", "runs",
             *(x for r in RATIOS[1:] for x in (f"{r} found", "runs"))),
        _row("---", *["---:"] * (4 + 2 * len(RATIOS[1:]))),
    ]  # fmt: skip
    for noise in seven:
        row = []
        for factors in ((1.0,) * 7, (1.0, 1.0, *[1.3] * 5)):
            row += [f"{cells[noise, factors].wrong:.1%}", f"{cells[noise, factors].runs:.0f}"]
        for ratio in RATIOS[1:]:
            one = cells[noise, (1.0, *[ratio] * 6)]
            row += [f"{one.found:.1%}", f"{one.runs:.0f}"]
        lines.append(_row(str(noise), *row))
    return "\n".join([*lines, ""])


def draw(cells: Cells, path: Path) -> None:
    """The cells of two finalists as a picture: found, and seeds used, by the true ratio.

    Needs matplotlib.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4), layout="constrained")
    for noise in (n for n, f in cells if f == (1.0, 1.0)):
        found = [cells[noise, (1.0, r)] for r in RATIOS]
        shares = [found[0].wrong, *(c.found for c in found[1:])]
        style = {"marker": "o", "label": str(noise), "linestyle": "--" if noise.missing else "-"}
        left.plot(RATIOS, shares, **style)
        right.plot(RATIOS, [c.seeds for c in found], **style)
    left.axhline(0.05, color="grey", linewidth=0.8)
    left.set_ylabel("found (at 1: falsely)")
    right.set_ylabel("pairs used")
    for axis in (left, right):
        axis.set_xscale("log")
        axis.set_xticks(RATIOS, [str(r) for r in RATIOS])
        axis.minorticks_off()
        axis.set_xlabel("true ratio")
        axis.set_ylim(0)
    right.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(folder: Path, simulations: int = SIMULATIONS, workers: int = 1) -> None:
    """Print every cell, and write the page and its picture into a folder."""
    picture = folder / "operating_characteristics.png"
    with ProcessPoolExecutor(workers) as pool:
        cells = characteristics(simulations, pool)
    draw(cells, picture)
    text = page(cells, simulations, picture.name)
    (folder / "verdict.md").write_text(text)
    print(text)


def _row(*columns: str) -> str:
    return f"| {' | '.join(columns)} |"
