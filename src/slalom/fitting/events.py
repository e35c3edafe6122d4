"""What a run tells those who watch it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slalom.train import Evaluation, Run, Task
from slalom.train.watching import ByKind

if TYPE_CHECKING:
    from slalom.fitting.result import Fit


@dataclass(frozen=True)
class Started:
    """A run begins, or goes on from ``run.step`` updates.

    ``updates`` are those of the whole run, where they are known; ``folder`` is where it is written
    to, if anywhere.
    """

    task: Task
    optimizer: str
    run: Run
    seed: int
    length: str
    updates: int | None
    folder: Path | None


@dataclass(frozen=True)
class Moved:
    """Some updates were made: where the run is, and the mean loss over them."""

    step: int
    samples: int
    seconds: float
    loss: float


@dataclass(frozen=True)
class Evaluated:
    """The run was evaluated; ``best`` if no evaluation before was as good."""

    evaluation: Evaluation
    best: bool


@dataclass(frozen=True)
class Saved:
    """A checkpoint of this step is on the disk."""

    step: int
    path: Path


@dataclass(frozen=True)
class Told:
    """Something worth a line."""

    text: str


@dataclass(frozen=True)
class Finished:
    """The run is over."""

    result: Fit


Event = Started | Moved | Evaluated | Saved | Told | Finished


class Callback(ByKind):
    """What is done at the named points of a run, each of which may be left out.

    Give one of a class of your own as ``watch``. What a callback raises ends the run, whose last
    checkpoint stays.
    """

    def started(self, event: Started) -> None:
        """The run begins, or goes on."""

    def moved(self, event: Moved) -> None:
        """Some updates were made: after so many as take a quarter of a second, about."""

    def evaluated(self, event: Evaluated) -> None:
        """The run was evaluated."""

    def saved(self, event: Saved) -> None:
        """A checkpoint was written."""

    def told(self, event: Told) -> None:
        """There is something worth a line."""

    def finished(self, event: Finished) -> None:
        """The run is over."""
