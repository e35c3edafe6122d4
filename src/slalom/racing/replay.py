"""Races played again from recorded curves: the decisions of a race, without its training."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from slalom.errors import InputError
from slalom.racing.bracket import Lane
from slalom.racing.entrants import Entrant, Family
from slalom.racing.runner import History, Request, Runner
from slalom.racing.status import Status
from slalom.racing.trainer import Trainer
from slalom.train import Evaluation, Task

VERSION = 1

LIMIT = 2.5
"""Runs are recorded to so many times the work that the best needs: later ones win nothing."""

FIRST = 3
"""Seeds on which every setting is recorded."""

HOPELESS = 3.0
"""A setting that needs so many times the best's work on each is recorded on no further seed."""


Key = tuple[str, float]
"""A setting: family and learning rate."""


class Bank:
    """Recorded runs of one task: each family at a grid of learning rates, on some seeds.

    Attributes:
        histories: (family, learning rate) -> the runs on seeds 0, 1, 2, ..., as a
            :class:`slalom.racing.runner.Trainer` tells of them.
    """

    def __init__(self, histories: dict[Key, list[History]]):
        self.histories = histories

    @classmethod
    def record(cls, task: Task, field: Sequence[Family], rates: int, seeds: int) -> Bank:
        """Train every family at so many learning rates, evenly over its range and a bit beyond."""
        trainer, bank = Trainer(task), cls({})
        middle = sorted(range(rates), key=lambda i: abs(i - 0.6 * rates))  # likely to be good
        entrants = [
            Entrant(number, family, {"lr": _rate(family, i / (rates - 1))})
            for i in middle
            for number, family in enumerate(sorted(field, key=lambda f: f.batch_size == "all"))
        ]
        needed: dict[Key, float] = {}
        for seed in range(seeds):
            best = math.inf
            for entrant in entrants:
                key = entrant.family.label, entrant.hypers["lr"]
                lane = Lane.of(task, entrant)
                least = min(needed.values(), default=math.inf)
                if seed >= FIRST and needed[key] > HOPELESS * least:
                    continue
                until = lane.until(min(LIMIT * min(best, 2 * least), task.max_steps))
                ((_, history),) = trainer.advance([Request(entrant, seed, until, lane.every)])
                trainer.forget(entrant, seed)
                bank.histories.setdefault(key, []).append(history)
                crossing = history.crossing(task)
                work = lane.work(crossing) if crossing else math.inf
                needed[key] = min(needed.get(key, math.inf), work)
                best = min(best, work)
        return bank

    def save(self, path: Path) -> None:
        """Write the bank, compressed, its numbers to five digits and without seconds."""
        runs = [
            [*key, [[t.ended, _columns(t.evaluations)] for t in histories]]
            for key, histories in self.histories.items()
        ]
        text = json.dumps({"version": VERSION, "runs": runs}, separators=(",", ":"))
        path.write_bytes(gzip.compress(text.encode(), mtime=0))

    @classmethod
    def load(cls, path: Path) -> Bank:
        """Read a bank. Raises :class:`InputError` if it is of another version."""
        content = json.loads(gzip.decompress(path.read_bytes()))
        if content["version"] != VERSION:
            raise InputError(f"{path} is a bank of version {content['version']}, not {VERSION}")
        return cls(
            {
                (family, rate): [
                    History(_evaluations(c), ended and Status(ended)) for ended, c in histories
                ]
                for family, rate, histories in content["runs"]
            }
        )

    def nearest(self, family: str, rate: float) -> Key:
        """The recorded setting of this family nearest to a learning rate, in ratio."""
        own = [key for key in self.histories if key[0] == family]
        return min(own, key=lambda key: abs(math.log(key[1] / rate)))


class Replayer(Runner):
    """A runner that answers from a bank: with a run at the nearest learning rate it has.

    A setting that has fewer seeds than asked for gives those it has again. A run asked for beyond
    what is recorded counts as dropped.
    """

    def __init__(self, task: Task, bank: Bank):
        super().__init__(task)
        self._bank = bank

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, History]]:
        for request in requests:
            entrant = request.entrant
            key = self._bank.nearest(entrant.family.label, entrant.hypers["lr"])
            histories = self._bank.histories[key]
            history = histories[request.seed % len(histories)]
            known = tuple(e for e in history.evaluations if e.step <= request.until)
            if history.step >= request.until:
                yield request, History(known)
            else:
                over = None if history.crossing(self.task) else history.ended or Status.DROPPED
                yield request, History(known, over)


def _rate(family: Family, share: float) -> float:
    low, high = family.space["lr"]
    return float(f"{low / 2 * (4 * high / low) ** share:.3g}")


def _columns(evaluations: Sequence[Evaluation]) -> list[list[float | int | None]]:
    rows = [(e.step, e.samples, e.train_loss, e.valid_loss, e.metric) for e in evaluations]
    step, samples, *rest = zip(*rows, strict=True) if rows else ((),) * 5
    return [list(step), list(samples), *([_short(v) for v in column] for column in rest)]


def _evaluations(columns: list[list[float | None]]) -> tuple[Evaluation, ...]:
    return tuple(
        Evaluation(int(step or 0), int(samples or 0), 0.0, *map(_number, rest))
        for step, samples, *rest in zip(*columns, strict=True)
    )


def _short(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
