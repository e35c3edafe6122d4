"""Races played again from recorded curves: the decisions of a race, without its training."""

from __future__ import annotations

import json
import lzma
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from slalom.errors import InputError
from slalom.racing.contender import Lane
from slalom.racing.runner import HOLD, History, Request, Runner
from slalom.racing.status import Status
from slalom.train import Evaluation, Task, atomic

VERSION = 2

Key = tuple[str, float]
"""A setting: family and learning rate."""


@dataclass(frozen=True)
class Terms:
    """What recorded runs are of: equal terms, equal runs. ``cap`` is the horizon, in work: each
    run was recorded to there and :data:`HOLD` evaluations on, unless it crossed and held or ended.
    """

    name: str
    metric: str
    target: float | None
    batch_size: int
    n_train: int
    n_valid: int
    eval_every: int
    cap: int

    @classmethod
    def of(cls, task: Task) -> Terms:
        """The terms of a task."""
        return cls(
            task.name, task.metric.name, task.target, task.batch_size, task.n_train, task.n_valid,
            task.eval_every, task.max_steps,
        )  # fmt: skip

    def until(self, lane: Lane) -> int:
        """The updates to which the runs of an entrant are recorded."""
        return lane.until(self.cap) + HOLD * lane.every


class Bank:
    """Recorded runs of one task: each family at learning rates of its own, on seeds 0, 1, 2, ...

    Attributes:
        terms: what they are runs of.
        histories: (family, learning rate) -> the runs in the order of their seeds, as a
            :class:`slalom.racing.runner.Runner` tells of them.
    """

    def __init__(self, terms: Terms, histories: dict[Key, list[History]] | None = None):
        self.terms = terms
        self.histories: dict[Key, list[History]] = {} if histories is None else histories

    def save(self, path: Path) -> None:
        """Write the bank, compressed, whole or not at all.

        Losses of batches have three digits, what decides has four: more only where it would come
        to lie on the other side of the target.
        """
        runs = [
            [*key, [[t.ended, self._columns(t.evaluations)] for t in histories]]
            for key, histories in self.histories.items()
        ]
        content = {"version": VERSION, "terms": asdict(self.terms), "runs": runs}
        text = json.dumps(content, separators=(",", ":"))
        with atomic.whole(path) as file:
            file.write(lzma.compress(text.encode()))

    @classmethod
    def load(cls, path: Path) -> Bank:
        """Read a bank. Raises :class:`InputError` if it is of another version."""
        content = json.loads(lzma.decompress(path.read_bytes()))
        if content["version"] != VERSION:
            raise InputError(f"{path} is a bank of version {content['version']}, not {VERSION}")
        return cls(
            Terms(**content["terms"]),
            {
                (family, rate): [
                    History(_evaluations(c), ended and Status(ended)) for ended, c in histories
                ]
                for family, rate, histories in content["runs"]
            },
        )

    @property
    def seeds(self) -> int:
        """Seeds that every setting is recorded on."""
        return min(map(len, self.histories.values()), default=0)

    def rates(self, family: str) -> list[float]:
        """The recorded learning rates of a family, in order."""
        return sorted(rate for label, rate in self.histories if label == family)

    def nearest(self, family: str, rate: float) -> Key:
        """The recorded setting of this family nearest to a learning rate, in ratio.

        Raises :class:`InputError` where the family is not recorded.
        """
        own = self.rates(family)
        if not own:
            raise InputError(f"the bank of {self.terms.name} holds no runs of {family}")
        return family, min(own, key=lambda r: abs(math.log(r / rate)))

    def _columns(self, evaluations: Sequence[Evaluation]) -> list[list[float | None] | None]:
        steps = _differences([e.step for e in evaluations])
        samples = _differences([e.samples for e in evaluations])
        train = [_number(e.train_loss, 3) for e in evaluations]
        valid = [self._judged(e.valid_loss) for e in evaluations]
        metric = [self._judged(e.metric) for e in evaluations]
        return [steps, samples, train, valid, None if metric == valid else metric]

    def _judged(self, value: float) -> float | None:
        """To four digits, if the target does not come in between."""
        short, target = _number(value, 4), self.terms.target
        if short is None or target is None:
            return short
        same = (value >= target, value <= target) == (short >= target, short <= target)
        return short if same else value


class Draw:
    """Which recorded seed stands for a seed of a race.

    The recorded seeds are all the seeds that there are, and what a setting typically needs is its
    need over all of them. The seeds of the heats are dealt without repetition, in an order drawn
    by the number of the race, as long as half of the recorded ones are left; those of the finals
    are drawn with repetition from the rest, the same for every setting, so that pairs stay pairs.
    So the heats' luck is nothing that the finals confirm.

    Args:
        seeds: how many are recorded.
        race: the race's number.
        final: whether a seed is one of the finals.
    """

    def __init__(self, seeds: int, race: int, final: Callable[[int], bool]):
        self._race, self._final = race, final
        self._order = random.Random(f"order {race}").sample(range(seeds), seeds)
        self._heats: dict[int, int] = {}
        self._finals: dict[int, int] = {}

    @property
    def left(self) -> list[int]:
        """The recorded seeds that finals are drawn from."""
        dealt = self._heats.values()
        return [recorded for recorded in self._order if recorded not in dealt]

    def __call__(self, seed: int) -> int:
        if self._final(seed):
            if seed not in self._finals:
                self._finals[seed] = random.Random(f"final {self._race} {seed}").choice(self.left)
            return self._finals[seed]
        most = max(1, len(self._order) // 2)
        return self._heats.setdefault(seed, self._order[len(self._heats) % most])


class Replayer(Runner):
    """A runner that answers from a bank: with a run at the nearest learning rate it has.

    Args:
        task: whose runs are recorded; its target may be another, where the runs go that far.
        bank: of the task.
        draw: seed -> recorded seed; by default seeds repeat when the recorded ones are used up.

    Raises :class:`InputError` for what the bank cannot answer: another task, other evaluations or
    batches, hyper-parameters beside the learning rate, and updates beyond those recorded.
    """

    any_spacing = False

    def __init__(self, task: Task, bank: Bank, draw: Callable[[int], int] | None = None):
        super().__init__(task)
        self._bank = bank
        self._draw = draw or (lambda seed: seed % bank.seeds)
        for name, theirs in asdict(bank.terms).items():
            ours = asdict(Terms.of(task))[name]
            if name not in ("target", "cap") and ours != theirs:
                raise InputError(
                    f"the bank is of {bank.terms.name} with {name} {theirs!r}, and the task has "
                    f"{ours!r}; record it again"
                )

    def advance(self, requests: Sequence[Request]) -> Iterator[tuple[Request, History]]:
        for request in requests:
            yield request, self._known(request)

    def _known(self, request: Request) -> History:
        entrant, lane = request.entrant, Lane.of(self.task, request.entrant)
        if set(entrant.hypers) != {"lr"} or entrant.batch_size not in (None, "all"):
            raise InputError(f"{entrant.label} is not recorded: only learning rates are")
        if request.every != lane.every or request.until % lane.every:
            raise InputError(
                f"{entrant.label} is recorded every {lane.every} updates, and asked for every "
                f"{request.every} up to {request.until}"
            )
        key = self._bank.nearest(entrant.family.label, entrant.hypers["lr"])
        history = self._bank.histories[key][self._draw(request.seed)]
        known = History(tuple(e for e in history.evaluations if e.step <= request.until))
        if history.step >= request.until or known.crossing(self.task):
            return known
        if history.ended is None:
            raise InputError(
                f"{key[0]}(lr={key[1]:g}) is recorded for {history.step} updates, and asked for "
                f"up to {request.until}; record it further, or let the task end sooner"
            )
        return History(known.evaluations, history.ended, history.reason)


def _evaluations(columns: list[list[float | None] | None]) -> tuple[Evaluation, ...]:
    steps, samples, train, valid, metric = columns
    found, step, seen = [], 0, 0
    rows = zip(
        steps or (), samples or (), train or (), valid or (), metric or valid or (), strict=True
    )
    for more, taken, *judged in rows:
        step, seen = step + int(more or 0), seen + int(taken or 0)
        found.append(Evaluation(step, seen, 0.0, *(math.nan if v is None else v for v in judged)))
    return tuple(found)


def _differences(counts: Sequence[int]) -> list[float | None]:
    return [after - before for before, after in zip([0, *counts], counts, strict=False)]


def _number(value: float, digits: int) -> float | None:
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
