"""Slots and the rows that they are sorted into, by what decides about their scalars."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slalom.backends.base import Slot
from slalom.rules.definition import Rule


def sorted_out(keys: np.ndarray, places: np.ndarray) -> list[tuple[list[float], np.ndarray]]:
    """The places by their keys (a row of them each), equal keys together."""
    if not len(places):
        return []
    if (keys == keys[0]).all():
        return [(keys[0].tolist(), places)]
    unique, which = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(which, kind="stable")
    ends = np.cumsum(np.bincount(which, minlength=len(unique)))[:-1]
    return list(zip(unique.tolist(), np.split(places[order], ends), strict=True))


def alone(slot: Slot) -> Slot:
    """The same, to be updated by itself."""
    return replace(slot, alone=True)


def names_of_kept(slot: Slot, rule: Rule) -> list[str]:
    """What a slot's state calls the step count and numbers that it holds."""
    names = ("step", *rule.numbers)
    return [n for n, t in zip(names, slot.kept, strict=False) if t is not None]
