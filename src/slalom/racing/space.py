"""What is searched of an optimizer's options: ranges, choices, and what is fixed."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from slalom.errors import InputError, did_you_mean

NEAR_ONE = ("momentum", "alpha", "rho", "betas")
"""Averages' memories: what counts is how far they are from 1."""

POINTS = 4
"""Settings of each that are tried at first, for each hyper-parameter that is searched."""

ZERO = 0.25
"""The share of points that are 0, of a range that begins there."""

DECADES = 1e3
"""How far below its end such a range goes otherwise."""

OF_THE_RUN = ("batch_size", "horizon", "warmup", "clip_norm", "clip_value", "precision")
"""What is searched of the run, where the optimizer has no option of that name."""

HYPER = re.compile(r"[^\W\d]\w*(\[\d+\])?")
"""The name of a hyper-parameter, or of one of several: ``lr``, ``betas[1]``."""


@dataclass(frozen=True)
class Choice:
    """One of several values, each as good as another before it is tried."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Linear:
    """A range that is searched evenly, and not in its logarithm."""

    low: float
    high: float


Dimension = tuple[float, float] | Choice | Linear
"""A range (low, high), evenly in the logarithm, from 0 on with some points at 0; or another."""

Space = Mapping[str, Dimension]

COMMON: dict[str, Dimension] = {
    "weight_decay": (0.0, 0.1), "warmup": Linear(0.0, 0.2), "clip_norm": (0.1, 10.0),
    "clip_value": (0.01, 1.0),
}  # fmt: skip
"""Where no rule says otherwise: a decay, a warm-up as a share of the run, bounds of gradients."""


def sorted_out(
    label: str, make: Callable[..., Any], given: Any
) -> tuple[dict[str, Dimension], dict]:
    """(what is searched, what is fixed) of a space as users write it.

    Two numbers are a range, ``(1e-4, 1e-1)`` or ``(0, 0.1)``, one evenly searched where it is
    ``("linear", 0.8, 0.99)``; a single value is fixed, as is a tuple for an option that is one by
    its default (``betas``); several values that are no two numbers are choices. Numbers may be
    strings, as YAML has 1e-3. Raises :class:`InputError` for what is none of these, and for names
    that the optimizer does not take.
    """
    if not isinstance(given, Mapping):
        raise InputError(
            f"the search space of {label} is {given!r}; it must be a mapping, as in "
            '{"lr": (1e-4, 1e-1)}'
        )
    takes = options_of(make)
    space: dict[str, Dimension] = {}
    fixed: dict[str, Any] = {}
    for name, value in given.items():
        if not isinstance(name, str) or not HYPER.fullmatch(name):
            raise InputError(f"{label} is searched in {name!r}, which is no argument's name")
        bare = name.partition("[")[0]
        if takes is not None and bare not in takes and name not in OF_THE_RUN:
            hint = did_you_mean(bare, [*takes, *OF_THE_RUN]) or f"; it takes {', '.join(takes)}"
            raise InputError(f"{label} takes no option {bare!r}{hint}")
        default = (takes or {}).get(name)
        if isinstance(default, tuple) and isinstance(value, Choice):  # A,B of a command line
            value = value.values
        if isinstance(value, str) and _is_number(default) and isinstance(_number(value), str):
            raise InputError(
                f"{name} of {label} is {value!r}; it must be a number, a range (low, high) or "
                "choices (on the command line LOW:HIGH, or A,B,C)"
            )
        found = _dimension(label, name, value, default)
        held = found.values if isinstance(found, Choice) else found
        for one in held if isinstance(held, tuple) else (held,):
            if isinstance(one, float) and not math.isfinite(one):
                raise InputError(f"{name} of {label} is {value!r}; it must be of finite numbers")
        if isinstance(found, Choice | Linear | tuple) and not _is_value(value, default):
            space[name] = found
        else:
            fixed[name] = found
    return space, fixed


def _is_value(value: Any, default: Any) -> bool:
    """Whether it is one value, and nothing to be searched."""
    if not isinstance(value, tuple | list | set | frozenset | range | Choice | Linear):
        return True
    return isinstance(default, tuple) and isinstance(value, tuple | list) and (
        len(value) == len(default) and all(isinstance(_number(v), float | int) for v in value)
    )  # fmt: skip


def _dimension(label: str, name: str, value: Any, default: Any) -> Any:
    if isinstance(value, Choice | Linear):
        return value
    if _is_value(value, default):
        return tuple(map(_number, value)) if isinstance(value, tuple | list) else _number(value)
    values = [_number(v) for v in value]
    if values[:1] == ["linear"] and len(values) == 3:
        low, high = values[1:]
        if not _real(low) or not _real(high) or not low < high:
            raise InputError(f"the range of {name} is {value!r}; it must be ('linear', low, high)")
        return Linear(low, high)
    if len(values) == 2 and all(map(_real, values)):
        low, high = values
        if not 0 <= low < high < math.inf:
            hint = f"; did you mean ({high:g}, {low:g})?" if 0 <= high < low < math.inf else ""
            raise InputError(
                f"the range of {name} is {value!r}; it must be (low, high) above 0{hint}"
            )
        return float(low), float(high)
    if not values:
        raise InputError(f"there is nothing to choose from for {name} of {label}")
    if not all(isinstance(v, bool | int | float | str | type(None)) for v in values):
        raise InputError(
            f"the choices for {name} of {label} are {value!r}; they must be numbers, words, True, "
            "False or None"
        )
    return Choice(tuple(values))


def _number(value: Any) -> Any:
    """A number that was written as a string, as YAML reads ``1e-3``."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def options_of(make: Callable[..., Any]) -> dict[str, Any] | None:
    """The options that an optimizer takes, with their defaults; None where it does not say."""
    try:
        parameters = list(inspect.signature(make).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return {p.name: p.default for p in parameters[1:]}


def searched_evenly(space: Space, name: str) -> tuple[float, float] | None:
    """The range of what is searched in its logarithm, which may be left; None for other things."""
    found = space.get(name)
    return found if isinstance(found, tuple) and found[0] > 0 else None


def points(space: Space, n: int | None, seed: int) -> list[dict[str, Any]]:
    """``n`` points of a space, spread evenly; :data:`POINTS` for each dimension if None.

    In one dimension at equal distances, shifted by the seed; in more, scrambled Sobol (Owen 1998),
    where each range is cut into ``n`` equal parts and every part has one point, whatever ``n``:
    Sobol's own balance holds for powers of two alone. Evenly in the logarithm of each value, or of
    its distance from 1 for :data:`NEAR_ONE`; batch sizes are powers of two. Rounded to three
    digits, so that what is shown is what was run. Points that come out equal are one.
    """
    from scipy.stats import qmc

    if not space:
        return [{}]
    n = POINTS * len(space) if n is None else n
    if len(space) == 1:
        unit = (np.arange(n)[:, None] + np.random.default_rng(seed).random()) / n
    else:
        power = max(0, math.ceil(math.log2(n)))
        unit = qmc.Sobol(len(space), rng=seed).random_base2(power)[:n]
        parts = unit.argsort(axis=0).argsort(axis=0)
        unit = (parts + unit * len(unit) % 1.0) / n
    found = [
        {
            name: _at(name, dimension, float(x))
            for (name, dimension), x in zip(space.items(), row, strict=True)
        }
        for row in unit
    ]
    return [p for i, p in enumerate(found) if p not in found[:i]]


def _at(name: str, dimension: Dimension, share: float) -> Any:
    """The value at this share of a dimension."""
    if isinstance(dimension, Choice):
        return dimension.values[min(int(share * len(dimension.values)), len(dimension.values) - 1)]
    if isinstance(dimension, Linear):
        return _rounded(dimension.low + (dimension.high - dimension.low) * share)
    low, high = dimension
    if low == 0:
        if share < ZERO:
            return 0.0
        low, share = high / DECADES, (share - ZERO) / (1 - ZERO)
    if name.partition("[")[0] in NEAR_ONE and high < 1:
        return 1 - _rounded((1 - low) * ((1 - high) / (1 - low)) ** share)
    value = low * (high / low) ** share
    return float(2 ** round(math.log2(value))) if name == "batch_size" else _rounded(value)


def share_of(name: str, dimension: Dimension, value: Any) -> float:
    """The share of a range at which a value lies, which may be beyond it; of choices, its place."""
    if isinstance(dimension, Choice):
        return float(dimension.values.index(value))
    if isinstance(dimension, Linear):
        return (value - dimension.low) / (dimension.high - dimension.low)
    (low, high), before = dimension, 0.0
    if low == 0:
        if value <= 0:
            return 0.0
        low, before = high / DECADES, ZERO
    if name.partition("[")[0] in NEAR_ONE and high < 1:
        share = math.log((1 - value) / (1 - low)) / math.log((1 - high) / (1 - low))
    else:
        share = math.log(value / low) / math.log(high / low)
    return before + (1 - before) * share


def at(name: str, dimension: Dimension, share: float) -> Any:
    """The value at this share of a range, 0 to 1; of choices, at this place."""
    if isinstance(dimension, Choice):
        return dimension.values[int(share)]
    return _at(name, dimension, share)


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
