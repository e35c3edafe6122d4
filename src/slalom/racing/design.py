"""How finals are judged: the numbers that decide, and what a pair of runs is compared by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np

from slalom.errors import InputError
from slalom.racing.needs import Run, log_ratio
from slalom.racing.scores import Score, difference
from slalom.racing.signflip import Array


class Call(StrEnum):
    """What is known of a finalist beside the leader."""

    UNDECIDED = "undecided"
    SLOWER = "slower"
    WORSE = "worse"
    BEHIND = "behind"
    EQUAL = "equal"
    FUTILE = "futile"


OUT = (Call.SLOWER, Call.WORSE, Call.BEHIND)
"""Calls by which a finalist is out for good."""

OPEN = tuple(call for call in Call if call not in OUT)
"""Calls by which it ties with the leader."""

Results = Mapping[int, Any]
"""Seed -> the run on it, a :class:`~.needs.Run` or a :class:`~.scores.Score`, as the design has it.
Pairs are matched by seed, in ascending order."""


@dataclass(frozen=True)
class Design:
    """How finals are judged that are about who is at a target soonest.

    Attributes:
        error: the chance that anybody who is among the fastest is called slower, over all
            finalists and all looks.
        seeds: that are run at most.
        first: the look before which nothing is decided; ``seeds`` where all are run in any case, so
            that the whole error is left for one look at the end.
        equal: a ratio so near 1 that it does not matter which is taken.
        doubt: of one-sided limits, by which ratios beyond ``equal`` are given up.
        hope: the least chance of a decision by the last seed, if things go on as they went, for
            which a pair is run on (conditional power; Lan, Simon & Halperin 1982).
        patience: seeds before a pair is called equal or given up, and before the finals are, where
            nobody arrives; and those of a finalist without rivals.
        far: differences of this many times and more count alike, so that a run may be stopped
            when it has taken so many times what the leader did on its seed.
        evidence: seeds that every finalist is run on, before it may be found to be behind.
        luck: the chance that an equal of the leader is found to be behind, over all looks.

    Raises :class:`InputError` for what is no such number.
    """

    error: float = 0.04
    seeds: int = 50
    first: int = 1
    equal: float = 1.15
    doubt: float = 0.1
    hope: float = 0.02
    patience: int = 6
    far: float = 1.5
    evidence: int = 3
    luck: float = 0.01

    lost: ClassVar[Call] = Call.SLOWER
    """What the test says of who is not equal."""

    @property
    def looks(self) -> tuple[int, int]:
        """(looks over which the error is spent, the first of them)."""
        return self.seeds, self.first

    @property
    def settled(self) -> int:
        """Seeds before a pair may be called equal, or given up."""
        return max(self.patience, self.first)

    @property
    def margin(self) -> float:
        """The difference that does not matter; 0 where every one does."""
        return math.log(self.equal)

    def differences(self, slow: Sequence[Any], fast: Sequence[Any]) -> Array:
        """Of pairs of runs, positive where the first is worse; those that are far count alike."""
        logs = np.array([log_ratio(s, f) for s, f in zip(slow, fast, strict=True)], float)
        far = np.abs(logs) >= log_ratio(Run(self.far), Run(1.0))  # rounded as these are
        return np.where(far, np.copysign(math.inf, logs), logs)

    def __post_init__(self) -> None:
        for name in ("error", "doubt", "hope", "luck"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it lies between 0 and 1")
        for name in ("seeds", "first", "patience", "evidence"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it is at least 1")
        for name in ("equal", "far"):
            if not getattr(self, name) > 1:
                raise InputError(f"{name} is {getattr(self, name)}; it is above 1")


@dataclass(frozen=True)
class AtTheEnd(Design):
    """How finals are judged that are about who is best at the end of a budget.

    By the differences of the metric there, in its own unit. No difference is so small that it does
    not matter, nor so large that a run would be stopped; ``equal`` and ``far`` are not used.
    """

    lost: ClassVar[Call] = Call.WORSE

    @property
    def margin(self) -> float:
        return 0.0

    def differences(self, slow: Sequence[Score], fast: Sequence[Score]) -> Array:
        return np.array([difference(s, f) for s, f in zip(slow, fast, strict=True)], float)


STANDARD = Design()
"""What a race's finals are judged by."""


def judged_by(seeds: int, budget: object | None, full: bool) -> Design:
    """How finals are judged, of so many seeds: at most, or all where the race is ``full``."""
    return (Design if budget is None else AtTheEnd)(seeds=seeds, first=seeds if full else 1)
