"""Parameter groups with options of their own, under learning rates that are searched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

SCALED = ("lr", "weight_decay")
"""Options of a group that are told relative to those of the whole optimizer."""


class Parameters(list[Any]):
    """What an optimizer is given; ``model`` is the one that these are all the parameters of."""

    def __init__(self, given: Iterable[Any], model: nn.Module | None = None):
        super().__init__(given)
        self.model = model


def scaled(params: Iterable[Any], arguments: Mapping[str, Any]) -> list[Any]:
    """Parameter groups for an optimizer that is made with these arguments.

    Where the arguments have a learning rate, that of a group is a factor on it. Where every group
    has one, they are taken relative to the largest of them, which gets the optimizer's own. The
    same holds of weight decay. Groups and parameters without either stay as they are.
    """
    given = list(params)
    if not given or not all(isinstance(g, Mapping) for g in given):
        return given
    groups = [dict(g) for g in given]
    for name in SCALED:
        base = arguments.get(name)
        if not isinstance(base, int | float):
            continue
        own = [g[name] for g in groups if name in g]
        top = max(own, default=0.0) if len(own) == len(groups) else 1.0
        for group in groups:
            if name in group and top:
                group[name] = base * (group[name] / top)
    return groups


def own_options(params: Iterable[Any]) -> set[str]:
    """The names of options that groups bring."""
    return {n for g in params if isinstance(g, Mapping) for n in g} - {
        "params",
        "param_names",
        "name",
    }
