"""What can become of a run, and the stages of a race: the words of the ledger."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What has become of a run."""

    WAITING = "waiting"
    """It is evaluated seldom, and begins when others have done about as much as that takes."""
    RUNNING = "running"
    REACHED = "reached"
    NOT_REACHED = "not reached"
    """It took as many updates as it may, and did not reach the target."""
    FINISHED = "finished"
    """It used its budget up."""
    DROPPED = "dropped"
    """It was behind others of its rule in the heats."""
    CHOSEN = "chosen"
    """The heats chose it, before it had reached the target or used the budget up."""
    STOPPED = "stopped"
    """It had told what it was run for: others had needed far less, or how far seeds differ."""
    DIVERGED = "diverged"
    FAILED = "failed"
    """The user's code raised an exception, or the process died."""


class Stage(StrEnum):
    """What a run was made for."""

    HEAT = "heat"
    FINAL = "final"
    BASELINE = "baseline"
