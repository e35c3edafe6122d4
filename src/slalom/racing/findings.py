"""What a race can say: standings, the verdict, the winner, curves, the bill."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from slalom.racing.status import Stage, Status
from slalom.racing.verdict import Ratio

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Standing:
    """One family with its best hyper-parameters; medians over seeds, None where not reached.

    ``reached`` of ``seeds`` runs got to the target. ``seconds_to_target`` are the updates times
    the seconds of one, measured alone, where it was measured.
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
    best_metric: float | None
    snippet: str
    reason: str


@dataclass(frozen=True)
class Rival:
    """How much more than the winner another finalist needs, in work and in seconds."""

    label: str
    work: Ratio
    seconds: Ratio


@dataclass(frozen=True)
class Verdict:
    """Who won, in a sentence; ``winner`` is None where nobody reached the target.

    ``tie``: the 95% interval of a rival's ratio includes 1.
    """

    text: str
    winner: str | None
    tie: bool
    rivals: tuple[Rival, ...] = ()


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


@dataclass(frozen=True)
class Curve:
    """One run, as lists of equal length; ``chosen`` if its entrant stands for its family."""

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


@dataclass(frozen=True)
class Cost:
    """The bill. ``runs``: all updates' samples, in those of one winning run; None without one.

    ``pays_after``: retrainings after which the search is paid for, against the baseline; None if
    it never is, or if there was none.
    """

    samples: int
    seconds: float
    search_runs: float | None
    runs: float | None
    baseline: str | None
    pays_after: int | None
