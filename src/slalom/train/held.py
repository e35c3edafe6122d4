"""What objects hold in attributes, as a checkpoint can have it."""

from __future__ import annotations

import functools
import random
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PLAIN = (bool, int, float, str, type(None))
SERIES = {c.__name__: c for c in (list, tuple, set, frozenset, deque)}
TABLES = {c.__name__: c for c in (dict, OrderedDict, defaultdict, Counter)}
SAME = ["same"]
"""Written of what stays as it was made: functions, classes, files."""

LIBRARIES = {*sys.stdlib_module_names, "torch", "numpy", "slalom"} - {"__main__"}
"""Whose objects are not looked into."""


class Held:
    """What some objects hold in attributes, beside what torch saves of them.

    Plain values, containers, tensors, arrays, random generators, whatever has a ``state_dict``, and
    objects of anybody's own made of these. What is an open file, an iterator, or has slots, is not.

    Args:
        owners: modules and an optimizer, alike made in the run that writes and in that which reads.
        saved: tensors that are saved elsewhere, to which there may be references.
    """

    def __init__(self, owners: Iterable[Any], saved: Iterable[Tensor]):
        self._owners, self._saved = list(owners), list(saved)
        self._numbers = {id(o): ["owner", i] for i, o in enumerate(self._owners)}
        self._numbers |= {id(t): ["saved", i] for i, t in enumerate(self._saved)}
        self._memory = {a for t in self._saved if (a := _address(t))}

    def state(self) -> list[list[Any]]:
        """[place of the owner, name, what it holds there], in lists, plain values and tensors; in
        the end which of the tensors that are saved elsewhere are trained."""
        self._within: set[int] = set()
        found = []
        for place, owner in enumerate(self._owners):
            for name, value in _attributes(owner).items():
                if (taken := self._taken(value)) != SAME:
                    found.append([place, name, taken])
        return [*found, [-1, "requires_grad", [t.requires_grad for t in self._saved]]]

    def restore(self, state: Iterable[Sequence[Any]]) -> None:
        """Put back what :meth:`state` found. Raises ValueError where an owner is made otherwise."""
        for place, name, taken in state:
            if place < 0:
                for tensor, graded in zip(self._saved, taken, strict=True):
                    tensor.requires_grad_(graded)
                continue
            owner = self._owners[place]
            setattr(owner, name, self._made(taken, _attributes(owner).get(name)))

    def _taken(self, value: Any) -> Any:
        kind = type(value)
        if kind in PLAIN:
            return value
        if id(value) in self._numbers:
            return self._numbers[id(value)]
        if id(value) in self._within:  # a circle
            return SAME
        self._within.add(id(value))
        try:
            return self._parts(kind, value)
        finally:
            self._within.discard(id(value))

    def _parts(self, kind: type, value: Any) -> Any:
        if kind in (Tensor, nn.Parameter):
            return SAME if self._shares(value) else ["tensor", value.detach()]
        if SERIES.get(kind.__name__) is kind:
            return ["series", kind.__name__, [self._taken(v) for v in value]]
        if TABLES.get(kind.__name__) is kind:
            pairs = [[self._taken(k), self._taken(v)] for k, v in value.items()]
            return ["table", kind.__name__, pairs]
        if isinstance(value, Enum):
            return ["enum", self._taken(value.value)]
        if issubclass(kind, np.ndarray | np.generic) and value.dtype.kind in "fiubc":
            plain = torch.frombuffer(bytearray(value.tobytes()) or bytearray(1), dtype=torch.uint8)
            return ["array", value.dtype.str, list(value.shape), plain, kind is np.ndarray]
        if kind is torch.Generator:
            return ["generator", value.get_state()]
        if kind is np.random.Generator:
            return ["numpy", self._taken(value.bit_generator.state)]
        if kind is np.random.RandomState:
            return ["legacy", self._taken(value.get_state(legacy=False))]
        if kind is random.Random:
            return ["random", self._taken(value.getstate())]
        if isinstance(value, type) or not hasattr(value, "__dict__"):
            return SAME
        if callable(getattr(kind, "load_state_dict", None)):  # of its class: a stand-in has any
            return ["state", self._taken(value.state_dict())]
        if kind.__module__.partition(".")[0] in LIBRARIES:
            return SAME
        parts = [[n, self._taken(v)] for n, v in vars(value).items()]
        return ["object", [part for part in parts if part[1] != SAME]]

    def _made(self, taken: Any, now: Any) -> Any:
        """The value; that which is there ``now`` where it can become it."""
        if not isinstance(taken, list):
            return taken
        what, *rest = taken
        if what in ("owner", "saved"):
            return (self._owners if what == "owner" else self._saved)[rest[0]]
        if what == "same":
            return now
        if what == "tensor":
            return self._tensor(rest[0], now)
        if what == "series":
            return self._series(SERIES[rest[0]], rest[1], now)
        if what == "table":
            return self._table(TABLES[rest[0]], rest[1], now)
        if what == "array":
            dtype, shape, plain, is_array = rest
            count = int(np.prod(shape))
            array = np.frombuffer(plain.numpy().tobytes(), dtype, count).reshape(shape).copy()
            return array if is_array else array[()]
        fresh: Any = torch.Generator() if what == "generator" else None
        now = fresh if now is None else now
        if now is None:
            raise ValueError(
                "what a model or optimizer made in training is not there to go on with"
            )
        if what == "enum":
            return type(now)(self._made(rest[0], now.value))
        if what == "generator":
            now.set_state(rest[0])
        elif what == "numpy":
            now.bit_generator.state = self._made(rest[0], None)
        elif what == "legacy":
            now.set_state(self._made(rest[0], None))
        elif what == "random":
            now.setstate(self._made(rest[0], None))
        elif what == "state":
            now.load_state_dict(self._made(rest[0], None))
        elif what == "object":
            for name, value in rest[0]:
                setattr(now, name, self._made(value, vars(now).get(name)))
        return now

    def _shares(self, tensor: Tensor) -> bool:
        """Whether it is a view of what is saved elsewhere."""
        return _address(tensor) in self._memory  # which 0 is not in

    def _tensor(self, value: Tensor, now: Any) -> Tensor:
        """A tensor of this value: that which is there, where it is alike, as others may hold it."""
        value = value.to(now.device) if isinstance(now, Tensor) else value
        alike = type(now) in (Tensor, nn.Parameter) and now.layout == value.layout == torch.strided
        if not alike or self._shares(now) or now.grad_fn is not None:
            return value
        if (now.shape, now.dtype) != (value.shape, value.dtype):
            return value
        with torch.no_grad():
            if not torch.equal(now, value):
                now.copy_(value)
        return now

    def _series(self, kind: Any, values: list[Any], now: Any) -> Any:
        there = list(now) if type(now) in (list, tuple, deque) else []
        if SAME in values[len(there) :]:  # made on the way, and made again
            return now
        there += [None] * (len(values) - len(there))
        made = [self._made(v, t) for v, t in zip(values, there, strict=False)]
        if kind not in (list, set, deque) or type(now) is not kind:
            return kind(made)
        filled: Any = now
        filled.clear()  # in place: it may be held twice, and a deque knows its length
        (filled.update if kind is set else filled.extend)(made)
        return filled

    def _table(self, kind: Any, pairs: list[Any], now: Any) -> Any:
        there = now if type(now) is kind else {}
        made = []
        for k, v in pairs:
            key = self._made(k, None)
            if v != SAME or key in there:
                made.append((key, self._made(v, there.get(key))))
        if there is not now:
            now = kind()
        now.clear()
        for key, value in made:
            now[key] = value
        return now


def _attributes(owner: Any) -> dict[str, Any]:
    """Attributes by name, with what a module's own ``state_dict`` leaves out: buffers, its mode."""
    unseen = _unseen(isinstance(owner, nn.Module))
    buffers: dict[str, Any] = {}
    if isinstance(owner, nn.Module):
        left = sorted(owner._non_persistent_buffers_set)
        buffers = {n: owner._buffers[n] for n in left if n in owner._buffers}
        buffers["training"] = owner.training
    return {n: v for n, v in vars(owner).items() if n not in unseen} | buffers


def _address(tensor: Tensor) -> int:
    """Where its memory is; 0 of one that has none."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):  # it is sparse, or of a kind of its own
        return 0


@functools.cache
def _unseen(module: bool) -> frozenset[str]:
    """Attributes that torch itself saves, or that are no state."""
    return frozenset(vars(nn.Module() if module else torch.optim.SGD([torch.zeros(1)])))


def saved_buffers(model: nn.Module) -> Iterator[Tensor]:
    """The buffers that are in a model's ``state_dict``."""
    for part in model.modules():
        for name, buffer in part._buffers.items():
            if buffer is not None and name not in part._non_persistent_buffers_set:
                yield buffer
