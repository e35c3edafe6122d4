"""What a backend is: the seam between the plan of a step and the devices that run it.

A :class:`Backend` says which parameters it can serve and makes a :class:`Launch` of them. A launch
looks at its tensors in every step, is given the scalars by rows, and updates all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom.backends.counters import read
from slalom.backends.refusals import WHOLE, Unavailable
from slalom.backends.row import Row
from slalom.backends.spread import Spread
from slalom.ir.program import Program


def beside(number: Any, other: Any) -> Any:
    """A number, brought to where another one lies if both are tensors; nobody waits for it."""
    both = isinstance(number, Tensor) and isinstance(other, Tensor)
    return number.to(other.device, non_blocking=True) if both else number


@dataclass(eq=False, slots=True)
class Slot:
    """One parameter of a step with the tensors kept for it.

    Attributes:
        param: the parameter; its gradient is looked up in every step and may be absent.
        state: the live states of its rule by name, each of the parameter's shape or of the one
            that its rule gives it.
        kept: its step count and the numbers of its rule, tensors of one element; None in place of
            a count that the state does not hold.
        count: how often it was updated, where ``kept[0]`` is None.
        group: the place of its parameter group.
        place: its own place in the step.
        by_rows: its gradient is sparse, and what that does not touch stays as it is.
        alone: it shares memory with another parameter, so they are updated one after the other.
        name: how messages call it.
        whole: its rule looks at whole tensors, and not at one element after another.
        matrix: it looks at their rows or columns.
        multiplies: it has operations on whole matrices.
        operands: the names of what these are done to, where machine code may be asked for it.
        crosses: it looks at other tensors too.
        small: the names of the states that are smaller than the parameter.
        spread: how the tensors are distributed whose parts its own are, if its rule looks at all.
        made: its states were just made, so that each lies as the parameter does, and has its dtype.
        kind: of two slots of one kind, where it is not None, the tensors are plain, whole in memory
            and differ in shape, address and numbers alone; what is said here of one holds of both,
            but for name, group and place, and neither is alone.
    """

    param: Tensor
    state: Mapping[str, Tensor]
    kept: Sequence[Tensor | None]
    count: float
    group: int
    place: int
    by_rows: bool = False
    alone: bool = False
    name: str = "a parameter"
    whole: bool = False
    matrix: bool = False
    multiplies: bool = False
    operands: Collection[str] = ()
    crosses: bool = False
    small: Collection[str] = ()
    spread: Spread | None = None
    made: bool = False
    kind: Any = None

    @property
    def further(self) -> tuple[bool, bool, bool, bool]:
        """In which ways its rule looks beyond one element."""
        return self.whole, self.matrix, self.multiplies, self.crosses


class Look(Enum):
    """What a look at the tensors of a launch found."""

    SAME = 0
    """All as in the last step."""
    CHANGED = 1
    """Other gradients are present, or counts or numbers are other than they were left."""
    STALE = 2
    """Something is not what the launch was made for; nothing may be run."""


class Counts:
    """How often each parameter was updated, and the numbers of its rule: one row a slot.

    Attributes:
        values: float64 of shape (slots, 1 + most numbers): the counts, and behind them the
            numbers, as last read or written.
        present: int64 of shape (slots,): whether the slot has a gradient in this step.
        wide: int64 of shape (slots,): which of its values are kept in float64, as bits. What is
            kept otherwise is rounded otherwise, so slots of one row have this in common too.
    """

    def __init__(self, slots: Sequence[Slot]):
        width = max((len(s.kept) for s in slots), default=1)
        self.values = np.zeros((len(slots), width))
        self.present = np.zeros(len(slots), np.int64)
        self.wide = np.array([_wide(slot.kept) for slot in slots], np.int64)
        for i, slot in enumerate(slots):
            if slot.count or not slot.made or len(slot.kept) > 1:  # else it is 0
                self.values[i, : len(slot.kept)] = [
                    slot.count if t is None else read(t) for t in slot.kept
                ]


def _wide(kept: Sequence[Tensor | None]) -> int:
    found = 0
    for i, tensor in enumerate(kept):
        if tensor is None or tensor.dtype is torch.float64:
            found |= 1 << i
    return found


BEFORE = 2
"""Numbers of a row on a device before its scalars: which program serves, the random bits."""

Rows = Sequence[tuple[Row, np.ndarray]]
"""Rows, each with the places (in the step) of the slots that have it."""


@dataclass(frozen=True, eq=False, slots=True)
class Work:
    """Slots of one rule whose scalars lie on their own device; see :meth:`Backend.run_rows`.

    Attributes:
        slots: each has a gradient.
        programs: those of every way that the rule may go.
        rows: float64 of shape (slots, :data:`BEFORE` + most scalars), a row for each: which of the
            programs serves it (below 0: none, and it stays as it is), random bits, and the scalars
            of that program.
        chance: whether what is narrow is rounded by chance.
    """

    slots: Sequence[Slot]
    programs: Sequence[Program]
    rows: Tensor
    chance: bool = False


class Launch(ABC):
    """The tensors of some slots, ready to be updated in step after step.

    It keeps no tensor of the user's alive between two steps: what is dropped elsewhere is freed at
    once, and the launch with its plan is then out of date. In a step it is called in the order of
    the methods below, and only where groups and states were seen to hold its tensors still.

    Attributes:
        places: int64 array, the places of its slots in the step.
        skips: whether its rows may have slots that are absent, which it passes over.
    """

    places: np.ndarray
    skips: bool = False

    @abstractmethod
    def gather(self) -> Look:
        """Look at every tensor, and put down which gradients and counts there are."""

    @abstractmethod
    def written(self) -> np.ndarray:
        """The memory that it writes, as gathered; see :func:`slalom.backends.layout.merged`."""

    @abstractmethod
    def read(self) -> np.ndarray:
        """The memory of gradients that are read where they lie: uint64 of shape (gradients, 2)."""

    @abstractmethod
    def square_sum(self) -> float | Tensor:
        """The sum of the squares of all gradients, in double precision, as gathered just before."""

    @abstractmethod
    def assign(self, rows: Rows) -> None:
        """Give the present slots their scalars, until they are assigned anew.

        Raises :class:`Unavailable`, and nothing may be run, where no code can be made.
        """

    @abstractmethod
    def run(self, late: Mapping[str, Any]) -> None:
        """Update every present slot and count the update; the gradients are those gathered.

        ``late`` are the late scalars by name; the rows were filled with them.
        """

    @abstractmethod
    def let_go(self) -> None:
        """Forget what was gathered."""


class Backend(ABC):
    """One way of running programs: machine code for a device, or the operations of a library.

    Attributes:
        name: what :func:`slalom.explain` calls it.
        device: the type of the devices whose memory it works in (``cpu``, ``cuda``), and it is
            asked of parameters there alone; None if any.
        captures: whether what its device does can be recorded in a graph.
        sums: whether it serves rules that look at whole tensors; else it is not asked of them.
    """

    name: str
    device: str | None = None
    captures: bool = False
    sums: bool = False

    def why_not(self, slot: Slot) -> str | None:
        """Why it cannot serve a slot, by what it is and by what it says; None if it can."""
        return WHOLE if slot.whole and not self.sums else self.refuses(slot)

    @abstractmethod
    def refuses(self, slot: Slot) -> str | None:
        """Why this backend cannot serve a slot; None if it can. To be asked by :meth:`why_not`.

        Asked once of all slots of one kind. Asked anew
        when a gradient comes of another type, layout, dtype or device, or as another
        kind of view, and when anything of the other tensors is other than it was.
        """

    @abstractmethod
    def prepare(self, slots: Sequence[Slot], absent: Sequence[Tensor], counts: Counts) -> Launch:
        """A :class:`Launch` of these slots, none of which it refuses."""

    def run_rows(self, works: Sequence[Work]) -> None:
        """Update slots by scalars that lie on their own device, asking it for nothing.

        None of the slots is refused. Raises :class:`Unavailable`, and nothing was changed, where no
        code can be made, as of a backend that knows of no such steps.
        """
        raise Unavailable(f"{self.name} makes no steps whose scalars lie on the device")

    def stands(self, device: torch.device) -> bool:
        """Whether :meth:`stand` serves plain tensors there, of rules that it has code of."""
        return False

    def stand(self, teams: Any, absent: Sequence[Tensor]) -> Any:
        """A :class:`slalom.backends.standing.Standing` of these teams; None where it has none."""
        return None

    def watch(self, groups: Any, states: Any, tensors: Any) -> Any:
        """See :class:`slalom.engine.watch.Watch`: the same, faster; None if there is no such."""
        return None
