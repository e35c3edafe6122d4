"""The finals' judge: who is the fastest, looked at after every seed, and when that is enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from statistics import NormalDist

import numpy as np
from scipy.special import bdtrc, stdtr

from slalom.racing.design import OUT, STANDARD, AtTheEnd, Call, Design, Results
from slalom.racing.scores import luck
from slalom.racing.signflip import Array, chance, decided, scores


@dataclass(frozen=True)
class Finding:
    """What the test says of one finalist.

    Attributes:
        call: what is known of it.
        against: the leader that it was compared with.
        seeds: on which the two were compared: the first so many that both have.
        level: at which the pair is tested; its share of the error of all.
        score: the signed rank over its standard deviation, positive where the leader is faster.
        logs: of the ratios, seed by seed; see :func:`slalom.racing.needs.log_ratio`. At the end
            of a budget the differences; see :func:`slalom.racing.scores.difference`.
    """

    call: Call
    against: str
    seeds: int
    level: float
    score: float
    logs: tuple[float, ...] = field(repr=False, compare=False)
    _looks: tuple[int, int] = field(repr=False)

    @cached_property
    def p(self) -> float:
        """The p-value of the pair by itself, all looks so far together.

        It is to be compared with ``level``, not with 0.05. 1 where nothing speaks for a difference.
        """
        return chance(np.array(self.logs), *self._looks)


@dataclass(frozen=True)
class Judgement:
    """What is known after some seeds of the finals.

    Attributes:
        leader: who has the most for it, by the test itself; None where no run has arrived, or
            come to the end.
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
        """Who has not been found slower than the leader, or far behind it."""
        return tuple(n for n, f in self.findings.items() if f.call not in OUT)

    @property
    def winner(self) -> str | None:
        """The leader, if everybody else was found slower or far behind; else None."""
        return None if self.tied else self.leader


def judge(finalists: Mapping[str, Results], design: Design = STANDARD) -> Judgement:
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

    That test needs some eight seeds for any difference, however large. So a rival is also out when
    it is behind: when it took ``design.far`` times what the leader did on so many seeds, at least
    ``design.evidence``, as an equal would with a chance of ``design.luck`` at most. How often an
    equal does so on one seed is estimated by the leader and those near it: by how much their runs
    differ between seeds, as if their logarithms were normal (Student's t), and by how many did not
    arrive. The luck is spent over the looks, as the squares of 1, 1/2, 1/3, ... So this adds to the
    error about ``design.luck`` for each equal of the leader; about, since it rests on an estimate.

    At the end of a budget the same test is made of the differences of the metric, a rival that is
    worse is out, and one is behind by :func:`slalom.racing.scores.luck`, of which all rivals
    together have ``design.luck``. ``benchmarks/race_budget.py`` shows how often both err.

    Args:
        finalists: name -> its run on each seed it was run on. The order of the names decides
            where nothing else does.
        design: how they are judged.
    """
    return _Finals(finalists, design).judge()


class _Pair:
    """Two finalists on the seeds that both have; positive is the second being slower."""

    def __init__(self, fast: Results, slow: Results, seeds: Sequence[int], design: Design):
        shared = [s for s in seeds if s in slow and s in fast]
        self.logs = design.differences([slow[s] for s in shared], [fast[s] for s in shared])
        self._design = design
        self._decided: dict[float, tuple[int, int]] = {}

    @cached_property
    def scores(self) -> Array:
        """After each seed."""
        return scores(self.logs)

    def decided(self, seeds: int, level: float) -> int:
        """Who is slower, by the first so many seeds: 1 the second, -1 the first, 0 not known."""
        if level not in self._decided:
            self._decided[level] = decided(self.logs, level, *self._design.looks)
        when, sign = self._decided[level]
        return sign if 0 < when <= seeds else 0

    def call(self, seeds: int, level: float) -> Call:
        """What is to be said of the two, undecided by the first so many seeds."""
        if seeds < self._design.settled:
            return Call.UNDECIDED
        if self._near[seeds - 1]:
            return Call.EQUAL
        return Call.FUTILE if self._power(seeds, level) < self._design.hope else Call.UNDECIDED

    @cached_property
    def _near(self) -> np.ndarray:
        """After each seed, whether differences beyond the margin either way are given up."""
        margin = self._design.margin
        if not margin:
            return np.zeros(len(self.logs), bool)
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

    def __init__(self, finalists: Mapping[str, Results], design: Design):
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
        while look >= self.design.first and (out := self._out(leader)):
            for name, call in out.items():
                self._find(name, call)
            self.racing = [n for n in self.racing if n not in out]
        for name in self.racing:
            if name != leader:
                pair, _ = self._pair(leader, name)
                self._find(name, pair.call(self._shared(leader, name), self._level))
        self.findings.pop(leader, None)
        open_ones = [n for n in self.racing if n != leader]
        open_ones = [n for n in open_ones if self.findings[n].call == Call.UNDECIDED]
        patient = look < self.design.settled
        alone = len(self.runs) == 1
        if look == self.design.seeds or not (open_ones or alone):
            return ()
        if not patient and (alone or not self._arrived(look)):
            return ()
        return tuple(n for n in self.racing if n == leader or n in open_ones)

    def _out(self, leader: str) -> dict[str, Call]:
        """Who is slower than the leader or far behind it, at the level of those who are left."""
        others = [n for n in self.racing if n != leader]
        lost = {n: self.design.lost for n in others if self._beats(leader, n)}
        return lost or {n: Call.BEHIND for n in others if self._behind(leader, n)}

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

    def _beats(self, a: str, b: str) -> bool:
        pair, sign = self._pair(a, b)
        return pair.decided(self._shared(a, b), self._level) == sign

    def _behind(self, leader: str, name: str) -> bool:
        """Whether it is far behind on so many seeds as an equal would hardly ever be."""
        differences = self._told_apart(leader, name)
        looks = (
            len(differences) - self.design.evidence,
            self._shared(leader, name) - self.design.first,
        )
        look = min(looks) + 1
        if look < 1:
            return False
        spent = 6 * self.design.luck / (math.pi * look) ** 2  # which sum up to all of it
        return self._luck(leader, differences) <= spent

    def _luck(self, leader: str, differences: Array) -> float:
        """The chance that an equal looks as far behind the leader on so many seeds."""
        if isinstance(self.design, AtTheEnd):
            first = self.seeds[: self.looked[leader]]
            rivals = len(self.runs) - 1  # who share it
            return rivals * luck(differences, [self.runs[leader][s] for s in first])
        far = int((differences == math.inf).sum())
        if far < self.design.evidence:
            return 1.0
        return float(bdtrc(far - 1, len(differences), self._chance_of_far(leader)))

    def _told_apart(self, leader: str, name: str) -> Array:
        """The differences on the seeds that tell the two apart or equal."""
        pair, sign = self._pair(leader, name)
        differences = sign * pair.logs[: self._shared(leader, name)]
        return differences[~np.isnan(differences)]

    def _chance_of_far(self, leader: str) -> float:
        """That of two equals one looks far behind the other on a seed.

        By the noise of their runs, or because one does not arrive; both as with the leader and
        with those who are not far behind it on most seeds.
        """
        # a miss that was not seen: few runs tell little of how often one does not arrive
        squares, freedom, arrived, missed = 0.0, 0, 0.5, 1.0
        for name in self.racing:
            differences = self._told_apart(leader, name) if name != leader else np.zeros(1)
            if 2 * int((differences == math.inf).sum()) >= len(differences):
                continue
            runs = [self.runs[name][s] for s in self.seeds[: self.looked[name]]]
            works = [math.log(r.work) for r in runs if r.arrived]
            squares += float(np.var(works)) * len(works) if works else 0.0
            freedom += max(0, len(works) - 1)
            arrived += len(works)
            missed += len(runs) - len(works)
        if not freedom:
            return 1.0
        noise = max(math.sqrt(2 * squares / freedom), math.log(self.design.equal))
        late = float(stdtr(freedom, -math.log(self.design.far) / noise))
        return min(1.0, late + missed / (arrived + missed))

    def _find(self, name: str, call: Call) -> None:
        assert self.leader is not None
        (pair, sign), shared = self._pair(self.leader, name), self._shared(self.leader, name)
        logs, score = tuple(sign * pair.logs[:shared]), self._score(self.leader, name)
        self.findings[name] = Finding(
            call, self.leader, shared, self._level, score, logs, self.design.looks
        )

    def _arrived(self, look: int) -> bool:
        """Whether any run on the first so many seeds did, or came to its end."""
        first = set(self.seeds[:look])
        return any(r.told and s in first for runs in self.runs.values() for s, r in runs.items())
