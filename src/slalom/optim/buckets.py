"""Parameters whose gradients are used together, in the order in which they arrive in backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import is_, itemgetter
from typing import Any

from torch import Tensor

from slalom.engine.plan import Plan
from slalom.optim.spent import Spent


class Part:
    """Those members of a bucket that belong to one group of the optimizer.

    Attributes:
        number: the group's place.
        options: the group with these parameters alone.
    """

    def __init__(self, number: int, places: Sequence[int], params: list[Tensor]):
        self.number, self.options = number, {"params": params}
        self._take: Callable[[Any], Sequence[Any]] = itemgetter(*places, places[0])

    def found(self, groups: Sequence[dict[str, Any]]) -> bool:
        """Whether its parameters are where they were; takes over the options as they are now."""
        if self.number >= len(groups):
            return False
        group, params = groups[self.number], self.options["params"]
        try:
            there = self._take(group["params"])
        except IndexError:
            return False
        if not all(map(is_, there, params)):
            return False
        self.options.clear()
        self.options.update(group, params=params)
        return True


class Bucket:
    """Parameters whose gradients arrive one after the other, and are used in one call.

    Attributes:
        params: its members.
        size: bytes of their gradients.
        waiting: ids of those that arrived and were not used, where all are told of.
        used: in which round some were used last.
        parts: the members by group; none where they are all of the optimizer, or have to be sorted.
        marks: the members that are in a group, each with what stands for its spent gradient.
        plan: of their last update.
    """

    def __init__(self) -> None:
        self.params: list[Tensor] = []
        self.size = 0
        self.waiting: set[int] = set()
        self.used = -1
        self.parts: list[Part] = []
        self.marks: list[tuple[Tensor, Spent]] = []
        self.plan: Plan | None = None

    def add(self, param: Tensor) -> None:
        """Take one more member."""
        self.params.append(param)
        self.size += param.nbytes
        self.parts, self.plan = [], None

    def groups(self, all_of_them: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
        """The groups with its members alone, options as they are now; None if one was moved."""
        if not self.parts:
            return all_of_them
        if not all(part.found(all_of_them) for part in self.parts):
            return None
        return [part.options for part in self.parts]
