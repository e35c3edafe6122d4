"""What is asked once of all slots of one kind, where there are many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from slalom.backends.base import Slot

T = TypeVar("T")


def by_kind(slots: Sequence[Slot], ask: Callable[[Slot], T]) -> list[T]:
    """What is found of each slot, asked once of all of one kind."""
    known: dict[Any, T] = {}
    found: list[T] = []
    for slot in slots:
        kind = slot.kind
        if kind is None:
            found.append(ask(slot))
        elif kind in known:
            found.append(known[kind])
        else:
            known[kind] = answer = ask(slot)
            found.append(answer)
    return found
