"""Whether a step still finds the parameters and states that its plan was made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        self._states = {
            id(p): {n: id(s[n]) for n in relied[id(p)] if n in s}
            for p, s in states.items()
            if id(p) in relied
        }

    def holds(self, groups: Any, states: Any) -> bool:
        """Whether groups and states hold the very objects that they held."""
        if [list(map(id, g["params"])) for g in groups] != self._params:
            return False
        found = {id(p): s for p, s in states.items()}
        return all(
            param in found and all(id(found[param].get(n)) == value for n, value in own.items())
            for param, own in self._states.items()
        )
