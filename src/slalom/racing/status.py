"""What can become of a run, and the stages of a race: the words of the ledger."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What has become of a run."""

    RUNNING = "running"
    REACHED = "reached"
    NOT_REACHED = "not reached"
    """It took as many updates as it may, and did not reach the target."""
    DROPPED = "dropped"
    """It was behind the others in the heats."""
    DIVERGED = "diverged"
    FAILED = "failed"
    """The user's code raised an exception, or the process died."""


class Stage(StrEnum):
    """What a run was made for."""

    HEAT = "heat"
    FINAL = "final"
    BASELINE = "baseline"
