"""What a bank holds, and how it is recorded: every classic rule at many learning rates and seeds.

A run goes on until it reaches the target and holds it, until it diverges, or to the task's cap and
as many evaluations beyond it as holding takes; a setting that never arrives is recorded to there on
every seed. So a replayed race is never in want of a run, as long as it ends where the task does.

The learning rates begin as a coarse grid over the range that a rule declares and beyond it by
:data:`BEYOND` on both sides. Where the best of them lies at an edge, the grid grows; where a
setting is nearly as good as the rule's best, the gaps beside it are filled, until neighbours lie
within :data:`STEP` of one another. What is best is judged on all the seeds, by the expected work
with restarts (:mod:`slalom.bench.need`). Runs are trained side by side where the model allows it
(:class:`slalom.racing.abreast.Abreast`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from slalom.bench.bank import BANK, load
from slalom.bench.need import Need
from slalom.bench.race import SUFFIX, capped
from slalom.errors import InputError
from slalom.racing.abreast import trainer
from slalom.racing.contender import Lane
from slalom.racing.entrants import FIELD, Entrant, Family
from slalom.racing.replay import Bank, Terms
from slalom.racing.runner import Request
from slalom.racing.space import searched_evenly
from slalom.tasks import TASKS
from slalom.train import Task

SEEDS = 8

BEYOND = 4.0
"""How far the first grid leaves the declared range, on either side."""

COARSE = 7
"""Learning rates of the first grid."""

STEP = 1.6
"""The largest ratio of neighbouring learning rates beside a good one."""

GOOD = 1.25
"""A setting that needs at most so many times what the rule's best does is a good one."""

FARTHEST = 6
"""Steps of the first grid, at most, by which the grid grows past one of its edges."""

LANES, ROOM = 64, 1 << 16
"""Runs side by side, and samples in one pass through a stacked model, at most, so that their memory
is bounded."""

PAUSE = 20.0
"""Seconds of recording after which what is there is written."""


class Recorder:
    """Records one task into one file, and goes on where an earlier recording of it stopped.

    Until it is whole, the file is called ``.part`` as well. Raises :class:`InputError` where that
    is of other terms than the task's.
    """

    def __init__(self, task: Task, path: Path, *, seeds: int = SEEDS, cap: int | None = None):
        self.task, self.path, self.seeds = capped(task, cap), path, seeds
        self._part = path.with_name(path.name + ".part")
        terms = Terms.of(self.task)
        found = next((p for p in (path, self._part) if p.exists()), None)
        self.bank = Bank.load(found) if found else Bank(terms)
        if self.bank.terms != terms:
            raise InputError(
                f"{found} is of {self.bank.terms}, and the task of {terms}; remove the file to "
                "record it anew"
            )
        self._saved = time.monotonic()

    def record(self, field: Iterable[Family] = FIELD.values()) -> Bank:
        """Record all that is missing; nothing where the file is there, and not only its part."""
        if self.path.exists():
            return self.bank
        for family in field:
            while missing := self._missing(family):
                self._train(family, missing)
        self.bank.save(self.path)
        self._part.unlink(missing_ok=True)
        return self.bank

    def _missing(self, family: Family) -> list[float]:
        """The learning rates that are to be recorded next."""
        own = self.bank.rates(family.label)
        first = coarse(family)
        if not set(first) <= set(own):
            return sorted({*first} - {*own})
        needs = [self._need(family, rate) for rate in own]
        return sorted({*refined(own, needs, (first[0], first[-1]))} - {*own})

    def _need(self, family: Family, rate: float) -> tuple[float, float]:
        """(expected work, lowest loss): what learning rates of a rule are ranked by."""
        histories = self.bank.histories[family.label, rate]
        lane = Lane.of(self.task, Entrant(0, family, {"lr": rate}))
        losses = [min((e.valid_loss for e in h.evaluations), default=math.inf) for h in histories]
        losses = sorted(loss if math.isfinite(loss) else math.inf for loss in losses)
        return Need.of(self.task, lane, histories).expected, losses[len(losses) // 2]

    def _train(self, family: Family, rates: Sequence[float]) -> None:
        """Train so many as go side by side, and keep them."""
        lane = Lane.of(self.task, Entrant(0, family, {}))
        until, many = self.bank.terms.until(lane), max(1, min(LANES, ROOM // lane.batch))
        each = max(1, many // self.seeds)
        for i in range(0, len(rates), each):
            here = rates[i : i + each]
            runner = trainer(self.task, [family], many)
            requests = [
                Request(Entrant(number, family, {"lr": rate}), seed, until, lane.every)
                for number, rate in enumerate(here)
                for seed in range(self.seeds)
            ]
            found = [history for _, history in runner.advance(requests)]
            for number, rate in enumerate(here):
                own = found[number * self.seeds : (number + 1) * self.seeds]
                self.bank.histories[family.label, rate] = own
            if time.monotonic() - self._saved > PAUSE:
                self.bank.save(self._part)
                self._saved = time.monotonic()


def coarse(family: Family) -> list[float]:
    """The first grid of a family's learning rates."""
    low, high = searched_evenly(family.space, "lr") or (1.0, 1.0)
    low, high = low / BEYOND, high * BEYOND
    return [_rounded(low * (high / low) ** (i / (COARSE - 1))) for i in range(COARSE)]


def refined(
    rates: Sequence[float], needs: Sequence[tuple[float, float]], edges: tuple[float, float]
) -> list[float]:
    """The learning rates (in order) and those that must be added, by what each of them needs.

    ``edges`` are those of the first grid. Empty additions give the rates back as they are.
    """
    best = min(range(len(rates)), key=lambda i: needs[i])
    step = (edges[1] / edges[0]) ** (1 / (COARSE - 1))
    further = {0: rates[0] / step, len(rates) - 1: rates[-1] * step}.get(best, 0.0)
    reach = step ** (FARTHEST + 0.5)
    added = [_rounded(further)] if edges[0] / reach < further < edges[1] * reach else []
    for i, (low, high) in enumerate(pairwise(rates)):
        good = min(needs[i][0], needs[i + 1][0]) <= GOOD * needs[best][0] < math.inf
        parts = math.ceil(math.log(high / low) / math.log(STEP) - 0.01)
        if good and parts > 1:
            added += [_rounded(low * (high / low) ** (k / parts)) for k in range(1, parts)]
    return sorted({*rates, *added})


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


CAPS = {"cancer": 600, "diabetes": 400, "digits": 900, "digits-cnn": 500, "digits-rnn": 600,
        "quadratic": 600, "sparse-words": 160, "stdlib-chars": 240}  # fmt: skip
"""Caps of the built-in tasks in the bank: about four times what their best settings need."""


def record(folder: Path, names: Iterable[str] = ()) -> None:
    """Record tasks, by default all of them, each into its file; says how long each took."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or [*BANK, *TASKS]:
        begun, path = time.monotonic(), folder / f"{name}{SUFFIX}"
        bank = Recorder(load(name), path, cap=CAPS.get(name)).record()
        runs = sum(map(len, bank.histories.values()))
        print(
            f"{name}: {runs} runs, {path.stat().st_size / 1e3:.0f} kB, "
            f"{time.monotonic() - begun:.0f} s",
            flush=True,
        )
