"""Batches of any shape: tensors in tuples, dicts, dataclasses and their like, nested."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map


def mapped(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The function on the leaves of trees of one shape; what moves as a whole is a leaf."""
    if type(tree) is Tensor:  # what most are, without the price of looking into trees
        return function(tree, *others)
    every = (tree, *others)
    if all(type(t) is tuple and all(type(v) is Tensor for v in t) for t in every):
        return tuple([function(*several) for several in zip(*every, strict=True)])

    def leaf(first: Any, *more: Any) -> Any:
        if isinstance(first, Mapping):  # of a class of its own, which pytree does not look into
            made = {k: mapped(function, first[k], *(m[k] for m in more)) for k in first}
            return made if type(first) is dict else _like(first, made)
        if dataclasses.is_dataclass(first) and not isinstance(first, type):
            made = {
                f.name: mapped(
                    function, getattr(first, f.name), *(getattr(m, f.name) for m in more)
                )
                for f in dataclasses.fields(first)
            }
            return dataclasses.replace(first, **made)
        return function(first, *more)

    def whole(value: Any) -> bool:
        return (
            isinstance(value, Tensor) or hasattr(value, "to") or isinstance(value, Mapping)
            or dataclasses.is_dataclass(value)
        )  # fmt: skip

    return tree_map(leaf, tree, *others, is_leaf=whole)


def _like(mapping: Mapping[Any, Any], made: dict[Any, Any]) -> Any:
    """A mapping of the class of another."""
    try:
        return type(mapping)(made)  # type: ignore[call-arg]
    except TypeError:  # a class that is made of keywords, as those of model outputs
        return type(mapping)(**made)


def leaves(tree: Any) -> Iterator[Any]:
    """The leaves of a batch in their order."""
    found: list[Any] = []
    mapped(found.append, tree)
    yield from found


def moved(value: Any, device: torch.device) -> Any:
    """A batch on a device: whatever can be moved there."""
    if device.type == "cpu" and isinstance(value, Tensor):
        return value.to(device)
    return mapped(lambda v: v.to(device) if hasattr(v, "to") else v, value)


def count(batch: Any) -> int:
    """How many samples a batch holds: the length of its first tensor, or list, that has one."""
    for leaf in leaves(batch):
        if isinstance(leaf, Tensor) and leaf.dim():
            return len(leaf)
    if isinstance(batch, Mapping):
        batch = next(iter(batch.values()), ())
    if isinstance(batch, tuple | list) and batch and isinstance(batch[0], tuple | list):
        batch = batch[0]
    return max(1, len(batch)) if isinstance(batch, list) else 1


def rows(value: Any, n: int, begin: int, end: int) -> Any:
    """The samples from ``begin`` to ``end`` of a batch of ``n``; what has no n rows stays whole."""

    def part(v: Any) -> Any:
        return v[begin:end] if isinstance(v, Tensor) and v.dim() and len(v) == n else v

    return mapped(part, value)


def joined(parts: Sequence[Any]) -> Any:
    """Batches put one after the other into one. Raises ValueError if they are no such thing."""

    def together(first: Any, *others: Any) -> Any:
        if isinstance(first, Tensor) and not first.dim():  # a loss beside the outputs
            return torch.stack([first, *others])
        if others and not isinstance(first, Tensor):
            raise ValueError(f"batches of {type(first).__name__} cannot be put together")
        if any(o.shape[1:] != first.shape[1:] for o in others):
            raise ValueError("batches of different shapes cannot be put together")
        return torch.cat([first, *others]) if others else first

    try:
        return mapped(together, *parts)
    except KeyError as error:
        raise ValueError(f"batches with different keys cannot be put together: {error}") from error


def shape(value: Any) -> str:
    """How messages tell of a batch or an output."""
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {shape(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list) and len(value) <= 4:
        return "[" + ", ".join(map(shape, value)) + "]"
    return type(value).__name__


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal, tensors and all."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(v, other[k]) for k, v in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or one != one
