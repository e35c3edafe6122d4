"""What rules need on a task, each at its best rate: fresh runs, or those of the bank."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from functools import cache
from pathlib import Path

from slalom.bench.claims._claim import Figure, times
from slalom.bench.need import Need
from slalom.bench.race import SUFFIX, banked, need
from slalom.errors import InputError
from slalom.racing.abreast import trainer
from slalom.racing.contender import Lane
from slalom.racing.entrants import FIELD, Entrant, Family
from slalom.racing.replay import Bank
from slalom.racing.runner import Request
from slalom.racing.space import searched_evenly
from slalom.tasks import TASKS
from slalom.train import Task

FOLDER = Path("benchmarks/bank")
"""The bank's, seen from the root of the repository: it is no part of the package."""

LANES = 64
"""Runs side by side, where a model can be stacked."""

FRESH = 1000
"""The first seed of the runs that are judged; those before it choose the rate."""


def family(label: str, **fixed: float) -> Family:
    """One of the classic methods, some of its hyper-parameters fixed otherwise."""
    known = FIELD[label]
    return replace(known, fixed={**known.fixed, **fixed})


def tuned(
    task: Task, one: Family, rates: Sequence[float], *, search: int, fresh: int
) -> tuple[float, Need]:
    """The rate that needs least on ``search`` seeds, and what it needs on fresh ones."""
    tried = needs(task, one, rates, range(search), task.max_steps)
    rate = min(rates, key=lambda r: (tried[r].expected, r))
    seeds = range(FRESH, FRESH + fresh)
    return rate, needs(task, one, [rate], seeds, task.max_steps)[rate]


def needs(
    task: Task, one: Family, rates: Sequence[float], seeds: Iterable[int], until: int
) -> dict[float, Need]:
    """Rate -> what its runs need, over the seeds; side by side where the model can be stacked."""
    entrants = [Entrant(i, one, {"lr": rate}) for i, rate in enumerate(rates)]
    lane, seeds = Lane.of(task, entrants[0]), list(seeds)
    asked = [Request(e, seed, until, lane.every) for e in entrants for seed in seeds]
    found = [history for _, history in trainer(task, [one], LANES).advance(asked)]
    runs = [found[i : i + len(seeds)] for i in range(0, len(found), len(seeds))]
    return {rate: Need.of(task, lane, own) for rate, own in zip(rates, runs, strict=True)}


def grid(one: Family, points: int) -> list[float]:
    """Rates over the range that a rule declares, evenly in logarithms."""
    low, high = searched_evenly(one.space, "lr") or (1.0, 1.0)
    return [float(f"{low * (high / low) ** (i / (points - 1)):.3g}") for i in range(points)]


def slower(what: str, more: Need, less: Need, cap: float) -> Figure:
    """How many times the one needs what the other needs, seed by seed.

    Runs that did not arrive count as having needed ``cap``, which is less than they need.
    """
    works = [[min(w, cap) for w in one.works] for one in (more, less)]
    never = [sum(w >= cap for w in own) for own in works]
    many = len(works[0])
    note = f" ({never[0]} and {never[1]} of {many} runs did not arrive)" if any(never) else ""
    return times(what + note, *works)


def recorded() -> list[str]:
    """The names of all recorded tasks."""
    return sorted(path.name.removesuffix(SUFFIX) for path in _folder().glob(f"*{SUFFIX}"))


def _folder() -> Path:
    if not FOLDER.is_dir():
        raise InputError(
            f"there is no folder {FOLDER} here; start the command in the repository's root"
        )
    return FOLDER


@cache
def bank(name: str) -> tuple[Task, Bank]:
    """A recorded task, and its runs."""
    return next(banked(_folder(), [name]))


def best_of(name: str, label: str) -> Need:
    """What the best recorded setting of a rule needs on a task of the bank, seed by seed."""
    task, runs = bank(name)
    own = [need(task, runs, (label, rate)) for rate in runs.rates(label)]
    return min(own, key=lambda n: n.expected)


def valley(name: str, label: str) -> list[tuple[float, float]]:
    """(log10 of the rate, need over the rule's best) of a rule on a task of the bank, in order;
    empty where it never arrives."""
    task, runs = bank(name)
    own = {r: need(task, runs, (label, r)).expected for r in runs.rates(label)}
    least = min(own.values())
    return [(math.log10(r), n / least) for r, n in own.items()] if math.isfinite(least) else []


@cache
def on_sparse_words(quick: bool) -> dict[str, Need]:
    """What some rules need on the built-in task sparse-words, each at its best rate."""
    task = copy(TASKS["sparse-words"]())
    task.max_steps, task.eval_every = 12 if quick else 200, 4
    seeds = {"search": 1, "fresh": 2} if quick else {"search": 1, "fresh": 8}
    return {
        label: tuned(task, family(label), grid(family(label), 2 if quick else 6), **seeds)[1]
        for label in ("SGD", "AdaGrad", "Adam")
    }
