"""The finals' judge: who is the fastest, looked at after every seed, and when that is enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import combinations
from statistics import NormalDist

import numpy as np

from slalom.errors import InputError
from slalom.racing.needs import Runs, log_ratio
from slalom.racing.signflip import Array, chance, decided, scores


@dataclass(frozen=True)
class Design:
    """How finals are judged.

    Attributes:
        error: the chance that anybody who is among the fastest is called slower, over all
            finalists and all looks.
        seeds: that are run at most.
        equal: a ratio so near 1 that it does not matter which is taken.
        doubt: of one-sided limits, by which ratios beyond ``equal`` are given up.
        hope: the least chance of a decision by the last seed, if things go on as they went, for
            which a pair is run on (conditional power; Lan, Simon & Halperin 1982).
        patience: seeds before a pair is called equal or given up, and before the finals are, where
            nobody arrives; and those of a finalist without rivals.
        far: differences of this many times and more count alike, so that a run may be stopped
            when it has taken so many times what the leader did on its seed.

    Raises :class:`InputError` for what is no such number.
    """

    error: float = 0.04
    seeds: int = 50
    equal: float = 1.1
    doubt: float = 0.1
    hope: float = 0.01
    patience: int = 10
    far: float = 2.0

    def __post_init__(self) -> None:
        for name in ("error", "doubt", "hope"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it lies between 0 and 1")
        for name in ("seeds", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it is at least 1")
        for name in ("equal", "far"):
            if not getattr(self, name) > 1:
                raise InputError(f"{name} is {getattr(self, name)}; it is above 1")


STANDARD = Design()
"""What a race's finals are judged by."""


class Call(StrEnum):
    """What is known of a finalist beside the leader."""

    UNDECIDED = "undecided"
    SLOWER = "slower"
    EQUAL = "equal"
    FUTILE = "futile"


@dataclass(frozen=True)
class Finding:
    """What the test says of one finalist.

    Attributes:
        call: what is known of it.
        against: the leader that it was compared with.
        seeds: on which the two were compared: the first so many that both have.
        level: at which the pair is tested; its share of the error of all.
        score: the signed rank over its standard deviation, positive where the leader is faster.
        logs: of the ratios, seed by seed; see :func:`slalom.racing.needs.log_ratio`.
    """

    call: Call
    against: str
    seeds: int
    level: float
    score: float
    logs: tuple[float, ...] = field(repr=False, compare=False)
    _looks: int = field(repr=False)

    @cached_property
    def p(self) -> float:
        """The p-value of the pair by itself, all looks so far together.

        It is to be compared with ``level``, not with 0.05. 1 where nothing speaks for a difference.
        """
        return chance(np.array(self.logs), self._looks)


@dataclass(frozen=True)
class Judgement:
    """What is known after some seeds of the finals.

    Attributes:
        leader: who has the most for it, by the test itself; None where no run has arrived.
        findings: of every other finalist, in the order in which they were given; none without a
            leader.
        seeds: that were looked at: the first so many of all.
        running: who is to be run on the next seed, and on each before it that it missed; nobody
            when it is over.
    """

    leader: str | None
    findings: Mapping[str, Finding]
    seeds: int
    running: tuple[str, ...]

    @property
    def over(self) -> bool:
        """Whether there is nothing left to be found out."""
        return not self.running

    @property
    def tied(self) -> tuple[str, ...]:
        """Who has not been found slower than the leader."""
        return tuple(n for n, f in self.findings.items() if f.call != Call.SLOWER)

    @property
    def winner(self) -> str | None:
        """The leader, if everybody else was found slower; else None."""
        return None if self.tied else self.leader


def judge(finalists: Mapping[str, Runs], design: Design = STANDARD) -> Judgement:
    """What is known of finalists after the runs that there are.

    The seeds are looked at one after the other, in ascending order, as if they had come so; what
    lies behind the look at which the finals were over is not looked at. So it does not matter
    in what order runs were made, or whether more were made than needed, and a judgement made
    again from a record is the same.

    After each seed the leader is who does best against its nearest rival, by the signed rank. A
    rival is slower, and out, if the test of the pair (:mod:`slalom.racing.signflip`) has decided
    so, at the level 2 error / (r (m - 1)) while r of m finalists are left. It is equal, and rests,
    if ratios beyond ``design.equal`` either way are given up, and futile if there is no ``hope``;
    it runs again where another leads and it is neither beside that one. Resting costs power alone,
    never error.

    Why that level: let f of the m be the fastest. Before one of these is called slower, none of
    them is out, so r >= f. Their pairs are f (f - 1) / 2 with each other and f (m - f) with the
    rest, of which only one direction is an error. So the chance of any error is no more than
    level f (m - 1) / 2 <= error: step down, as Holm (1979) does. A finalist that is left alone
    is then faster than each of the others, and no finalist is called slower that is not slower
    than the fastest of those left.

    Args:
        finalists: name -> its run on each seed it was run on. The order of the names decides
            where nothing else does.
        design: how they are judged.
    """
    return _Finals(finalists, design).judge()


class _Pair:
    """Two finalists on the seeds that both have; positive is the second being slower."""

    def __init__(self, fast: Runs, slow: Runs, seeds: Sequence[int], design: Design):
        shared = [s for s in seeds if s in slow and s in fast]
        logs = np.array([log_ratio(slow[s], fast[s]) for s in shared], float)
        far = np.abs(logs) >= math.log(design.far)
        self.logs = np.where(far, np.copysign(math.inf, logs), logs)
        self._design = design
        self._decided: dict[float, tuple[int, int]] = {}

    @cached_property
    def scores(self) -> Array:
        """After each seed."""
        return scores(self.logs)

    def decided(self, seeds: int, level: float) -> int:
        """Who is slower, by the first so many seeds: 1 the second, -1 the first, 0 not known."""
        if level not in self._decided:
            self._decided[level] = decided(self.logs, level, self._design.seeds)
        when, sign = self._decided[level]
        return sign if 0 < when <= seeds else 0

    def call(self, seeds: int, level: float) -> Call:
        """What is to be said of the two, undecided by the first so many seeds."""
        if seeds < self._design.patience:
            return Call.UNDECIDED
        if self._near[seeds - 1]:
            return Call.EQUAL
        return Call.FUTILE if self._power(seeds, level) < self._design.hope else Call.UNDECIDED

    @cached_property
    def _near(self) -> np.ndarray:
        """After each seed, whether ratios beyond ``equal`` either way are given up."""
        margin = math.log(self._design.equal)
        limit = NormalDist().inv_cdf(1 - self._design.doubt)
        enough = np.cumsum(~np.isnan(self.logs)) >= self._design.patience
        above, below = scores(self.logs - margin), scores(self.logs + margin)
        return enough & (above <= -limit) & (below >= limit)

    def _power(self, seeds: int, level: float) -> float:
        """The chance to decide by the last seed, where the score goes on to grow as it did."""
        share = seeds / self._design.seeds
        if share >= 1:
            return 0.0
        last = abs(float(self.scores[seeds - 1])) / math.sqrt(share)
        needed = NormalDist().inv_cdf(1 - level / 2)
        return NormalDist().cdf((last - needed) / math.sqrt(1 - share))


class _Finals:
    """The finals as they go, seed after seed; who is out stays out."""

    def __init__(self, finalists: Mapping[str, Runs], design: Design):
        self.runs, self.design = finalists, design
        self.seeds = sorted({s for runs in finalists.values() for s in runs})[: design.seeds]
        self.pairs = {
            (a, b): _Pair(finalists[a], finalists[b], self.seeds, design)
            for a, b in combinations(finalists, 2)
        }
        self.racing = list(finalists)
        self.looked = dict.fromkeys(finalists, 0)
        self.findings: dict[str, Finding] = {}
        self.leader: str | None = None

    def judge(self) -> Judgement:
        """All seeds in their order, as far as those who are running have them."""
        look, running = 0, tuple(self.racing)
        while running:
            due = self.seeds[: look + 1]
            if len(due) == look or any(s not in self.runs[n] for n in running for s in due):
                break
            look += 1
            self.looked |= dict.fromkeys(running, look)
            running = self._look(look)
        leader = self.leader if self._arrived(look) else None
        told = {n: self.findings[n] for n in self.runs if n in self.findings} if leader else {}
        return Judgement(leader, told, look, running)

    def _look(self, look: int) -> tuple[str, ...]:
        """Judge by the first so many seeds; who is to run on."""
        self.leader = leader = max(self.racing, key=self._standing)
        out: list[str] | None = None
        while out != []:
            level = self._level
            out = [n for n in self.racing if n != leader and self._beats(leader, n, level)]
            for name in out:
                self.racing.remove(name)
                self._find(name, Call.SLOWER, level)
        for name in self.racing:
            if name != leader:
                pair, _ = self._pair(leader, name)
                call = pair.call(self._shared(leader, name), self._level)
                self._find(name, call, self._level)
        self.findings.pop(leader, None)
        open_ones = [n for n in self.racing if n != leader]
        open_ones = [n for n in open_ones if self.findings[n].call == Call.UNDECIDED]
        patient = look < self.design.patience
        alone = len(self.runs) == 1
        if look == self.design.seeds or not (open_ones or alone):
            return ()
        if not patient and (alone or not self._arrived(look)):
            return ()
        return tuple(n for n in self.racing if n == leader or n in open_ones)

    def _standing(self, name: str) -> tuple[float, float]:
        """How well one does against its nearest rival; then against all."""
        against = [self._score(name, n) for n in self.racing if n != name]
        return (min(against), sum(against)) if against else (0.0, 0.0)

    @property
    def _level(self) -> float:
        """Of a pair, by how many are left."""
        return min(1.0, 2 * self.design.error / (len(self.racing) * max(1, len(self.runs) - 1)))

    def _pair(self, a: str, b: str) -> tuple[_Pair, int]:
        """The pair, and 1 where positive is ``b`` being slower, else -1."""
        return (self.pairs[a, b], 1) if (a, b) in self.pairs else (self.pairs[b, a], -1)

    def _shared(self, a: str, b: str) -> int:
        return min(self.looked[a], self.looked[b])

    def _score(self, a: str, b: str) -> float:
        pair, sign = self._pair(a, b)
        return sign * float(pair.scores[self._shared(a, b) - 1])

    def _beats(self, a: str, b: str, level: float) -> bool:
        pair, sign = self._pair(a, b)
        return pair.decided(self._shared(a, b), level) == sign

    def _find(self, name: str, call: Call, level: float) -> None:
        assert self.leader is not None
        pair, sign = self._pair(self.leader, name)
        shared = self._shared(self.leader, name)
        logs = tuple(sign * pair.logs[:shared])
        score = self._score(self.leader, name)
        self.findings[name] = Finding(
            call, self.leader, shared, level, score, logs, self.design.seeds
        )

    def _arrived(self, look: int) -> bool:
        """Whether any run on the first so many seeds did."""
        first = set(self.seeds[:look])
        return any(r.arrived and s in first for runs in self.runs.values() for s, r in runs.items())
