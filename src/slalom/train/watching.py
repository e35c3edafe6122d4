"""Who watches training: functions of an event, and callbacks with a method for each kind of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slalom.errors import InputError


class ByKind:
    """Hands an event to the method that is called as its class is, in small letters."""

    def __call__(self, event: Any) -> None:
        getattr(self, type(event).__name__.lower())(event)


def watchers(given: Any) -> list[Callable[[Any], None]]:
    """One watcher, or several, as a list. Raises :class:`InputError` for what cannot be called."""
    several = list(given) if isinstance(given, list | tuple | set) else [given]
    if wrong := [w for w in several if not callable(w)]:
        raise InputError(
            f"watch is a {type(wrong[0]).__name__}; it must be a function of an event, or several"
        )
    return several
