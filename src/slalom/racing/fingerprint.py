"""What tells data and code from other data and code, alike in every process.

Of a function it is what the function does: its code, its defaults, what it closes over, and the
globals that it names. Comments, names of local variables, and the file and line do not matter.
What is installed (Python's own, torch, Slalom, whatever else) goes by name and version.
"""

from __future__ import annotations

import dis
import functools
import inspect
import sys
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from slalom.errors import InputError
from slalom.train.faults import LIBRARIES, PACKAGE, TORCH, told
from slalom.train.rng import RandomStream
from slalom.train.samples import Samples

DEPTH = 100
"""How far into one another objects are looked at; what lies deeper goes by its class."""

READ = 10_000
"""Samples of a dataset that are read, evenly over all of it; arrays are read whole."""

BATCH = 256


def fingerprint(*values: Any) -> str:
    """32 hexadecimal digits, equal for what is the same and, but for chance, for nothing else.

    An object is looked at as ``pickle`` would take it apart; what cannot be pickled (a lock, an
    open file) goes by its class alone.
    """
    walk = _Walk()
    walk.add(values)
    return walk.found


def fingerprint_of(samples: Samples) -> str:
    """That of a set of samples: of all arrays, or of what a dataset gives when it is read.

    Raises :class:`InputError` for a sample that cannot be read.
    """
    if samples.arrays is not None:
        return fingerprint(samples.arrays)
    walk = _Walk()
    if samples.stream is not None:
        for batch, _ in islice(samples.chunks(BATCH), READ // BATCH):
            walk.add_alone(batch)
        return walk.found
    n = samples.held
    chosen = torch.linspace(0, n - 1, min(n, READ), dtype=torch.float64).round().long()
    with RandomStream(0, torch.device("cpu")):
        for indices in chosen.split(BATCH):
            try:
                batch = samples.fetch(indices)
            except InputError:
                raise
            except Exception as error:
                raise InputError(f"{samples.name} cannot be read: {told(error)}") from error
            walk.add_alone(batch)
    return walk.found


class _Walk:
    """A walk through objects, each of which is looked at once."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self._seen: dict[int, tuple[int, Any]] = {}  # the objects too, so that no address returns
        self._depth = 0

    @property
    def found(self) -> str:
        """The fingerprint of all that was added."""
        return self._hash.hexdigest()

    def add_alone(self, value: Any) -> None:
        """Add what need not be remembered."""
        self._put(fingerprint(value))

    def add(self, value: Any) -> None:
        """Add a value of any kind."""
        kind = type(value)
        if value is None or value is ... or kind in (bool, float, complex, str):
            self._put(kind.__name__, repr(value))
        elif kind is int:
            self._put("int", hex(value))
        elif kind is bytes:
            self._put("bytes", value)
        elif kind in (tuple, frozenset, CodeType):
            self._deeper(value)
        elif id(value) in self._seen:
            self._put("again", str(self._seen[id(value)][0]))
        else:
            self._seen[id(value)] = len(self._seen), value
            self._deeper(value)

    def _put(self, *parts: str | bytes | memoryview) -> None:
        for part in parts:
            content = part.encode(errors="surrogatepass") if isinstance(part, str) else part
            self._hash.update(len(content).to_bytes(8, "little"))
            self._hash.update(content)

    def _deeper(self, value: Any) -> None:
        if self._depth == DEPTH:
            self._put("deep", type(value).__qualname__)
            return
        self._depth += 1
        self._compound(value)
        self._depth -= 1

    def _compound(self, value: Any) -> None:
        kind = type(value)
        if kind in (tuple, list):
            self._all(kind.__name__, value)
        elif kind is dict:
            self._all("dict", [part for pair in value.items() for part in pair])
        elif kind in (set, frozenset):  # in an order that strings' hashes do not change
            self._put(kind.__name__, *sorted(map(fingerprint, value)))
        elif isinstance(value, Tensor):
            self._tensor(value)
        elif kind is np.ndarray and value.dtype.kind != "O":
            plain = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
            self._put("array", str(value.dtype), str(value.shape), plain.data)
        elif kind is CodeType:
            self._code(value)
        elif kind is torch.utils.hooks.RemovableHandle:  # it has a number of the process
            self._put("hook")
        elif isinstance(value, ModuleType):
            self._put("module", value.__name__)
        elif (name := _installed_name(value)) is not None:
            self._put("installed", name)
        elif kind is FunctionType:
            self._function(value)
        elif kind is MethodType:
            self._all("method", (value.__func__, value.__self__))
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, property):
            self._all("property", (value.fget, value.fset, value.fdel))
        elif isinstance(value, staticmethod | classmethod):
            self._all(kind.__name__, (value.__func__,))
        elif isinstance(value, functools.cached_property):
            self._all("cached_property", (value.func,))
        else:
            self._object(value)

    def _all(self, name: str, values: Any) -> None:
        self._put(name, str(len(values)))
        for value in values:
            self.add(value)

    def _tensor(self, value: Tensor) -> None:
        if is_lazy(value):
            self._put("lazy", type(value).__name__)
            return
        self._put("tensor", str(value.dtype), str(tuple(value.shape)), str(value.requires_grad))
        try:
            plain = value.detach().cpu().resolve_conj().resolve_neg()
            # a copy, since one number counts as contiguous with any stride
            plain = plain.clone(memory_format=torch.contiguous_format).reshape(-1)
            self._put(plain.view(torch.uint8).numpy().data)
        except Exception:  # it is sparse, quantised, or has no memory
            self._object(value)

    def _code(self, code: CodeType) -> None:
        arguments = code.co_argcount + code.co_kwonlyargcount
        self._put("code", code.co_code, code.co_exceptiontable)
        for part in (
            code.co_names, code.co_freevars, code.co_cellvars, code.co_varnames[:arguments],
            code.co_argcount, code.co_posonlyargcount, code.co_flags, code.co_consts,
        ):  # fmt: skip
            self.add(part)

    def _function(self, function: FunctionType) -> None:
        self._put("function")
        for part in (function.__code__, function.__defaults__, function.__kwdefaults__):
            self.add(part)
        for name, value in _used(function):
            self._put(name)
            self.add(value)

    def _class(self, made: type) -> None:
        self._all(f"class {made.__qualname__}", made.__bases__)
        inherited = [_unhooked(getattr(base, "step", None)) for base in made.__bases__]
        for name, member in sorted(vars(made).items()):
            member = _unhooked(member)
            if name in UNSAID or (name == "step" and member in inherited):
                continue
            self._put(name)
            self.add(member)

    def _object(self, value: Any) -> None:
        self._put("object")
        self.add(type(value))
        ours = type(value).__module__.startswith("slalom.")
        decisive = getattr(value, "decisive", None) if ours else None
        if decisive is not None:
            self.add(decisive)
            return
        if (wrapped := getattr(value, "__wrapped__", None)) is not None:  # functools.cache
            self.add(wrapped)
            return
        try:
            parts = value.__reduce_ex__(4)
        except Exception:  # what it is pickled by is anybody's code
            return
        if isinstance(parts, str):
            self._put(parts)
            return
        for part in parts:
            if isinstance(part, Iterator):
                part = list(part)
            elif isinstance(part, dict):
                part = {n: v for n, v in part.items() if not _is_cached(type(value), n)} or None
                if part and isinstance(value, torch.nn.Module):  # hooks have numbers of the process
                    part = {n: list(v.values()) if "_hooks" in n else v for n, v in part.items()}
            self.add(part)


UNSAID = {
    "__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__",
    "__annotate__", "__annotate_func__", "__annotations_cache__", "__abstractmethods__",
    "_abc_impl", "__firstlineno__", "__static_attributes__", "__slotnames__", "_backward_cls",
}  # fmt: skip
"""Members of classes that say nothing of what these do, or change as they are used."""


def _unhooked(member: Any) -> Any:
    """A method as it was before torch put its profiler around it, as it does with ``step``."""
    return getattr(member, "__wrapped__", member) if getattr(member, "hooked", False) else member


def _is_cached(owner: type, name: Any) -> bool:
    """Whether an attribute is kept there from the first time that it was asked for."""
    if not isinstance(name, str):
        return False
    return isinstance(inspect.getattr_static(owner, name, None), functools.cached_property)


def _used(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function takes from around it, each with how it is written.

    Of ``options.width`` that is the width alone: what else is in the options does not matter.
    """
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    installed = _installed(function.__module__ or "")
    for first, *attributes in sorted(set(_paths(function.__code__))):
        if first in cells:
            try:
                value = cells[first].cell_contents
            except ValueError:  # not assigned yet
                continue
        elif not installed and first in function.__globals__:
            value = function.__globals__[first]
        else:
            continue
        for attribute in attributes:
            try:
                value = getattr(value, attribute)
            except Exception:  # it may be anybody's code
                break
        yield ".".join([first, *attributes]), value


def _paths(code: CodeType) -> Iterator[tuple[str, ...]]:
    """The names that code looks up around it, each with the attributes that follow."""
    path: tuple[str, ...] = ()
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if path and name in ("LOAD_ATTR", "LOAD_METHOD"):
            path += (instruction.argval,)
            continue
        if path:
            yield path
        found = name in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF")
        found = found or name in ("LOAD_FROM_DICT_OR_GLOBALS", "LOAD_FROM_DICT_OR_DEREF")
        path = (instruction.argval,) if found else ()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _paths(constant)


def _installed_name(value: Any) -> str | None:
    """The name and version of a class or function that was installed; None for all else."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or not _installed(module):
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not value:
        return None
    version = getattr(sys.modules.get(module.partition(".")[0]), "__version__", "")
    return f"{module}.{name} {version}"


@functools.cache
def _installed(module: str) -> bool:
    """Whether a module is Python's own, Slalom's, or lies where packages are installed."""
    if module.partition(".")[0] in sys.stdlib_module_names and module != "__main__":
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    if not isinstance(file, str):
        return False
    path = Path(file).resolve()
    return any(path.is_relative_to(folder) for folder in (*LIBRARIES, PACKAGE, TORCH))
