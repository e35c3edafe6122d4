"""What the heats of a race go by; ``benchmarks/race_cost.py`` shows what it is worth."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How settings are dropped and added.

    Attributes:
        keep: the share of a rule's settings that goes on from one heat to the next, each of which
            is twice as long.
        moved: the share of the way to the target, in the metric, that somebody must have gone
            before any setting is dropped.
        stirred: the same for the best of a rule, before one of its own is dropped.
        extend: evaluations from which on a range is left where its edge is best.
        settle: evaluations from which on a rule that is ``behind`` is tuned no further.
        behind: how many times sooner the best of all was at the loss of a rule's best.
        closer: evaluations from which on settings halfway to the neighbours of a rule's best are
            tried too.
        contend: rules within so many times the best's work look closer at the end.
        fine: the ratio of neighbouring learning rates at which looking closer ends.
        glance: the share of the best's work after which a neighbour must be ahead of it there.
        alone: what a neighbour that did not arrive counts as, in multiples of the best's work.
    """

    keep: float = 0.5
    moved: float = 0.1
    stirred: float = 0.1
    extend: int = 2
    settle: int = 3
    behind: float = 1.3
    closer: int = 4
    contend: float = 1.3
    fine: float = 1.6
    glance: float = 0.2
    alone: float = 1.5


STANDARD = Schedule()
"""What a race's heats go by."""
