"""The parameters of groups, and how messages call them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from torch import Tensor


def params_of(groups: Sequence[Mapping[str, Any]]) -> list[Tensor]:
    """The parameters of all groups, in order."""
    return list(chain.from_iterable(g["params"] for g in groups))


def name_among(groups: Sequence[Mapping[str, Any]], param: Tensor) -> str:
    """How messages call a parameter of these groups."""
    for number, group in enumerate(groups):
        for name, other in zip(names_in(group, number), group["params"], strict=True):
            if other is param:
                return name
    return "a parameter"


def names_in(group: Mapping[str, Any], number: int) -> Sequence[str]:
    """How messages call the parameters of a group, the ``number``-th."""
    names = group.get("param_names")
    return names or [f"parameter {i} of group {number}" for i in range(len(group["params"]))]


def turns(groups: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """What to update one after another: the groups, as long as no parameter is mentioned twice.

    If one is, groups of the first mentions, then of the second ...: torch updates at each.
    """
    ids = list(map(id, params_of(groups)))
    if len(set(ids)) == len(ids):
        return [groups]
    mentions: Counter[int] = Counter()
    found: list[list[dict[str, Any]]] = []
    for i, group in enumerate(groups):
        for param in group["params"]:
            if mentions[id(param)] == len(found):
                found.append([{**g, "params": []} for g in groups])
            found[mentions[id(param)]][i]["params"].append(param)
            mentions[id(param)] += 1
    return found
