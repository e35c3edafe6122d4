"""Objects that are known, and not kept alive."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterable, Sequence
from operator import call
from typing import Any


def handles(params: Sequence[Any]) -> Sequence[Any]:
    """A sequence of objects that keeps none of them alive.

    What weak references are for, but that torch.utils.swap_tensors refuses what has one. So an
    item may be taken only while a parameter group is known to hold the parameter. All of them are
    taken as ``sequence[:]``, ten times as fast as by iterating.
    """
    addresses = (ctypes.c_void_p * len(params))(*map(id, params))
    objects: Any = (ctypes.py_object * len(params)).from_buffer(addresses)
    return objects


class Alive:
    """Whether all of some objects still exist. Keeps none of them alive.

    Attributes:
        all: False from the moment when the first of them is gone.
    """

    def __init__(self, objects: Iterable[Any]):
        alive = [True]

        def gone(_: Any) -> None:
            alive[0] = False

        self._alive = alive
        self._refs = [weakref.ref(o, gone) for o in objects]

    @property
    def all(self) -> bool:
        return self._alive[0]

    def keep(self) -> list[Any]:
        """All of them, as long as the list is kept; None in place of what is gone."""
        return list(map(call, self._refs))

    def one(self, place: int) -> Any:
        """The object at a place among them."""
        return self._refs[place]()
