"""What a race tells those who watch it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slalom.racing.status import Stage, Status
from slalom.train import Evaluation
from slalom.train.watching import ByKind

if TYPE_CHECKING:
    from slalom.racing.result import Result


@dataclass(frozen=True)
class Started:
    """A race begins: its task, who races, the metric, the target (None: to be found), the folder of
    its ledger, and the budget where there is one in place of a target."""

    task: str
    entrants: list[str]
    metric: str
    target: float | None
    folder: Path
    budget: str | None = None

    @property
    def goal(self) -> str:
        """What is asked, in a few words."""
        if self.budget is not None:
            return f"{self.metric} after {self.budget}"
        return "no target yet" if self.target is None else f"{self.metric} {self.target:.4g}"


@dataclass(frozen=True)
class Moved:
    """A run was brought on, or ended; with all its evaluations so far."""

    label: str
    seed: int
    stage: Stage
    status: Status
    step: int
    metric: float
    steps_to_target: int | None
    seconds_to_target: float | None
    evaluations: tuple[Evaluation, ...] = ()


@dataclass(frozen=True)
class Told:
    """Something worth a line: a new stage, a range that was extended, a run that failed."""

    text: str


@dataclass(frozen=True)
class Planned:
    """So many runs come next."""

    runs: int


@dataclass(frozen=True)
class Finished:
    """The race is over, or was interrupted; ``result`` is what is known."""

    result: Result


Event = Started | Moved | Told | Planned | Finished


class Callback(ByKind):
    """What is done at the named points of a race, each of which may be left out.

    Give one of a class of your own as ``watch``. What a callback raises ends the race, whose ledger
    stays whole.
    """

    def started(self, event: Started) -> None:
        """The race begins."""

    def told(self, event: Told) -> None:
        """There is something worth a line."""

    def planned(self, event: Planned) -> None:
        """Some runs come next."""

    def moved(self, event: Moved) -> None:
        """A run was brought on, or ended."""

    def finished(self, event: Finished) -> None:
        """The race is over."""
