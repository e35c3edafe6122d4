"""Whether a step still finds the parameters and states that its plan was made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from torch import Tensor


class Watch:
    """The lists of parameters and the state dicts of a step, compared object by object.

    The general form; a backend may bring a faster one (:meth:`slalom.backends.base.Backend.watch`).

    Args:
        groups: the parameter groups.
        states: parameter -> its state dict, as the optimizer holds it.
        relied: id of a parameter -> the names in its state dict that a step reads or writes.
    """

    def __init__(
        self,
        groups: Sequence[Mapping[str, Any]],
        states: Mapping[Tensor, Mapping[str, Any]],
        relied: Mapping[int, Sequence[str]],
    ):
        self._params = [list(map(id, g["params"])) for g in groups]
        kept: dict[tuple[str, ...], list[int]] = {}  # names -> the parameters whose state has them
        for param, state in states.items():
            if names := tuple(n for n in relied.get(id(param), ()) if n in state):
                kept.setdefault(names, []).append(id(param))
        self._kept = [(params, itemgetter(*names, names[0])) for names, params in kept.items()]
        self._values = self._found(states)

    def _found(self, states: Mapping[Tensor, Mapping[str, Any]]) -> list[list[int]]:
        """Ids of what stands under these names; KeyError if something misses."""
        if not self._kept:
            return []
        own: dict[int, Any] = dict(zip(map(id, states), states.values(), strict=True))
        return [
            list(map(id, chain.from_iterable(map(values, map(own.__getitem__, params)))))
            for params, values in self._kept
        ]

    def holds(self, groups: Any, states: Any) -> bool:
        """Whether groups and states hold the very objects that they held."""
        if [list(map(id, g["params"])) for g in groups] != self._params:
            return False
        try:
            return self._found(states) == self._values
        except KeyError:  # a parameter or a name is gone
            return False
