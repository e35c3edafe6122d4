"""Surfaces to go down, one file each: a module with ``SURFACE`` is found by its name."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from slalom.errors import InputError, did_you_mean
from slalom.paths.surface import Surface

NAMES = tuple(
    module.name.replace("_", "-")
    for module in pkgutil.iter_modules(__path__)
    if not module.name.startswith("_")
)


def surface(name: str) -> Surface:
    """The surface of this name; :class:`InputError` if there is none."""
    if name not in NAMES:
        hint = did_you_mean(name, NAMES)
        raise InputError(f"there is no surface {name!r}; there are {', '.join(NAMES)}{hint}")
    return import_module(f"{__name__}.{name.replace('-', '_')}").SURFACE


def surfaces() -> dict[str, Surface]:
    """Every surface by its name, in the order in which they are best met."""
    found = {name: surface(name) for name in NAMES}
    return dict(sorted(found.items(), key=lambda item: item[1].place))
