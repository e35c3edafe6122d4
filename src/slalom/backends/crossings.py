"""Slots that are updated together, since their rule asks all tensors for a number each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from slalom.backends.base import Slot
from slalom.backends.refusals import RefusedTensorError
from slalom.backends.row import Row
from slalom.ir.program import Program
from slalom.ir.symbol import Symbol
from slalom.rules.definition import Rule


def company(row: Row, across: Symbol) -> Any:
    """What rows have in common whose tensors are asked together: a group, or all of a rule."""
    return row.group if across.args[2] == "group" else None


def check_crossings(pairs: Iterable[tuple[Rule, Program | None]]) -> None:
    """Raise :class:`RefusedTensorError` where programs of one rule ask all tensors other things.

    The options of their groups are why.
    """
    first: dict[Rule, Any] = {}
    for rule, program in pairs:
        assert program is not None
        asked = [[n.args[1:] for n in c.nodes] for c in program.crossings]
        if first.setdefault(rule, asked) != asked:
            raise RefusedTensorError(
                f"the groups of {rule.class_name} have options under which it asks different "
                "things of all tensors; give all groups the same ones"
            )


def refused_together(
    slots: Sequence[Slot], refused: Mapping[int, str | None]
) -> Mapping[int, str | None]:
    """Of each slot's place why a backend refuses it, where some are served together or not at all.

    ``slots`` are all that no other backend serves, ``refused`` names those that it was asked of.
    """
    crossing = [s for s in slots if s.crosses]
    lost = [s for s in crossing if refused.get(s.place, "it lies on another device") is not None]
    if not lost:
        return refused
    first, why = lost[0].name, refused.get(lost[0].place) or "it lies on another device"
    said = f"its rule looks at all tensors together, and not all can be served so: {first}: {why}"
    alike = {s.place: refused[s.place] or said for s in crossing if s.place in refused}
    return {**refused, **alike}
