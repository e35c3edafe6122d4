"""What a race can say: standings, the verdict, the winner, curves, the bill."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from slalom.racing.design import Call
from slalom.racing.estimate import Difference, Estimate
from slalom.racing.needs import Chance
from slalom.racing.status import Stage, Status

if TYPE_CHECKING:
    import torch


def count(value: float) -> str:
    """A median of whole numbers, such as 1,234, or 4.5 between two of them."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


@dataclass(frozen=True, repr=False)
class Standing:
    """One rule in the finals, with the best setting that was found of it.

    Attributes:
        place: 1 for the one that leads; then come those who tie with it, then who is out, each by
            what they needed, as far as is known.
        label: rule and setting; where rules were raced with their tuning, the rule alone.
        rule: the rule.
        hypers: its setting; where rules were raced, the one of the first search.
        batch: samples in an update.
        status: what became of most of its runs.
        reached: runs of the finals that got to the target and held it.
        seeds: runs of the finals.
        steps_to_target, samples_to_target: the median over its runs; None unless most arrived.
        seconds_to_target: the updates times the seconds of one, measured alone, where it was.
        chance: that a run arrives, with its interval; None where runs were stopped before they
            could tell.
        with_restarts: expected updates until a run arrives, where one that does not is given up and
            begun again (the expected running time of black-box benchmarking); None where unknown.
        longest: updates of the longest run that did not arrive; 0 if all did.
        best_metric: the median of the best values; None where runs were stopped.
        call: what is known of it beside ``against``; None of the one that leads, and of who could
            not be trained, of which nothing is known.
        ratio: how many times more it needs than ``against``; None of the one that leads, and where
            unknown. 1 lies in its interval, but for its ends, if and only if ``call`` says that it
            is not out.
        at_end: the median of the metric at the end of the budget, and ``difference`` how much worse
            that is than of ``against``, 0 being no difference; None where there is no budget.
        told: in words what is known of it beside ``against``.
        settings: labels of the settings that stood for it, one a seed, where rules were raced.
        snippet: two lines of Python that make its optimizer.
        reason: why a run of it failed or diverged.
        against: the rule that it was compared with: that which leads, or that by which it was found
            to be out, which led then. None where there is no ``call``.
    """

    place: int
    label: str
    rule: str
    hypers: dict[str, float]
    batch: int
    status: Status
    reached: int
    seeds: int
    steps_to_target: float | None
    seconds_to_target: float | None
    samples_to_target: float | None
    chance: Chance | None
    with_restarts: float | None
    longest: int
    best_metric: float | None
    call: Call | None
    ratio: Estimate | None
    told: str
    settings: tuple[str, ...]
    snippet: str
    reason: str
    at_end: float | None = None
    difference: Difference | None = None
    against: str | None = None

    def __repr__(self) -> str:
        if self.at_end is not None:
            return f"{self.place}. {self.label}: {self.at_end:.4g}; {self.told}".removesuffix("; ")
        took = "" if self.steps_to_target is None else f" in {count(self.steps_to_target)} steps"
        beside = f"; {self.told}" if self.told else ""
        return f"{self.place}. {self.label}: reached {self.reached} of {self.seeds}{took}{beside}"


@dataclass(frozen=True)
class Rival:
    """What another finalist needs beside the one that it was compared with; see :class:`Standing`.

    ``work`` is how many times more, in samples; ``seconds_factor`` what that is to be multiplied by
    for seconds, as updates were timed, and ``seconds`` the product with its interval, which knows
    of the clock's own noise too; None where they were not. At the end of a budget ``difference`` is
    how much worse the metric is, and ``work`` None.
    """

    label: str
    call: Call
    work: Estimate | None
    seconds_factor: float | None
    difference: Difference | None = None
    seconds: Estimate | None = None
    against: str | None = None


@dataclass(frozen=True, repr=False)
class Verdict:
    """Who won, in a sentence; ``winner`` is None where nobody reached the target.

    ``tie``: one of the ``rivals`` is not out. ``over``: the finals were judged to their end; until
    then the ``winner`` leads so far.
    """

    text: str
    winner: str | None
    tie: bool
    rivals: tuple[Rival, ...] = ()
    over: bool = True

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Winner:
    """The entrant that won, or that leads a tie."""

    label: str
    rule: str
    hypers: dict[str, float]
    batch: int
    code: str
    make: Callable[[Iterable[Tensor]], torch.optim.Optimizer] = field(repr=False, compare=False)

    def optimizer(self, params: Iterable[Tensor]) -> torch.optim.Optimizer:
        """The winner's optimizer for these parameters, as it raced; its ``batch`` is yours to make.

        After a race of this process it is made by the very entrant that won. Read back from a
        ledger, it is made of the class of ``slalom.optim`` or ``torch.optim`` on record;
        :class:`slalom.errors.InputError` for another, which :meth:`snippet` says how to write.
        """
        return self.make(params)

    def snippet(self) -> str:
        """Two lines of Python that make the winner's optimizer for ``model``."""
        return self.code


@dataclass(frozen=True, repr=False)
class Curve:
    """One run: its evaluations as lists of equal length, and what became of it.

    Attributes:
        chosen: whether its entrant stands for its family.
        steps_to_target, seconds_to_target, samples_to_target: None unless it got there and held it.
        update_seconds: of one update of its entrant, timed alone; None where that was not done.
        reason: why it failed or diverged.
    """

    label: str
    rule: str
    hypers: dict[str, float]
    seed: int
    stage: Stage
    status: Status
    chosen: bool
    step: list[int]
    samples: list[int]
    seconds: list[float]
    train_loss: list[float | None]
    valid_loss: list[float | None]
    metric: list[float | None]
    steps_to_target: int | None = None
    seconds_to_target: float | None = None
    samples_to_target: int | None = None
    update_seconds: float | None = None
    reason: str = ""

    def __repr__(self) -> str:
        return (
            f"{self.label}, seed {self.seed}, {self.stage}: {self.status}, "
            f"{len(self.step)} evaluations"
        )


@dataclass(frozen=True)
class Cost:
    """The bill. ``runs``: all updates' samples, in those of one winning run; None without one.

    ``pays_after``: retrainings after which the search is paid for, against the baseline; None if
    it never is, or if there was none. ``baseline_arrived`` of ``baseline_seeds`` runs of it got to
    the target as long as they ran. With a budget a winning run is one that used it up, and
    ``baseline_at_end`` is the median of the baseline's metric there.
    """

    samples: int
    seconds: float
    search_runs: float | None
    runs: float | None
    baseline: str | None
    baseline_arrived: int
    baseline_seeds: int
    pays_after: int | None
    baseline_at_end: float | None = None
