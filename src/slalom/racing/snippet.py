"""How an optimizer that raced is written in Python, and how it is made again from what was kept."""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slalom import optim
from slalom.errors import InputError
from slalom.train.groups import scaled

PUBLIC = {"torch.optim": torch.optim, "slalom.optim": optim}
"""Where everyone finds classes: those that a record alone can name. What both have is torch's."""


@dataclass(frozen=True)
class Recipe:
    """An optimizer as a record can keep it.

    Attributes:
        name: by which Python finds the class or function, as in ``torch.optim.SGD``; None for what
            it finds by none: a lambda, what is defined in a function, in a notebook or a script.
        arguments: what it is called with beside the parameters; those alone that can be written.
    """

    name: str | None
    arguments: Mapping[str, Any]

    def optimizer(self, params: Iterable[Tensor]) -> torch.optim.Optimizer:
        """The optimizer for these parameters; of :func:`slalom.optim.split` for a model.

        Raises :class:`InputError` if it is not of :data:`PUBLIC`: a record is data, and what else
        it names is not run.
        """
        module, _, name = (self.name or "").rpartition(".")
        made: Any = getattr(PUBLIC.get(module), name, None)
        splits = made is optim.split
        if not (splits or (isinstance(made, type) and issubclass(made, torch.optim.Optimizer))):
            raise InputError(
                f"a ledger alone cannot make {self.name or 'what has no name of its own'}; write "
                "what snippet() says, where it can be imported"
            )
        try:
            given: Any = params if splits else scaled(params, self.arguments)
            return made(given, **self.arguments)
        except Exception as error:
            raise InputError(f"{self.name} takes no {dict(self.arguments)}: {error}") from error

    def arguments_as_json(self) -> str:
        """The arguments as text, from which :meth:`read` has the very same."""
        return json.dumps({name: _as_json(value) for name, value in self.arguments.items()})

    @classmethod
    def read(cls, name: str | None, arguments: str) -> Recipe:
        """The recipe of this name with the arguments that :meth:`arguments_as_json` wrote.

        Raises ValueError for what it does not write.
        """
        found = json.loads(arguments)
        if not isinstance(found, dict):
            raise ValueError("arguments are no object")
        return cls(name, {n: _from_json(value) for n, value in found.items()})


def recipe(make: Callable[..., Any], arguments: Mapping[str, Any]) -> Recipe:
    """The recipe of ``make(params, **arguments)``."""
    make, arguments = _unwrapped(make, arguments)
    kept = {n: _plain(v) for n, v in arguments.items() if written(v) is not None}
    return Recipe(name_of(make) if len(kept) == len(arguments) else None, kept)


def snippet(
    label: str, make: Callable[..., Any], arguments: Mapping[str, Any], parameters: str, note: str
) -> str:
    """Lines of Python that make the optimizer ``make(parameters, **arguments)``.

    What Python finds by no name, or has no way to write, stands there by a name that the first
    line explains.
    """
    make, arguments = _unwrapped(make, arguments)
    name = name_of(make)
    first = [f"import {module_of(name)}"] if name else []
    own = [] if name else [stand_in(make)]
    options = ""
    for option, value in arguments.items():
        text = written(value)
        own += [option] if text is None else []
        options += f", {option}={text or option}"
    if own:
        first.append(f"# {' and '.join(own)}: your own, with which {label!r} raced")
    return "\n".join([*first, f"optimizer = {name or stand_in(make)}({parameters}{options}){note}"])


def _as_json(value: Any) -> Any:
    """What can be written, with the kinds that JSON lacks by their names."""
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_as_json(v) for v in value]}
    if isinstance(value, dict):
        return {"dict": [[_as_json(k), _as_json(v)] for k, v in value.items()]}
    return _plain(value)


def _from_json(value: Any) -> Any:
    match value:
        case {"tuple": [*parts]}:
            return tuple(map(_from_json, parts))
        case {"list": [*parts]}:
            return list(map(_from_json, parts))
        case {"dict": [*pairs]}:
            return {_from_json(k): _from_json(v) for k, v in pairs}
        case None | bool() | int() | float() | str():
            return value
    raise ValueError(f"no argument is written as {value!r}")


def called(make: Callable[..., Any]) -> str:
    """What an optimizer's class or function is called, where it has a name and where not."""
    make, _ = _unwrapped(make, {})
    return name_of(make) or stand_in(make)


def name_of(value: Any) -> str | None:
    """The dotted name by which an import finds this very class or function; None if none does."""
    name = getattr(value, "__qualname__", None) or ""
    module = getattr(value, "__module__", None) or ""
    for public, namespace in PUBLIC.items():
        if name and getattr(namespace, name, None) is value:
            return f"{public}.{name}"
    if not _importable(module):
        return None
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}.{name}" if found is value else None


def module_of(name: str) -> str:
    """The module to import for what has this name."""
    if name.startswith(tuple(f"{public}." for public in PUBLIC)):
        return name.partition(".")[0]
    parts = name.split(".")
    return next(m for i in range(len(parts), 0, -1) if (m := ".".join(parts[:i])) in sys.modules)


def stand_in(value: Any) -> str:
    """What to call something that has no name: its own where that is one, as a class's is."""
    name = getattr(value, "__name__", "")
    return name if name.isidentifier() else "make"


def written(value: Any) -> str | None:
    """A value as Python reads it back, to the bit; None for what cannot be written so."""
    value = _plain(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"float({str(value)!r})"
    if value is None or isinstance(value, bool | int | str):
        return repr(value)
    if isinstance(value, tuple | list):
        parts = [written(v) for v in value]
        if None in parts:
            return None
        inner = ", ".join(p for p in parts if p)
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(parts) == 1 else f"({inner})"
    if isinstance(value, dict):
        pairs = [(written(k), written(v)) for k, v in value.items()]
        if any(None in pair for pair in pairs):
            return None
        return "{" + ", ".join(f"{k}: {v}" for k, v in pairs) + "}"
    return None


def _unwrapped(
    make: Callable[..., Any], arguments: Mapping[str, Any]
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """What a partial calls in the end, and with what."""
    arguments = dict(arguments)
    while isinstance(make, functools.partial) and not make.args:
        make, arguments = make.func, {**make.keywords, **arguments}
    return make, arguments


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, strings and numbers of other classes as they are written."""
    if isinstance(value, np.generic):
        value = value.item()
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _importable(module: str) -> bool:
    """Whether an ``import`` elsewhere would find the module: no script, notebook or task's file."""
    if module == "__main__" or module not in sys.modules:
        return False
    top = module.partition(".")[0]
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    return any(find is not None and find(top, None) is not None for find in finders)
